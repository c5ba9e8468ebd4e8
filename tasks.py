"""Delivery: each task turns arguments into settings, makes one call and shows what came of it.

`invoke --list` names them, docs/commands.md has the contract. What a server needs besides
deployments is in server_tasks.py, daily work in day_tasks.py, CI's in ci_tasks.py; quality is
noxfile.py's.
"""

import sys
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

import wiring
from ci_tasks import changes, ci, coverage_upload, green, hooks, parity  # noqa: F401 - tasks
from day_tasks import env, exec_, logs, run_  # noqa: F401 - tasks
from pipeline.view import terminal
from pipeline.view.program import Program, command, process_started
from pipeline.view.terminal import JSON, SHA
from server_tasks import doctor, host, pin, prune, runner, unpin  # noqa: F401 - tasks

if TYPE_CHECKING:
    from pipeline.image.ref import Built
    from pipeline.outcome import Outcome

WAIT = "seconds to wait for another deployment to end (default: 0)"
PLATFORMS = "such as linux/amd64,linux/arm64 (default: this machine's)"


def _show(built: "Built", *, json: bool) -> None:
    terminal.built(built)
    if json:
        terminal.data(vars(built))


def _finish(outcome: "Outcome", *, json: bool, up: dict[str, float] | None = None) -> None:
    """Show how a deployment ended, and end with the exit code that says it."""
    terminal.outcome(outcome, up=up)
    if json:
        terminal.data(outcome.as_dict() | ({"up": up} if up else {}))
    if outcome.error:
        raise Exit(code=outcome.error.exit_code)


@task(help={"yes": wiring.YES, "sha": SHA, "json": JSON})
@command
@wiring.on_host
def up(context: Context, *, sha: str | None = None, yes: bool = False, json: bool = False) -> None:
    """Main job: engine, base images, local registry, build, push, deploy, verify."""
    from pipeline.up import up as run

    outcome, phases = run(
        wiring.settings(),
        sha=sha,
        consent=wiring.consent(yes=yes),
        report=terminal.progress,
        started=process_started(),
    )
    _finish(outcome, json=json, up=phases)


@task(help={"volumes": "remove the data, too", "json": JSON})
@command
@wiring.on_host
def down(context: Context, *, volumes: bool = False, json: bool = False) -> None:
    """Remove what `up` made; keeps data unless --volumes."""
    from pipeline.up import down as run

    run(wiring.settings(), volumes=volumes, report=terminal.progress)
    if json:
        terminal.data({"outcome": "stopped", "volumes": volumes})


@task(
    help={
        "sha": SHA,
        "platforms": PLATFORMS,
        "push": "then push it",
        "part": "of one platform, for `invoke manifest`",
        "dirty": "the files as they are; never pushed",
        "no_cache": "take no layer from the cache",
        "json": JSON,
    }
)
@command
def build(
    context: Context,
    *,
    sha: str | None = None,
    platforms: str | None = None,
    push: bool = False,
    part: bool = False,
    dirty: bool = False,
    no_cache: bool = False,
    json: bool = False,
) -> None:
    """Build the image of a commit (of the working tree only with --dirty)."""
    shipping = wiring.shipping(platforms=platforms)
    _show(shipping.build(sha, no_cache=no_cache, push=push, part=part, dirty=dirty), json=json)


@task(
    help={
        "sha": SHA,
        "platforms": PLATFORMS,
        "part": "of one platform, for `invoke manifest`",
        "json": JSON,
    }
)
@command
def push(
    context: Context,
    *,
    sha: str | None = None,
    platforms: str | None = None,
    part: bool = False,
    json: bool = False,
) -> None:
    """Push the image of a commit under all its tags, and check what the registry has."""
    _show(wiring.shipping(platforms=platforms).push(sha, part=part), json=json)


@task(help={"sha": SHA, "platforms": PLATFORMS, "json": JSON})
@command
def manifest(
    context: Context, *, sha: str | None = None, platforms: str | None = None, json: bool = False
) -> None:
    """Make one image of the parts that were pushed for each platform."""
    _show(wiring.shipping(platforms=platforms).merge(sha), json=json)


@task(help={"sha": SHA, "json": JSON})
@command
def inspect(context: Context, *, sha: str | None = None, json: bool = False) -> None:
    """Show what the registry has of a commit: layers, packages, platforms, attestations."""
    found = wiring.shipping().about(sha)
    terminal.image(found)
    if json:
        terminal.data(found)


@task
@command
def login(context: Context) -> None:
    """Log in to the registry (PIPELINE_REGISTRY_USER, PIPELINE_REGISTRY_PASSWORD)."""
    from pipeline.image import registry

    registry.login(wiring.settings(), report=terminal.progress)


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
@wiring.on_host
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
    shipping = wiring.shipping(strategy=strategy, replicas=replicas, env_file=env_file)
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
@wiring.on_host
def rollback(
    context: Context, *, to: str | None = None, wait: float = 0.0, json: bool = False
) -> None:
    """Make the previous (or named) release live again, with its own env and Compose file."""
    _finish(wiring.shipping().rollback(to, wait=wait), json=json)


@task(help={"wait": WAIT, "json": JSON})
@command
@wiring.on_host
def resume(context: Context, *, wait: float = 0.0, json: bool = False) -> None:
    """Finish or undo a deployment that was interrupted; a new one does so by itself."""
    outcome = wiring.shipping().resume(wait=wait)
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
@wiring.on_host
def retire(context: Context, *, deployment: int = 0) -> None:
    """Remove the standby; a deployment starts this by itself for when its time has passed."""
    wiring.shipping().remove_standby(deployment or None)


@task(help={"expect": "commit that must be live and healthy, else exit 3", "json": JSON})
@command
@wiring.on_host
def status(context: Context, *, expect: str | None = None, json: bool = False) -> None:
    """Show what is live and whether it answers."""
    shipping = wiring.shipping()
    found = shipping.status()
    terminal.status(found)
    if expect is not None:
        shipping.expect(expect)
    if json:
        terminal.data(found)


@task(help={"limit": "how many", "json": JSON})
@command
@wiring.on_host
def history(context: Context, *, limit: int = 20, json: bool = False) -> None:
    """Show the deployments of this host, newest first."""
    rows = wiring.shipping().history(limit=limit)
    terminal.deployments(rows)
    if json:
        terminal.data(rows)


if __name__ == "__main__":
    Program(version="1").run(sys.argv)
