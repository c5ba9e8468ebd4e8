"""What CI needs besides nox and delivery; tasks.py makes these tasks its own."""

from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

import wiring
from pipeline.errors import PipelineError
from pipeline.view import github, terminal
from pipeline.view.program import command
from pipeline.view.terminal import JSON, SHA

__all__ = ["changes", "ci", "coverage_upload", "green", "hooks", "parity"]


@task(help={"sha": SHA})
@command
def coverage_upload(context: Context, *, sha: str | None = None) -> None:
    """Send coverage.xml to Codecov, as GitHub's job, with CODECOV_TOKEN, or from a fork."""
    from pipeline.image.commit import resolve_commit
    from pipeline.view.codecov import upload

    settings, event = wiring.settings(), github.event()
    named = event.commit if event and sha is None else sha
    # Of a pull request, GitHub checks out a merge, and not always the commit that is merged.
    commit = resolve_commit(named, root=settings.root, must_exist=False)
    with github.group("codecov-cli"):
        upload(settings, sha=commit, event=event, report=terminal.progress)


@task(help={"base": "commit to compare with (default: GitHub's, or where main was left)"})
@command
def changes(context: Context, *, base: str | None = None) -> None:
    """Tell whether anything but documentation has changed: whether the long jobs must run."""
    from pipeline.image.commit import resolve_commit
    from pipeline.parity.changes import since

    root, event = wiring.settings().root, github.event()
    commit = event.base if event else None
    if base is not None:
        commit = resolve_commit(base, root=root)
    found = since(commit, root=root)
    terminal.changes(found)
    github.output("heavy", "true" if found.heavy else "false")


@task
@command
def green(context: Context) -> None:
    """Tell whether each job of a run of GitHub's ended as it should (NEEDS)."""
    from pipeline.parity.green import judge

    found = judge(github.needs())
    terminal.jobs(found)
    if bad := [job.name for job in found if not job.green]:
        raise PipelineError(
            f"Not green: {', '.join(bad)}.",
            hint="Look at those jobs; where they failed, the same gates fail on a laptop.",
        )


@task(
    help={
        "with_": "somebody else's reports/ or one env-<session>.json (default: show our own)",
        "json": JSON,
    }
)
@command
def parity(context: Context, *, with_: str | None = None, json: bool = False) -> None:
    """Compare what our sessions ran on with what theirs did; exit 1 where it differs."""
    from pipeline.parity import fingerprint

    here = wiring.settings().root / "reports"
    if with_ is None:
        found = {name: each.digest for name, each in fingerprint.reports(here).items()}
        terminal.fingerprints(found)
        if json:
            terminal.data(found)
        return
    differences = fingerprint.compare_reports(here, Path(with_))
    terminal.differences(differences)
    if json:
        terminal.data({"differences": differences})
    if differences:
        raise Exit(code=1)


@task(help={"job": "only this and what it needs", "base": "commit before the push", "json": JSON})
@command
def ci(
    context: Context, *, job: str | None = None, base: str | None = None, json: bool = False
) -> None:
    """Run GitHub's workflow of a clean clone of HEAD here, by act; exit 1 where a job fails."""
    from pipeline.image.commit import resolve_commit
    from pipeline.parity import ci as here

    root = wiring.settings().root
    before = base and resolve_commit(base, root=root)
    found = here.run(root, job=job, base=before, report=terminal.progress)
    terminal.result("\n".join(here.table(found)))
    if json:
        terminal.data(found.as_dict())
    if found.failed:
        raise Exit(code=1)


@task(help={"full": "the sessions that take long, too", "remove": "have git do so no longer"})
@command
def hooks(context: Context, *, full: bool = False, remove: bool = False) -> None:
    """Have git run the gates before each push."""
    from pipeline.parity import hooks as hook

    root = wiring.settings().root
    terminal.result(hook.remove(root) if remove else hook.install(root, full=full))
