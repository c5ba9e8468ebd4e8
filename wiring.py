"""What every file of tasks needs: settings, the delivery of this checkout, consent, the host."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from invoke.context import Context
from invoke.exceptions import Exit

from pipeline.view import terminal
from pipeline.view.program import confirm, interactive, process_started

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.ship import Shipping
    from pipeline.up import Consent

__all__ = ["YES", "consent", "on_host", "settings", "shipping"]

YES = "install what is missing without asking"
HERE = {"", "local"}  # as a host: this machine
P = ParamSpec("P")


def settings(**flags: str | None) -> "Settings":
    """Return the settings; a flag that is None was not given."""
    from pipeline import settings as settings_

    return settings_.load(flags)


def shipping(**flags: str | None) -> "Shipping":
    """Return the delivery of the app from this checkout."""
    from pipeline.ship import Shipping

    return Shipping(settings=settings(**flags), report=terminal.progress, started=process_started())


def consent(*, yes: bool) -> "Consent":
    """Return whether this machine may be changed, and who can be asked."""
    from pipeline.up import Consent

    return Consent(yes=yes, interactive=interactive(), confirm=confirm)


def on_host(
    body: Callable[Concatenate[Context, P], None],
) -> Callable[Concatenate[Context, P], None]:
    """Make a task that concerns a server run on the host that the settings name.

    It goes below `@command`, which turns what it raises into an exit code.
    """

    @functools.wraps(body)
    def run(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        ours = settings()
        if ours.host in HERE or _is_there(ours.root):
            body(context, *args, **kwargs)
            return
        from pipeline.remote import there

        code = there(
            ours,
            task=body.__name__.strip("_").replace("_", "-"),
            given=kwargs,
            defaults={each.name: each.default for each in parameters.values()},
            remainder=sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else (),
            interactive=interactive(),
            terminal=sys.stdin.isatty() and sys.stdout.isatty(),
            report=terminal.progress,
        )
        if code:
            raise Exit(code=code)

    parameters = inspect.signature(body).parameters
    return run


def _is_there(root: Path) -> bool:
    """Tell whether a checkout was made here by another machine: then we are on its host."""
    return root.parent.name == "checkouts" and (root.parent.parent / "repository.git").is_dir()
