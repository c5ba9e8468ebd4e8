"""A Docker Engine with Compose v2 and buildx: seen, installed where it is missing, started.

`observe()` looks, `needed()` decides and is pure, `ensure_engine()` asks and does.
Whatever is there already is used as it is; an engine that is ours also gets live-restore.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon
from pipeline.host.client import engine_host
from pipeline.host.consent import Confirm, Report, agree
from pipeline.host.probes import DOCKER_SOCKET, engine_pings, says

__all__ = [
    "COMPOSE_FLOOR",
    "Install",
    "LiveRestore",
    "Machine",
    "Start",
    "compose_version",
    "ensure_engine",
    "needed",
    "observe",
]

COMPOSE_FLOOR = (2, 24)  # the first to take an env_file that may be missing
DOCKER_CE = Path("/var/lib/dpkg/info/docker-ce.list")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # not on every user's PATH


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What `observe()` saw.

    Attributes:
        engine: Version of the engine that answers; "" where none does.
        elsewhere: DOCKER_HOST, or the client's context, where that names an engine of its own.
        refused: An engine is here but this user may not talk to it.
        managed: The engine that answers is this machine's own, and its settings file is ours.
        live_restore: The engine has it; where none answers: it will, as its settings file says.
        swarm: A swarm node, which cannot have live-restore.
        unusable: Why the engine's settings file cannot be added to.
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
    managed: bool = False
    live_restore: bool = False
    swarm: bool = False
    unusable: UsageError | None = None
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
class LiveRestore:
    """The engine's settings file to add to; `reload`: it runs, and reads the file again."""

    reload: bool

    def __str__(self) -> str:
        then = ", reload dockerd (nothing is stopped)" if self.reload else ""
        return (
            f"live-restore, with which containers survive a restart of the engine: "
            f"set it in {daemon.SETTINGS}{then}"
        )


@dataclass(frozen=True, kw_only=True)
class Start:
    """The engine to start."""

    systemd: bool

    def __str__(self) -> str:
        how = "systemctl enable --now docker" if self.systemd else f"dockerd, log in {daemon.LOG}"
        return f"a running Docker Engine: start it ({how})"


Action = Install | LiveRestore | Start


def observe() -> Machine:
    """Look at this machine; changes nothing."""
    client = shutil.which("docker") is not None
    engine = _engine_version(client=client)
    elsewhere = _elsewhere(client=client)
    installed = (shutil.which("dockerd") or shutil.which("dockerd", path=SBIN)) is not None
    distro = apt.this_distro()
    docker_ce = DOCKER_CE.exists()
    fresh = not (engine or installed)
    root = os.geteuid() == 0
    pid = daemon.running() if root and engine and not elsewhere else None
    live_restore, swarm, unusable = _live_restore(engine=bool(engine), root=root)
    return Machine(
        engine=engine,
        elsewhere=elsewhere,
        refused=not engine and DOCKER_SOCKET.exists() and not os.access(DOCKER_SOCKET, os.W_OK),
        managed=pid is not None and not daemon.has_own_flags(pid),
        live_restore=live_restore,
        swarm=swarm,
        unusable=unusable,
        daemon=installed,
        client=client,
        compose=compose_version() if client else (),
        buildx=client and says(["docker", "buildx", "version"]) != "",
        root=root,
        systemd=apt.SYSTEMD.is_dir(),
        apparmor=_apparmor_incomplete(),
        docker_ce=docker_ce,
        distro=distro,
        docker_key=apt.docker_key(distro) if fresh else None,
    )


def needed(machine: Machine) -> tuple[Action, ...]:
    """Return what must be done until the engine answers and has all its parts.

    Raises:
        EngineError: The engine is one that is not ours to install or start.
        UsageError: Something is needed that takes root, a distribution that we know, or a
            settings file that is one.
    """
    if machine.elsewhere and not machine.engine:
        raise EngineError(
            f"The Docker Engine that this shell is set to ({machine.elsewhere}) does not answer.",
            hint="Start that engine; or unset DOCKER_HOST (`docker context use default`).",
        )
    if machine.refused:
        raise EngineError(
            f"This user may not talk to the Docker Engine of this machine ({DOCKER_SOCKET}).",
            hint="As root: usermod -aG docker <user>; then log in again.",
        )
    actions: list[Action] = []
    if machine.lacks:
        actions.append(_installation(machine))
    if _lacks_live_restore(machine):
        # Before an engine is there that could start by itself, after the client that asks it.
        at = len(actions) if machine.engine else 0
        actions.insert(at, LiveRestore(reload=bool(machine.engine)))
    if not machine.engine:
        actions.append(Start(systemd=machine.systemd))
    if actions and not machine.root:
        raise UsageError(
            f"Only root can set this machine up. It lacks: {'; '.join(map(str, actions))}.",
            hint="sudo ./bin/invoke host --yes",
        )
    if machine.unusable and _lacks_live_restore(machine):
        raise machine.unusable
    return tuple(actions)


def _lacks_live_restore(machine: Machine) -> bool:
    ours = machine.managed or not machine.engine
    return ours and not machine.live_restore and not machine.swarm


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
        report(_ready(machine))
        return
    steps = [str(action) for action in actions]
    if not machine.engine:
        steps.append("the base images, which are looked at once the engine answers")
    try:
        agree(steps, yes=yes, interactive=interactive, confirm=confirm, report=report)
    except UsageError:
        if actions != (LiveRestore(reload=True),):
            raise
        report(f"{_ready(machine)} (`./bin/invoke host --yes` turns it on)")
        return
    for action in actions:
        if isinstance(action, Install):
            apt.install(action.packages, distro=machine.distro, key=action.key, report=report)
        elif isinstance(action, LiveRestore):
            daemon.turn_on_live_restore(
                reload=action.reload, systemd=machine.systemd, report=report
            )
        else:
            daemon.start(systemd=action.systemd, report=report)
    left = observe()
    if left.lacks or not left.engine:
        missing = ", ".join(left.lacks) or "an engine that answers"
        raise EngineError(
            f"The installation went through, but this is still missing: {missing}.",
            hint="`docker version`, `docker compose version`, `docker buildx version` must answer.",
        )
    report(_ready(left))


def _ready(machine: Machine) -> str:
    compose = ".".join(map(str, machine.compose))
    parts = f"Docker Engine {machine.engine} answers, with Compose {compose} and buildx"
    if machine.live_restore:
        return f"{parts}; containers survive its restart (live-restore)"
    why = ", which a swarm node cannot have" if machine.swarm else ""
    return f"{parts}; without live-restore{why}"


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


def _engine_version(*, client: bool) -> str:
    if client:
        return says(["docker", "version", "--format", "{{.Server.Version}}"])
    return "(version unknown)" if engine_pings() else ""


def _live_restore(*, engine: bool, root: bool) -> tuple[bool, bool, UsageError | None]:
    """Return `live_restore`, `swarm` and `unusable` of a Machine."""
    fields = "{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}}"
    said = says(["docker", "info", "--format", fields]) if engine else ""
    on, _, swarm = said.partition(" ")
    try:
        in_swarm = swarm not in {"", "inactive"} or (root and daemon.in_swarm())
        will = root and not engine and daemon.restores_live()
    except UsageError as exc:
        return on == "true", False, exc
    return on == "true" or will, in_swarm, None


def compose_version() -> tuple[int, ...]:
    """Return major and minor version of the Compose plugin; () where there is none."""
    found = re.match(r"v?(\d+)\.(\d+)", says(["docker", "compose", "version", "--short"]))
    return tuple(int(number) for number in found.groups()) if found else ()


def _elsewhere(*, client: bool) -> str:
    host = engine_host()
    if host:
        return f"DOCKER_HOST={host}"
    context = says(["docker", "context", "show"]) if client else ""
    return f"docker context {context}" if context not in {"", "default"} else ""


def _apparmor_incomplete() -> bool:
    enforced = APPARMOR.exists() and APPARMOR.read_text(encoding="ascii").startswith("Y")
    return enforced and shutil.which("apparmor_parser", path=SBIN) is None
