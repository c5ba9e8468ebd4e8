"""The runner as a service: its own script `svc.sh`, which config.sh makes, over systemd."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, UnavailableError
from pipeline.host.runner.user import KEPT, PATH

__all__ = ["Service"]

SYSTEMD = Path("/run/systemd/system")
LOOK_SECONDS = 10.0
SECONDS = 330.0  # a unit of the runner's may take five minutes to stop


@dataclass(frozen=True, kw_only=True)
class Service:
    """The service of the runner in `folder`, which runs as `user`."""

    folder: Path
    user: str

    @property
    def installed(self) -> bool:
        """Tell whether svc.sh has installed it."""
        return (self.folder / ".service").is_file()

    def state(self) -> str:
        """Return `active`, `inactive`, `not installed`, or `unknown` (nobody but root may ask)."""
        if not self.installed:
            return "not installed"
        try:
            if os.geteuid() == 0:
                said = self._call("status", seconds=LOOK_SECONDS, check=False).stdout
                return "active" if "Active: active" in said else "inactive"
            unit = (self.folder / ".service").read_text(encoding="utf-8").strip()
            argv = ["systemctl", "is-active", "--", unit]
            said = shell.run(argv, timeout=LOOK_SECONDS, check=False).stdout.strip()
        except (CommandError, OSError):
            return "unknown"
        return said if said in {"active", "inactive"} else "inactive" if said else "unknown"

    def install(self) -> None:
        """Install it, so that it starts when the machine does.

        Raises:
            UnavailableError: There is no systemd, or svc.sh refused.
        """
        self._require_systemd()
        self._call("install", self.user)

    def start(self) -> None:
        """Start it.

        Raises:
            UnavailableError: There is no systemd, or svc.sh refused, or it does not stay up.
        """
        self._require_systemd()
        self._call("start")
        if self.state() == "inactive":
            raise UnavailableError(
                f"The service of the runner in {self.folder} was started and is not active.",
                hint=f"Its log says why: `journalctl -u {self._unit()}`.",
            )

    def stop(self) -> None:
        """Stop it.

        Raises:
            CommandError: svc.sh refused.
        """
        self._call("stop")

    def uninstall(self) -> None:
        """Stop it, and let it not start any more.

        Raises:
            CommandError: svc.sh refused.
        """
        self._call("uninstall")

    def _unit(self) -> str:
        file = self.folder / ".service"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else "'actions.runner.*'"

    def _require_systemd(self) -> None:
        script = self.folder / "svc.sh"
        if SYSTEMD.is_dir() or "systemctl" not in script.read_text(encoding="utf-8"):
            return
        raise UnavailableError(
            "The runner is configured, but no service: this machine does not run systemd.",
            hint=f"`cd {self.folder} && sudo -u {self.user} ./run.sh` runs it; let whatever starts "
            "programs here do that at boot.",
        )

    def _call(self, *words: str, seconds: float = SECONDS, check: bool = True) -> shell.Result:
        # It takes the folder that it is run in for the runner's.
        return shell.run(
            ["./svc.sh", *words],
            cwd=self.folder,
            timeout=seconds,
            env={"PATH": PATH, "LC_ALL": "C"},
            inherit=KEPT,
            check=check,
        )
