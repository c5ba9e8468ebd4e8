"""What every file of tasks needs: settings, the delivery of this checkout, consent."""

from typing import TYPE_CHECKING

from pipeline.view import terminal
from pipeline.view.program import confirm, interactive, process_started

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.ship import Shipping
    from pipeline.up import Consent

__all__ = ["YES", "consent", "settings", "shipping"]

YES = "install what is missing without asking"


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
