"""dockerd on this machine: its process, its log, and `live-restore` in its settings file.

With live-restore, containers survive a restart of the engine: they are not its children.
"""

import json
import os
import re
import signal
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import EngineError, UsageError
from pipeline.host.consent import Report
from pipeline.host.probes import engine_pings, says

__all__ = [
    "LOG",
    "SETTINGS",
    "has_own_flags",
    "in_swarm",
    "restores_live",
    "running",
    "start",
    "turn_on_live_restore",
]

LOG = Path("/var/log/dockerd.log")
PID_FILE = Path("/var/run/docker.pid")
SETTINGS = Path("/etc/docker/daemon.json")
DATA_ROOT = Path("/var/lib/docker")
KEY = "live-restore"
START_SECONDS = 60.0
RELOAD_SECONDS = 10.0
POLL_SECONDS = 0.05
# A daemon outlives us: what our settings were is not its business.
INHERITED = re.compile(r"PATH|HOME|LANG|LC_\w+|TMPDIR|(?i:\w+_proxy)")
LOG_LINES = 20


def running() -> int | None:
    """Return the process id of this machine's dockerd; None where there is none."""
    try:
        pid = int(PID_FILE.read_text(encoding="ascii"))
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else None
    except (OSError, ValueError):
        return None


def has_own_flags(pid: int) -> bool:
    """Return whether dockerd `pid` was started with flags that the settings file cannot change."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # gone
        return False
    return any(word.startswith((b"--config-file", f"--{KEY}".encode())) for word in argv)


def start(*, systemd: bool, report: Report) -> None:
    """Start the engine and wait until it answers.

    Raises:
        EngineError: It ended by itself, or does not answer in time; with what it said.
    """
    began = time.monotonic()
    skip = _log_size()
    pid, failed = None, False
    if systemd:
        argv = ["systemctl", "enable", "--now", "docker"]
        failed = shell.run(argv, timeout=START_SECONDS, check=False).code != 0
    else:
        pid = running() or shell.spawn(["dockerd"], log=LOG, inherit=INHERITED)
    while not engine_pings():
        if pid is not None and not Path(f"/proc/{pid}/exe").exists():  # gone, or a zombie
            pid = running()  # another `up` was faster
            failed = pid is None
        if failed or time.monotonic() - began > START_SECONDS:
            raise EngineError(
                f"The Docker Engine {'ended by itself' if failed else 'does not answer'}.",
                hint=f"What it said is below; all of it: {_log_name(systemd=systemd)}.",
                details=_last_lines(skip, systemd=systemd),
            )
        time.sleep(POLL_SECONDS)
    report(f"Docker Engine started in {time.monotonic() - began:.1f} s")


def settings() -> dict[str, Any]:
    """Return what dockerd's settings file says; nothing where there is none.

    Raises:
        UsageError: It is no JSON object, or cannot be read.
    """
    try:
        text = SETTINGS.read_text(encoding="utf-8")
        found = json.loads(text) if text.strip() else {}  # dockerd takes an empty one, too
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise UsageError(f"{SETTINGS} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise _no_object(f": {exc}") from exc
    if not isinstance(found, dict):
        raise _no_object("")
    return found


def restores_live() -> bool:
    """Return whether dockerd's settings file turns live-restore on.

    Raises:
        UsageError: The file is no JSON object, or cannot be read.
    """
    return settings().get(KEY) is True


def in_swarm() -> bool:
    """Return whether the engine, which need not run, belongs to a swarm.

    Raises:
        UsageError: dockerd's settings file is no JSON object, or cannot be read.
    """
    root = Path(str(settings().get("data-root") or DATA_ROOT))
    return (root / "swarm/docker-state.json").exists()


def turn_on_live_restore(*, reload: bool, systemd: bool, report: Report) -> None:
    """Turn live-restore on in dockerd's settings file, whose other keys and mode stay.

    Args:
        reload: dockerd runs and is to read the file again, which stops nothing.
        systemd: systemd keeps its log.
        report: Gets one line.

    Raises:
        UsageError: The file is no JSON object, or cannot be read; it is unchanged.
        EngineError: It cannot be written, or dockerd did not take it.
    """
    skip, before = _log_size(), settings()
    if before.get(KEY) is not True:
        _write({**before, KEY: True})
    if reload:
        _reload(skip, systemd=systemd)
    report(f"{KEY} is on in {SETTINGS}")


def _reload(skip: int, *, systemd: bool) -> None:
    began = time.monotonic()
    if (pid := running()) is not None:
        os.kill(pid, signal.SIGHUP)
    while says(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]) != "true":
        if running() is None or time.monotonic() - began > RELOAD_SECONDS:
            raise EngineError(
                f"The Docker Engine did not take {KEY} from {SETTINGS}.",
                hint=f"What it said is below; all of it: {_log_name(systemd=systemd)}.",
                details=_last_lines(skip, systemd=systemd),
            )
        time.sleep(POLL_SECONDS)


def _write(wanted: dict[str, Any]) -> None:
    target = SETTINGS.resolve()  # a link stays one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(wanted, file, indent=4, ensure_ascii=False)
                file.write("\n")
                if target.exists():
                    about = target.stat()
                    os.fchown(descriptor, about.st_uid, about.st_gid)
                    os.fchmod(descriptor, stat.S_IMODE(about.st_mode))
                else:
                    os.fchmod(descriptor, 0o644)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise EngineError(f"{SETTINGS} cannot be written: {exc.strerror}.") from exc


def _no_object(why: str) -> UsageError:
    return UsageError(
        f"{SETTINGS} is no JSON object{why}. It was left as it is.",
        hint="Correct it (`dockerd --validate` looks at it), then run this again.",
    )


def _log_size() -> int:
    return LOG.stat().st_size if LOG.exists() else 0


def _log_name(*, systemd: bool) -> str:
    return "journalctl -u docker" if systemd else str(LOG)


def _last_lines(skip: int, *, systemd: bool) -> str:
    if systemd:
        return says(["journalctl", "-u", "docker", "-n", str(LOG_LINES), "--no-pager"])
    text = LOG.read_bytes()[skip:].decode(errors="replace") if LOG.exists() else ""
    lines = [line for line in text.splitlines() if "level=info" not in line]
    return "\n".join(lines[-LOG_LINES:])
