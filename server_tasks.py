"""What a server needs besides deployments; tasks.py makes these tasks its own."""

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

import wiring
from pipeline.view import terminal
from pipeline.view.program import command
from pipeline.view.terminal import JSON

__all__ = ["doctor", "host"]


@task(help={"yes": wiring.YES, "engine": "leave the base images alone", "json": JSON})
@command
def host(context: Context, *, yes: bool = False, engine: bool = False, json: bool = False) -> None:
    """Make sure of the Docker Engine and the base images."""
    from pipeline.up import host as run

    phases = run(consent=wiring.consent(yes=yes), report=terminal.progress, engine_only=engine)
    terminal.phases(phases)
    if json:
        terminal.data({"phases": phases})


@task(help={"json": JSON})
@command
def doctor(context: Context, *, json: bool = False) -> None:
    """Look at everything a deployment needs; print every setting and where it comes from."""
    from pipeline.host.doctor import checks

    shipping = wiring.shipping()
    found = checks(shipping.settings, prove=shipping.prove)
    terminal.settings(shipping.settings)
    terminal.checks(found)
    if json:
        terminal.data({"checks": [vars(check) for check in found]})
    if any(check.status == "fail" for check in found):
        raise Exit(code=1)
