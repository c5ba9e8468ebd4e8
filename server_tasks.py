"""What a server needs besides deployments; tasks.py makes these tasks its own."""

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

import wiring
from pipeline.view import terminal
from pipeline.view.program import command
from pipeline.view.terminal import JSON, SHA

if TYPE_CHECKING:
    from pipeline.host.runner import Status

__all__ = ["doctor", "host", "pin", "prune", "runner", "unpin"]

WAIT = "seconds to wait for another deployment to end (default: 0)"


@task(
    help={
        "check": "only look: what is, and what would be done",
        "yes": wiring.YES,
        "engine": "leave the base images alone",
        "user": "who deploys here, made where missing",
        "json": JSON,
    }
)
@command
@wiring.on_host
def host(
    context: Context,
    *,
    check: bool = False,
    yes: bool = False,
    engine: bool = False,
    user: str | None = None,
    json: bool = False,
) -> None:
    """Prepare a server: Docker Engine, base images, boot order, the user that deploys."""
    given = wiring.settings(deploy_user=user)
    if check:
        from pipeline.host.server import checks

        found = checks(given, engine_only=engine)
        for line in found:
            terminal.result(str(line))
        if json:
            terminal.data({"checks": [vars(line) for line in found]})
        if any(line.status in {"would", "fail"} for line in found):
            raise Exit(code=1)
        return
    from pipeline.up import host as run

    phases = run(
        consent=wiring.consent(yes=yes),
        report=terminal.progress,
        engine_only=engine,
        server=given,
    )
    terminal.phases(phases)
    if json:
        terminal.data({"phases": phases})


@task(help={"json": JSON})
@command
@wiring.on_host
def doctor(context: Context, *, json: bool = False) -> None:
    """Look at everything a deployment needs; print every setting and where it comes from."""
    from pipeline.host import doctor as looks

    shipping = wiring.shipping()
    asked = looks.Service(
        prove=shipping.prove,
        status=shipping.status,
        history=lambda: shipping.history(limit=50),
    )
    found = looks.checks(shipping.settings, asked)
    terminal.settings(shipping.settings)
    terminal.checks(found)
    if json:
        terminal.data({"checks": [vars(check) for check in found], "worst": looks.worst(found)})
    if code := looks.exit_code(found):
        raise Exit(code=code)


@task(help={"dry_run": "only say what would go", "wait": WAIT, "json": JSON})
@command
@wiring.on_host
def prune(
    context: Context, *, dry_run: bool = False, wait: float = 0.0, json: bool = False
) -> None:
    """Remove what no release that is kept needs: images, containers, files, build cache."""
    from pipeline.prune import prune as run
    from pipeline.view import retention

    found = run(wiring.settings(), report=terminal.progress, wait=wait, dry_run=dry_run)
    retention.pruned(found.as_dict(), dry_run=dry_run)
    if json:
        terminal.data(found.as_dict())


@task(help={"sha": SHA, "wait": WAIT, "json": JSON})
@command
@wiring.on_host
def pin(context: Context, *, sha: str | None = None, wait: float = 0.0, json: bool = False) -> None:
    """Keep the releases of a commit on this host until they are unpinned."""
    from pipeline.pin import pin as run
    from pipeline.view import retention

    found = run(wiring.settings(), sha, report=terminal.progress, wait=wait)
    retention.pinned(found, verb="pinned")
    if json:
        terminal.data(found)


@task(help={"sha": SHA, "json": JSON})
@command
@wiring.on_host
def unpin(context: Context, *, sha: str | None = None, json: bool = False) -> None:
    """Let the releases of a commit go in their turn."""
    from pipeline.pin import unpin as run
    from pipeline.view import retention

    found = run(wiring.settings(), sha, report=terminal.progress)
    retention.pinned(found, verb="unpinned")
    if json:
        terminal.data(found)


@task(
    positional=["action"],
    help={
        "action": "install, status or remove",
        "yes": "do what it names without asking",
        "allow_public": "take a repository that everybody can see, too",
        "local": "remove it from this machine only, which needs no token",
        "json": JSON,
    },
)
@command
@wiring.on_host
def runner(
    context: Context,
    action: str,
    *,
    yes: bool = False,
    allow_public: bool = False,
    local: bool = False,
    json: bool = False,
) -> None:
    """GitHub's runner on this server: install, status or remove."""
    from pipeline.host import runner as runners

    given, consent = wiring.settings(), vars(wiring.consent(yes=yes))
    if action == "remove":
        gone = runners.remove(given, local=local, **consent, report=terminal.progress)
        if json:
            terminal.data({"outcome": "removed" if gone else "nothing"})
        return
    if action == "install":
        found = runners.install(
            given, allow_public=allow_public, **consent, report=terminal.progress
        )
    elif action == "status":
        found = runners.status(given)
    else:
        raise runners.unknown(action)
    _show(found)
    if json:
        terminal.data(found.as_dict())
    if action == "status" and found.trouble:
        raise Exit(code=1)


def _show(found: "Status") -> None:
    if found.configured:
        labels = ", ".join(found.labels or ()) or "none besides GitHub's"
        terminal.result(f"runner {found.name} {found.version} at {found.url}, labels: {labels}")
        terminal.result(f"  service: {found.service}, user {found.user}, in {found.folder}")
    else:
        terminal.result(f"runner: none is registered (it would be {found.folder})")
    if found.trouble:
        terminal.result(f"trouble: {found.trouble}")
        terminal.result(f"      next: {found.remedy}")
