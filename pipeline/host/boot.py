"""What starts the engine with the machine; its containers then come back by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.host.consent import Report

__all__ = ["Boot", "Enable", "look"]

UNITS = ("containerd.service", "docker.service")  # in the order in which they start
ENGINE = UNITS[-1]
SECONDS = 30.0
STARTS = {"enabled", "static", "indirect", "alias", "generated", "linked"}  # words of is-enabled


@dataclass(frozen=True, kw_only=True)
class Boot:
    """What systemd has in mind for the engine's units.

    Attributes:
        systemd: systemd is PID 1; without it nobody here knows.
        off: Units that are not started with the machine.
        masked: Units that somebody has forbidden to start.
        unknown: systemd has no unit for the engine.
    """

    systemd: bool
    off: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    unknown: bool = False


def look(*, systemd: bool) -> Boot:
    """Look at what starts with this machine; changes nothing."""
    if not systemd:
        return Boot(systemd=False)
    states = {unit: _state(unit) for unit in UNITS}
    return Boot(
        systemd=True,
        off=tuple(u for u in UNITS if states[u] and states[u] not in {*STARTS, "masked"}),
        masked=tuple(u for u in UNITS if states[u] == "masked"),
        unknown=not states[ENGINE],
    )


def _state(unit: str) -> str:
    """Return systemd's word for it; "" where it does not know such a unit."""
    try:
        said = shell.run(["systemctl", "is-enabled", unit], timeout=SECONDS, check=False)
    except CommandError:
        return ""
    state = said.stdout.strip()
    return "" if state == "not-found" else state


@dataclass(frozen=True, kw_only=True)
class Enable:
    """Units to start with the machine from now on; nothing is started or stopped now."""

    units: Sequence[str]

    def __str__(self) -> str:
        return (
            "the engine at the machine's start, its containers with it: systemctl enable"
            f" {' '.join(self.units)}"
        )

    def do(self, report: Report) -> None:
        """Enable them.

        Raises:
            EngineError: systemd refused.
        """
        try:
            shell.run(["systemctl", "enable", *self.units], timeout=SECONDS)
        except CommandError as exc:
            raise EngineError(
                f"{' and '.join(self.units)} cannot be started with this machine: {exc.message}",
                hint=f"`systemctl status {self.units[0]}` says more.",
                details=exc.details,
            ) from exc
        report(f"{' and '.join(self.units)} will start with the machine")
