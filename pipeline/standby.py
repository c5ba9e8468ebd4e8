"""The standby's end: by itself when its time has passed, or now."""

from contextlib import suppress

from pipeline.errors import EngineError, PipelineError
from pipeline.parts import Parts
from pipeline.ports import Colour, other
from pipeline.release import lock

__all__ = ["remove"]

WAIT = 600.0  # seconds for a deployment that may fail and leave the standby
LOOK = 2.0  # seconds between looks at whether a standby is still this deployment's


def remove(parts: Parts, deployment: int | None) -> None:
    """Remove the standby.

    Args:
        parts: The app's.
        deployment: Whose; wait for its time to pass, and leave it where another came after.

    Raises:
        LockedError: Another deployment is going on.
        PipelineError: The proxy sends requests to it.
    """
    end = parts.clock.monotonic() + (parts.settings.standby if deployment else 0)
    while (left := end - parts.clock.monotonic()) > 0:
        parts.clock.sleep(min(left, LOOK))
        # An engine that is away for a while is no reason to leave the standby for ever.
        with suppress(EngineError):
            if _standby(parts, deployment) is None:
                return
    parts.state.create()
    with lock.hold(parts.state.lock, command="retire", wait=WAIT, report=parts.report):
        standby = _standby(parts, deployment)
        if standby is None:
            return
        if parts.traffic.live() != other(standby):
            raise PipelineError("The proxy sends requests elsewhere: nothing was removed.")
        parts.engine.stop(standby, timeout=parts.settings.stop_timeout)
        parts.report("removed the standby")


def _standby(parts: Parts, deployment: int | None) -> Colour | None:
    """Return the colour that stands by, while it does so for that deployment."""
    live = parts.ledger.live()
    if live is None or live[0].colour is None or deployment not in {None, live[0].id}:
        return None
    colour = other(live[0].colour)
    return colour if parts.engine.replicas(colour) else None
