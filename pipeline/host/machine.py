"""This machine as it is seen: engine, client, plugins, settings. Changes nothing."""

import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.host import apt, daemon, daemon_json, packages
from pipeline.host.client import engine_host
from pipeline.host.daemon_json import IMAGE_STORE, LIVE_RESTORE, LOG_LIMITS
from pipeline.host.probes import DOCKER_SOCKET, engine_pings, says

__all__ = ["COMPOSE_FLOOR", "Machine", "compose_version", "observe"]

COMPOSE_FLOOR = (2, 24)  # the first to take an env_file that may be missing
DOCKER_CE = Path("/var/lib/dpkg/info/docker-ce.list")
DOCKER_CE_LISTS = ("docker-ce.list", "docker-ce-cli.list")  # its client cannot be beside another
PODMAN_LIST = "podman-docker.list"
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
        restartable: It would come back from a restart as it is; looked at where it needs one.
        live_restore: The engine has it; where none answers: it will, as its settings file says.
        image_store: The same of containerd's image store.
        store_refused: The engine's settings file turns that store off.
        containers: How many the engine has, running or not; None where nobody knows.
        swarm: A swarm node, which cannot have live-restore.
        log_limits: The engine's settings file limits containers' logs, or must not.
        unusable: Why the engine's settings file cannot be added to.
        daemon: dockerd is installed.
        client: The `docker` command is on PATH.
        compose: Version of the Compose plugin; () where there is none.
        buildx: The buildx plugin works.
        root: We are root.
        systemd: systemd is PID 1.
        apparmor: The kernel enforces AppArmor and the tools for it are missing.
        docker_ce: The engine here, or its client, is from Docker's own packages.
        distro: From /etc/os-release.
        docker_key: Of Docker's own repository, where it can be reached and is needed.
        broken: Packages whose installation was interrupted; looked at where some must be installed,
            or the engine does not answer.
        podman: The `docker` command is Podman's.
    """

    engine: str = ""
    elsewhere: str = ""
    refused: bool = False
    managed: bool = False
    restartable: bool = False
    live_restore: bool = False
    image_store: bool = False
    store_refused: bool = False
    containers: int | None = 0
    swarm: bool = False
    log_limits: bool = False
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
    broken: tuple[str, ...] = ()
    podman: bool = False

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


@dataclass(kw_only=True)
class _Settled:
    """What the engine, or the settings file that it will read, says."""

    live_restore: bool
    image_store: bool
    swarm: bool
    containers: int | None
    store_refused: bool = False
    log_limits: bool = False
    unusable: UsageError | None = None


def observe() -> Machine:
    """Look at this machine; changes nothing."""
    client = shutil.which("docker") is not None
    engine = _engine_version(client=client)
    elsewhere = _elsewhere(client=client)
    installed = (shutil.which("dockerd") or shutil.which("dockerd", path=SBIN)) is not None
    distro = apt.this_distro()
    docker_ce = any(DOCKER_CE.with_name(name).exists() for name in DOCKER_CE_LISTS)
    fresh = not (engine or installed)
    root = os.geteuid() == 0
    systemd = apt.SYSTEMD.is_dir()
    pid = daemon.running() if engine and not elsewhere else None
    managed = pid is not None and not daemon.has_own_flags(pid)
    settled = _settled(engine=bool(engine), ours=managed or not engine, root=root)
    settled.log_limits = settled.log_limits or daemon.logs_by_flags(pid, systemd=systemd)
    seen = Machine(
        engine=engine,
        elsewhere=elsewhere,
        refused=not engine and DOCKER_SOCKET.exists() and not os.access(DOCKER_SOCKET, os.W_OK),
        managed=managed,
        restartable=(
            pid is not None and not settled.image_store and daemon.can_restart(pid, systemd=systemd)
        ),
        daemon=installed,
        client=client,
        compose=compose_version() if client else (),
        buildx=client and says(["docker", "buildx", "version"]) != "",
        root=root,
        systemd=systemd,
        apparmor=_apparmor_incomplete(),
        docker_ce=docker_ce,
        podman=DOCKER_CE.with_name(PODMAN_LIST).exists(),
        distro=distro,
        docker_key=apt.docker_key(distro) if fresh else None,
        **vars(settled),
    )
    whole = seen.engine and not seen.lacks
    return seen if whole else replace(seen, broken=packages.broken())


def _engine_version(*, client: bool) -> str:
    if client:
        return says(["docker", "version", "--format", "{{.Server.Version}}"])
    return "(version unknown)" if engine_pings() else ""


def _settled(*, engine: bool, ours: bool, root: bool) -> _Settled:
    seen = daemon.about() if engine else daemon.About(containers=0)
    settled = _Settled(**vars(seen))
    if not ours:
        return settled
    try:
        if root:  # nobody else sees what is in an engine's folder
            settled.swarm = seen.swarm or daemon_json.in_swarm()
        settled.store_refused = daemon_json.value(IMAGE_STORE) is False
        settled.log_limits = daemon_json.value(LOG_LIMITS) is True
        if root and not engine:
            settled.live_restore = daemon_json.value(LIVE_RESTORE) is True
            settled.image_store = daemon_json.value(IMAGE_STORE) is True
            settled.containers = None if daemon_json.has_containers() else 0
    except UsageError as exc:
        settled.unusable = exc
    return settled


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
