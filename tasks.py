"""Delivery: each task turns arguments into settings, makes one call and shows what came of it.

`invoke --list` names them, docs/commands.md has the contract. Quality is noxfile.py's.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from pipeline.errors import PipelineError
from pipeline.view import github, terminal
from pipeline.view.program import Program, command, confirm, interactive, process_started

if TYPE_CHECKING:
    from pipeline.outcome import Outcome
    from pipeline.settings import Settings
    from pipeline.ship import Shipping
    from pipeline.up import Consent

SHA = "commit: a full hash, or anything that git resolves here (default: HEAD)"
YES = "install what is missing without asking"
WAIT = "seconds to wait for another deployment to end (default: 0)"
JSON = "print one JSON object as the last line"


def _settings(**flags: str | None) -> "Settings":
    from pipeline import settings

    return settings.load(flags)


def _shipping(**flags: str | None) -> "Shipping":
    from pipeline.ship import Shipping

    return Shipping(
        settings=_settings(**flags), report=terminal.progress, started=process_started()
    )


def _consent(*, yes: bool) -> "Consent":
    from pipeline.up import Consent

    return Consent(yes=yes, interactive=interactive(), confirm=confirm)


def _finish(outcome: "Outcome", *, json: bool, up: dict[str, float] | None = None) -> None:
    """Show how a deployment ended, and end with the exit code that says it."""
    terminal.outcome(outcome, up=up)
    if json:
        terminal.data(outcome.as_dict() | ({"up": up} if up else {}))
    if outcome.error:
        raise Exit(code=outcome.error.exit_code)


@task(help={"yes": YES, "sha": SHA, "json": JSON})
@command
def up(context: Context, *, sha: str | None = None, yes: bool = False, json: bool = False) -> None:
    """Main job: engine, base images, local registry, build, push, deploy, verify."""
    from pipeline.up import up as run

    outcome, phases = run(
        _settings(),
        sha=sha,
        consent=_consent(yes=yes),
        report=terminal.progress,
        started=process_started(),
    )
    _finish(outcome, json=json, up=phases)


@task(help={"volumes": "remove the data, too", "json": JSON})
@command
def down(context: Context, *, volumes: bool = False, json: bool = False) -> None:
    """Remove what `up` made; keeps data unless --volumes."""
    from pipeline.up import down as run

    run(_settings(), volumes=volumes, report=terminal.progress)
    if json:
        terminal.data({"outcome": "stopped", "volumes": volumes})


@task(help={"yes": YES, "json": JSON})
@command
def host(context: Context, *, yes: bool = False, json: bool = False) -> None:
    """Make sure of the Docker Engine and the base images."""
    from pipeline.up import host as run

    phases = run(consent=_consent(yes=yes), report=terminal.progress)
    terminal.phases(phases)
    if json:
        terminal.data({"phases": phases})


@task(help={"sha": SHA, "no_cache": "take no layer from the cache", "json": JSON})
@command
def build(
    context: Context, *, sha: str | None = None, no_cache: bool = False, json: bool = False
) -> None:
    """Build the image of a commit (never of the working tree)."""
    built = _shipping().build(sha, no_cache=no_cache)
    terminal.built(built)
    if json:
        terminal.data(vars(built))


@task(help={"sha": SHA, "json": JSON})
@command
def push(context: Context, *, sha: str | None = None, json: bool = False) -> None:
    """Push the image of a commit under all its tags, and check what the registry has."""
    built = _shipping().push(sha)
    terminal.built(built)
    if json:
        terminal.data(vars(built))


@task
@command
def login(context: Context) -> None:
    """Log in to the registry (PIPELINE_REGISTRY_USER, PIPELINE_REGISTRY_PASSWORD)."""
    from pipeline.image import registry

    registry.login(_settings(), report=terminal.progress)


@task(
    help={
        "sha": SHA,
        "strategy": "how it is made live",
        "replicas": "containers of the release, 1 to 8",
        "env_file": "env file of the release",
        "wait": WAIT,
        "dry_run": "print the plan, touch nothing",
        "json": JSON,
    }
)
@command
def deploy(
    context: Context,
    *,
    sha: str | None = None,
    strategy: str | None = None,
    replicas: str | None = None,
    env_file: str | None = None,
    wait: float = 0.0,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Make the image of a commit live; on any failure the old release goes on serving."""
    shipping = _shipping(strategy=strategy, replicas=replicas, env_file=env_file)
    outcome = shipping.deploy(sha, wait=wait, dry_run=dry_run)
    if dry_run:
        terminal.plan(outcome.plan)
        if json:
            terminal.data(outcome.plan.as_dict())
        return
    _finish(outcome, json=json)


@task(
    help={
        "to": "commit of a release that was live here (default: the one before)",
        "wait": WAIT,
        "json": JSON,
    }
)
@command
def rollback(
    context: Context, *, to: str | None = None, wait: float = 0.0, json: bool = False
) -> None:
    """Make the previous (or named) release live again, with its own env and Compose file."""
    _finish(_shipping().rollback(to, wait=wait), json=json)


@task(help={"wait": WAIT, "json": JSON})
@command
def resume(context: Context, *, wait: float = 0.0, json: bool = False) -> None:
    """Finish or undo a deployment that was interrupted; a new one does so by itself."""
    outcome = _shipping().resume(wait=wait)
    if outcome is None:
        terminal.result("nothing to resume")
        if json:
            terminal.data({"outcome": "nothing"})
        return
    terminal.resumed(outcome)
    if json:
        terminal.data(outcome.as_dict())
    if outcome.error:
        raise Exit(code=outcome.error.exit_code)


@task(help={"deployment": "wait for the time of this one's to pass (default: remove it now)"})
@command
def retire(context: Context, *, deployment: int = 0) -> None:
    """Remove the standby; a deployment starts this by itself for when its time has passed."""
    _shipping().remove_standby(deployment or None)


@task(help={"expect": "commit that must be live and healthy, else exit 3", "json": JSON})
@command
def status(context: Context, *, expect: str | None = None, json: bool = False) -> None:
    """Show what is live and whether it answers."""
    shipping = _shipping()
    found = shipping.status()
    terminal.status(found)
    if expect is not None:
        shipping.expect(expect)
    if json:
        terminal.data(found)


@task(help={"limit": "how many", "json": JSON})
@command
def history(context: Context, *, limit: int = 20, json: bool = False) -> None:
    """Show the deployments of this host, newest first."""
    rows = _shipping().history(limit=limit)
    terminal.deployments(rows)
    if json:
        terminal.data(rows)


@task(help={"lines": "how many of each container"})
@command
def logs(context: Context, *, lines: int = 100) -> None:
    """Show the live release's last log lines."""
    terminal.result(_shipping().logs(lines=lines))


@task(help={"json": JSON})
@command
def doctor(context: Context, *, json: bool = False) -> None:
    """Look at everything a deployment needs; print every setting and where it comes from."""
    from pipeline.host.doctor import checks

    settings = _settings()
    found = checks(settings)
    terminal.settings(settings)
    terminal.checks(found)
    if json:
        terminal.data({"checks": [vars(check) for check in found]})
    if any(check.status == "fail" for check in found):
        raise Exit(code=1)


@task(help={"sha": SHA})
@command
def coverage_upload(context: Context, *, sha: str | None = None) -> None:
    """Send coverage.xml to Codecov, as GitHub's job, with CODECOV_TOKEN, or from a fork."""
    from pipeline.image.commit import resolve_commit
    from pipeline.view.codecov import upload

    settings, event = _settings(), github.event()
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

    root, event = _settings().root, github.event()
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

    here = _settings().root / "reports"
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

    root = _settings().root
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

    root = _settings().root
    terminal.result(hook.remove(root) if remove else hook.install(root, full=full))


if __name__ == "__main__":
    Program(version="1").run(sys.argv)
