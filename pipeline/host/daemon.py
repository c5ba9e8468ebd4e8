"""dockerd on this machine: its process, its log, what it says of itself; its settings turned on."""

import json
import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.host import daemon_json
from pipeline.host.consent import Report
from pipeline.host.daemon_json import IMAGE_STORE, LIVE_RESTORE, Setting
from pipeline.host.probes import engine_pings, says

__all__ = [
    "LOG",
    "SNAPSHOTTER",
    "About",
    "Then",
    "about",
    "can_restart",
    "file_is_younger",
    "has_own_flags",
    "logs_by_flags",
    "running",
    "start",
    "turn_on",
]

LOG = Path("/var/log/dockerd.log")
PID_FILE = Path("/var/run/docker.pid")
SNAPSHOTTER = ["driver-type", "io.containerd.snapshotter.v1"]  # in DriverStatus: containerd's store
FIELDS = "{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}} {{.Containers}} {{json .DriverStatus}}"
OWN_FLAGS = (b"--config-file", b"--feature", b"--live-restore")
LOG_FLAGS = (b"--log-driver", b"--log-opt")  # dockerd does not start where its file says it, too
START_SECONDS = 60.0
STOP_SECONDS = 30.0
RELOAD_SECONDS = 10.0
POLL_SECONDS = 0.05
# A daemon outlives us: what our settings were is not its business.
INHERITED = re.compile(r"PATH|HOME|LANG|LC_\w+|TMPDIR|(?i:\w+_proxy)")
LOG_LINES = 20

# What makes dockerd take its settings file: nothing where it does not run yet.
Then = Literal["", "reload", "restart"]


@dataclass(frozen=True, kw_only=True)
class About:
    """What an engine that answers says of itself.

    Attributes:
        live_restore: It has it.
        image_store: Its images are in containerd's store.
        swarm: It is a node of a swarm.
        containers: How many it has, running or not; None where it does not say.
    """

    live_restore: bool = False
    image_store: bool = False
    swarm: bool = False
    containers: int | None = None


def about() -> About:
    """Ask the engine; nothing is true of one that does not answer."""
    live, swarm, containers, status, *_ = [
        *says(["docker", "info", "--format", FIELDS]).split(" ", 3),
        *("", "", "", ""),
    ]
    try:
        rows = json.loads(status or "null") or []
    except ValueError:
        rows = []
    return About(
        live_restore=live == "true",
        image_store=SNAPSHOTTER in rows,
        swarm=swarm not in {"", "inactive"},
        containers=int(containers) if containers.isdecimal() else None,
    )


def running() -> int | None:
    """Return the process id of this machine's dockerd; None where there is none."""
    try:
        pid = int(PID_FILE.read_text(encoding="ascii"))
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else None
    except (OSError, ValueError):
        return None


def has_own_flags(pid: int) -> bool:
    """Return whether dockerd `pid` was started with flags that the settings file cannot change."""
    return any(word.startswith(OWN_FLAGS) for word in _argv(pid))


def logs_by_flags(pid: int | None, *, systemd: bool) -> bool:
    """Return whether flags say how containers' logs are kept: then the settings file must not.

    Args:
        pid: Of dockerd; None where it does not run.
        systemd: systemd knows what it would be started with.
    """
    words = _argv(pid) if pid is not None else []
    if pid is None and systemd:
        said = says(["systemctl", "show", "--property=ExecStart", "--value", "docker"])
        words = said.encode().split()
    return any(word.startswith(LOG_FLAGS) for word in words)


def file_is_younger() -> bool:
    """Return whether the settings file was written after dockerd, which runs, was started."""
    try:
        return daemon_json.SETTINGS.stat().st_mtime > PID_FILE.stat().st_mtime
    except OSError:
        return False


def can_restart(pid: int, *, systemd: bool) -> bool:
    """Return whether dockerd `pid`, stopped and started by us, would be what it is now.

    systemd must be who runs it; without systemd, it must have no flags, and its end not be ours.
    """
    if systemd:
        said = says(["systemctl", "show", "--property=MainPID", "--value", "docker"])
        return said == str(pid)
    return pid != 1 and len(_argv(pid)) == 1


def _argv(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:  # gone
        return []


def start(*, systemd: bool, report: Report) -> None:
    """Start the engine and wait until it answers.

    Raises:
        EngineError: It ended by itself, or does not answer in time; with what it said.
    """
    began = time.monotonic()
    _start("enable --now", systemd=systemd)
    report(f"Docker Engine started in {time.monotonic() - began:.1f} s")


def turn_on(settings: Sequence[Setting], *, then: Then, systemd: bool, report: Report) -> None:
    """Turn `settings` on in dockerd's settings file, and let a dockerd that runs take them.

    Args:
        settings: What to turn on.
        then: What dockerd, which runs, needs for it. Reloading stops nothing, and takes no limits
            of logs: those count from its next start.
        systemd: systemd runs it, and keeps its log.
        report: Gets one line for each thing done.

    Raises:
        UsageError: The file is no JSON object, or cannot be read; it is unchanged.
        EngineError: It cannot be written, or dockerd did not take it. One that does not come
            back from its restart is started again with the settings that it had.
    """
    skip, before = _log_size(), daemon_json.turn_on(settings)
    if then == "reload":
        if (pid := running()) is not None:
            os.kill(pid, signal.SIGHUP)
        _await(settings, skip, systemd=systemd)
    elif then == "restart":
        began = time.monotonic()
        try:
            _restart(systemd=systemd)
            _await(settings, skip, systemd=systemd)
        except (EngineError, CommandError):
            daemon_json.write(before)
            _restart(systemd=systemd)
            report(f"{daemon_json.SETTINGS} says what it said before, and dockerd runs with it")
            raise
        report(f"Docker Engine restarted in {time.monotonic() - began:.1f} s")
    verb = "is" if len(settings) == 1 else "are"
    report(f"{' and '.join(settings)} {verb} on in {daemon_json.SETTINGS}")


def _await(settings: Sequence[Setting], skip: int, *, systemd: bool) -> None:
    began = time.monotonic()
    while True:
        seen = about()
        has = {LIVE_RESTORE: seen.live_restore, IMAGE_STORE: seen.image_store}
        missing = [setting for setting in settings if not has.get(setting, True)]
        if not missing:
            return
        if running() is None or time.monotonic() - began > RELOAD_SECONDS:
            raise EngineError(
                f"The Docker Engine did not take {' and '.join(missing)} from "
                f"{daemon_json.SETTINGS}.",
                hint=f"What it said is below; all of it: {_log_name(systemd=systemd)}.",
                details=_last_lines(skip, systemd=systemd),
            )
        time.sleep(POLL_SECONDS)


def _restart(*, systemd: bool) -> None:
    if not systemd and (pid := running()) is not None:
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        while _alive(pid):
            if time.monotonic() - began > STOP_SECONDS:
                raise EngineError(
                    f"The Docker Engine (process {pid}) did not end within {STOP_SECONDS:g} s.",
                    hint=f"{LOG} shows what it waits for.",
                )
            time.sleep(POLL_SECONDS)
    _start("restart", systemd=systemd)


def _start(verb: str, *, systemd: bool) -> None:
    began = time.monotonic()
    skip = _log_size()
    pid, failed = None, False
    if systemd:
        argv = ["systemctl", *verb.split(), "docker"]
        failed = shell.run(argv, timeout=START_SECONDS, check=False).code != 0
    else:
        pid = running() or shell.spawn(["dockerd"], log=LOG, inherit=INHERITED)
    while not engine_pings():
        if pid is not None and not _alive(pid):
            pid = running()  # another `up` was faster
            failed = pid is None
        if failed or time.monotonic() - began > START_SECONDS:
            raise EngineError(
                f"The Docker Engine {'ended by itself' if failed else 'does not answer'}.",
                hint=f"What it said is below; all of it: {_log_name(systemd=systemd)}.",
                details=_last_lines(skip, systemd=systemd),
            )
        time.sleep(POLL_SECONDS)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()  # a zombie has none


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
