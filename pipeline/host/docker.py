"""A Docker Engine with Compose v2 and buildx: seen, installed where it is missing, started.

`observe()` looks, `needed()` decides and is pure, `ensure_engine()` asks and does.
Whatever is there already is used as it is.
"""

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, EngineError, UsageError
from pipeline.host import apt
from pipeline.host.client import engine_host
from pipeline.host.consent import Confirm, Report, agree
from pipeline.host.probes import DOCKER_SOCKET, engine_pings

__all__ = [
    "COMPOSE_FLOOR",
    "Install",
    "Machine",
    "Start",
    "compose_version",
    "ensure_engine",
    "needed",
    "observe",
]

COMPOSE_FLOOR = (2, 24)  # the first to take an env_file that may be missing
LOOK_SECONDS = 10.0
START_SECONDS = 60.0
POLL_SECONDS = 0.05
LOG_LINES = 20
LOG = Path("/var/log/dockerd.log")
PID_FILE = Path("/var/run/docker.pid")
DOCKER_CE = Path("/var/lib/dpkg/info/docker-ce.list")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # not on every user's PATH


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What `observe()` saw.

    Attributes:
        engine: Version of the engine that answers; "" where none does.
        elsewhere: DOCKER_HOST, or the client's context, where that is not this machine's engine.
        refused: An engine is here but this user may not talk to it.
        daemon: dockerd is installed.
        client: The `docker` command is on PATH.
        compose: Version of the Compose plugin; () where there is none.
        buildx: The buildx plugin works.
        root: We are root.
        systemd: systemd is PID 1.
        apparmor: The kernel enforces AppArmor and the tools for it are missing.
        docker_ce: The engine here is from Docker's own packages.
        distro: From /etc/os-release.
        docker_key: Of Docker's own repository, where it can be reached and is needed.
    """

    engine: str = ""
    elsewhere: str = ""
    refused: bool = False
    daemon: bool = False
    client: bool = False
    compose: tuple[int, ...] = ()
    buildx: bool = False
    root: bool = True
    systemd: bool = False
    apparmor: bool = False
    docker_ce: bool = False
    distro: apt.Distro
    docker_key: bytes | None = None

    @property
    def lacks(self) -> tuple[str, ...]:
        """Return the parts to install, in installation order."""
        have = {
            "engine": self.daemon or bool(self.engine),
            "client": self.client,
            "compose": self.compose >= COMPOSE_FLOOR,
            "buildx": self.buildx,
        }
        return tuple(part for part, there in have.items() if not there)


@dataclass(frozen=True, kw_only=True)
class Install:
    """Packages to install, and who made them."""

    packages: tuple[str, ...]
    parts: tuple[str, ...]
    origin: str
    key: bytes | None

    def __str__(self) -> str:
        named = {"engine": "Docker Engine", "client": "the docker command", "compose": "Compose v2"}
        parts = ", ".join(named.get(part, part) for part in self.parts)
        return f"{parts}: install {' '.join(self.packages)} from {self.origin}"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The engine to start."""

    systemd: bool

    def __str__(self) -> str:
        how = "systemctl enable --now docker" if self.systemd else f"dockerd, log in {LOG}"
        return f"a running Docker Engine: start it ({how})"


def observe() -> Machine:
    """Look at this machine; changes nothing."""
    client = shutil.which("docker") is not None
    engine = _engine_version(client=client)
    daemon = (shutil.which("dockerd") or shutil.which("dockerd", path=SBIN)) is not None
    distro = apt.this_distro()
    docker_ce = DOCKER_CE.exists()
    fresh = not (engine or daemon)
    return Machine(
        engine=engine,
        elsewhere="" if engine else _elsewhere(client=client),
        refused=not engine and DOCKER_SOCKET.exists() and not os.access(DOCKER_SOCKET, os.W_OK),
        daemon=daemon,
        client=client,
        compose=compose_version() if client else (),
        buildx=client and _answer(["docker", "buildx", "version"]) != "",
        root=os.geteuid() == 0,
        systemd=apt.SYSTEMD.is_dir(),
        apparmor=_apparmor_incomplete(),
        docker_ce=docker_ce,
        distro=distro,
        docker_key=apt.docker_key(distro) if fresh else None,
    )


def needed(machine: Machine) -> tuple[Install | Start, ...]:
    """Return what must be done until the engine answers and has all its parts.

    Raises:
        EngineError: The engine is one that is not ours to install or start.
        UsageError: Something is needed that takes root, or a distribution we do not know.
    """
    if machine.elsewhere:
        raise EngineError(
            f"The Docker Engine that this shell is set to ({machine.elsewhere}) does not answer.",
            hint="Start that engine; or unset DOCKER_HOST (`docker context use default`).",
        )
    if machine.refused:
        raise EngineError(
            f"This user may not talk to the Docker Engine of this machine ({DOCKER_SOCKET}).",
            hint="As root: usermod -aG docker <user>; then log in again.",
        )
    actions: list[Install | Start] = []
    if machine.lacks:
        actions.append(_installation(machine))
    if not machine.engine:
        actions.append(Start(systemd=machine.systemd))
    if actions and not machine.root:
        raise UsageError(
            f"Only root can set this machine up. It lacks: {'; '.join(map(str, actions))}.",
            hint="sudo ./bin/invoke host --yes",
        )
    return tuple(actions)


def ensure_engine(*, yes: bool, interactive: bool, confirm: Confirm, report: Report) -> None:
    """Make sure that an engine answers, with Compose v2 and buildx; do nothing where it does.

    Args:
        yes: Install and start without asking.
        interactive: Somebody is at a terminal.
        confirm: Asks that person.
        report: Gets one line for each thing done.

    Raises:
        UsageError: Something is missing and nobody agreed to it, or we are not root.
        EngineError: It could not be installed or does not start.
    """
    machine = observe()
    actions = needed(machine)
    if not actions:
        compose = ".".join(map(str, machine.compose))
        report(f"Docker Engine {machine.engine} answers, with Compose {compose} and buildx")
        return
    steps = [str(action) for action in actions]
    if not machine.engine:
        steps.append("the base images, which are looked at once the engine answers")
    agree(steps, yes=yes, interactive=interactive, confirm=confirm, report=report)
    for action in actions:
        if isinstance(action, Install):
            apt.install(action.packages, distro=machine.distro, key=action.key, report=report)
        else:
            _start(systemd=action.systemd, report=report)
    left = observe()
    if left.lacks or not left.engine:
        missing = ", ".join(left.lacks) or "an engine that answers"
        raise EngineError(
            f"The installation went through, but this is still missing: {missing}.",
            hint="`docker version`, `docker compose version`, `docker buildx version` must answer.",
        )


def _installation(machine: Machine) -> Install:
    if machine.docker_key is not None or machine.docker_ce:
        vendor: apt.Vendor | None = apt.DOCKER
    else:
        vendor = apt.distribution(machine.distro)
    if vendor is None:
        raise UsageError(
            f"This machine lacks: {', '.join(machine.lacks)}; installing them is known for Debian"
            f" and Ubuntu only, and this is {machine.distro.id or 'something else'}.",
            hint="Install Docker Engine with Compose v2 and buildx, then run this again.",
        )
    extra = ("apparmor",) if machine.apparmor and "engine" in machine.lacks else ()
    return Install(
        packages=(*vendor.needed(machine.lacks), *extra),
        parts=machine.lacks,
        origin=apt.origin(vendor, machine.distro),
        key=machine.docker_key,
    )


def _answer(argv: list[str]) -> str:
    try:
        result = shell.run(argv, timeout=LOOK_SECONDS, check=False)
    except CommandError:  # not installed after all, or it hangs
        return ""
    return result.stdout.strip() if result.code == 0 else ""


def _engine_version(*, client: bool) -> str:
    if client:
        return _answer(["docker", "version", "--format", "{{.Server.Version}}"])
    return "(version unknown)" if engine_pings() else ""


def compose_version() -> tuple[int, ...]:
    """Return major and minor version of the Compose plugin; () where there is none."""
    found = re.match(r"v?(\d+)\.(\d+)", _answer(["docker", "compose", "version", "--short"]))
    return tuple(int(number) for number in found.groups()) if found else ()


def _elsewhere(*, client: bool) -> str:
    host = engine_host()
    if host:
        return f"DOCKER_HOST={host}"
    context = _answer(["docker", "context", "show"]) if client else ""
    return f"docker context {context}" if context not in {"", "default"} else ""


def _apparmor_incomplete() -> bool:
    enforced = APPARMOR.exists() and APPARMOR.read_text(encoding="ascii").startswith("Y")
    return enforced and shutil.which("apparmor_parser", path=SBIN) is None


def _start(*, systemd: bool, report: Report) -> None:
    began = time.monotonic()
    skip = LOG.stat().st_size if LOG.exists() else 0
    pid, failed = None, False
    if systemd:
        argv = ["systemctl", "enable", "--now", "docker"]
        failed = shell.run(argv, timeout=START_SECONDS, check=False).code != 0
    else:
        pid = _running_daemon() or shell.spawn(["dockerd"], log=LOG)
    while not engine_pings():
        if pid is not None and not Path(f"/proc/{pid}/exe").exists():  # gone, or a zombie
            pid = _running_daemon()  # another `up` was faster
            failed = pid is None
        if failed or time.monotonic() - began > START_SECONDS:
            log = "journalctl -u docker" if systemd else LOG
            raise EngineError(
                f"The Docker Engine {'ended by itself' if failed else 'does not answer'}.",
                hint=f"What it said is below; all of it: {log}.",
                details=_journal() if systemd else _last_lines(skip),
            )
        time.sleep(POLL_SECONDS)
    report(f"Docker Engine started in {time.monotonic() - began:.1f} s")


def _running_daemon() -> int | None:
    try:
        pid = int(PID_FILE.read_text(encoding="ascii"))
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else None
    except (OSError, ValueError):
        return None


def _journal() -> str:
    return _answer(["journalctl", "-u", "docker", "-n", str(LOG_LINES), "--no-pager"])


def _last_lines(skip: int) -> str:
    text = LOG.read_bytes()[skip:].decode(errors="replace")
    lines = [line for line in text.splitlines() if "level=info" not in line]
    return "\n".join(lines[-LOG_LINES:])
