"""Daily work on what is live; tasks.py makes these tasks its own."""

from invoke.context import Context
from invoke.tasks import task

import wiring
from pipeline.view import terminal
from pipeline.view.program import command

__all__ = ["logs"]


@task(help={"lines": "how many of each container"})
@command
def logs(context: Context, *, lines: int = 100) -> None:
    """Show the live release's last log lines."""
    terminal.result(wiring.shipping().logs(lines=lines))
