"""What an engine's machine lacks: decided from what was seen of it, and nothing else.

Whatever is there already is used as it is; an engine that is ours also gets live-restore, limits
for containers' logs and, where nothing can be lost by it, containerd's image store.
"""

from dataclasses import dataclass

from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon, daemon_json, packages
from pipeline.host.daemon_json import IMAGE_STORE, LIVE_RESTORE, LOG_LIMITS, Setting
from pipeline.host.machine import Machine
from pipeline.host.probes import DOCKER_SOCKET

__all__ = ["SET_UP", "Action", "Configure", "Install", "Start", "needed", "ready"]

STORE_FLOOR = 24  # the first engine whose containerd image store is more than a beginning
PARTS = ("docker", "containerd", "runc")  # what an engine's packages are called, all of them
SET_UP = "./bin/invoke host --yes"
WHY: dict[Setting, str] = {
    LIVE_RESTORE: "live-restore, with which containers survive a restart of the engine",
    IMAGE_STORE: "the containerd image store, which keeps attestations and several platforms",
    LOG_LIMITS: "a limit for each container's log (3 files of 10 MB; of containers made after"
    " dockerd's next start)",
}
THEN: dict[daemon.Then, str] = {
    "": "",
    "reload": ", reload dockerd (nothing is stopped)",
    "restart": ", restart dockerd (it has no containers; images in its store of now are not seen"
    " afterwards)",
}


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
class Configure:
    """Settings to turn on in the engine's file, and what an engine that runs needs then."""

    settings: tuple[Setting, ...]
    then: daemon.Then

    def __str__(self) -> str:
        why = ", and ".join(WHY[setting] for setting in self.settings)
        them = "it" if len(self.settings) == 1 else "them"
        return f"{why}: set {them} in {daemon_json.SETTINGS}{THEN[self.then]}"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The engine to start."""

    systemd: bool

    def __str__(self) -> str:
        how = "systemctl enable --now docker" if self.systemd else f"dockerd, log in {daemon.LOG}"
        return f"a running Docker Engine: start it ({how})"


Action = Install | Configure | Start


def needed(machine: Machine) -> tuple[Action, ...]:
    """Return what must be done, by root, until the engine answers and has all its parts.

    Raises:
        EngineError: The engine is one that is not ours to install or start, or its installation was
            interrupted.
        UsageError: A distribution that we know is needed, or a settings file that is one.
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
    if machine.podman:
        raise EngineError(
            "The `docker` command of this machine is Podman's, which is no Docker Engine.",
            hint="As root: `apt-get remove podman-docker`; then run this again.",
        )
    half = [name for name in machine.broken if name.startswith(PARTS)]
    if half or (machine.broken and machine.lacks):
        raise _interrupted(machine)
    actions: list[Action] = []
    if machine.lacks:
        actions.append(_installation(machine))
    configure = _configuration(machine)
    if configure is not None:
        if machine.unusable and machine.root:
            raise machine.unusable
        # Before an engine is there that could start by itself, after the client that asks it.
        actions.insert(len(actions) if machine.engine else 0, configure)
    if not machine.engine:
        actions.append(Start(systemd=machine.systemd))
    return tuple(actions)


def _configuration(machine: Machine) -> Configure | None:
    if machine.swarm or not (machine.managed or not machine.engine):
        return None
    lacking: list[Setting] = [] if machine.live_restore else [LIVE_RESTORE]
    if not machine.image_store and not _hurdle(machine):
        lacking.append(IMAGE_STORE)
    if not machine.log_limits:
        lacking.append(LOG_LIMITS)
    then: daemon.Then = ""  # limits of logs are no reason to restart an engine that serves
    if machine.engine and IMAGE_STORE in lacking:
        then = "restart"
    elif machine.engine and LIVE_RESTORE in lacking:
        then = "reload"
    return Configure(settings=tuple(lacking), then=then) if lacking else None


def _hurdle(machine: Machine) -> str:
    """Return why the image store of an engine that is ours stays what it is, and what to type."""
    if machine.swarm:
        return "a node of a swarm is left as it is"
    if machine.store_refused:
        return (
            f"{daemon_json.SETTINGS} turns it off. Where that may change, take {IMAGE_STORE} out "
            f"of it, then {SET_UP}"
        )
    if machine.engine and _major(machine.engine) < STORE_FLOOR:
        return f"it takes Docker Engine {STORE_FLOOR} or later"
    if machine.containers != 0:
        count = "its" if machine.containers is None else f"its {machine.containers}"
        return (
            f"{count} containers would not be seen with it. Remove them (`./bin/invoke down` keeps "
            f"the data; `docker ps --all` shows all others), then {SET_UP}"
        )
    if machine.engine and not machine.restartable:
        return (
            "its dockerd was started with flags, or by somebody of its own. Set features."
            f"{IMAGE_STORE} to true in {daemon_json.SETTINGS}, and restart it as it was started"
        )
    return ""


def _major(version: str) -> int:
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def ready(machine: Machine) -> str:
    """Return what an engine that answers has, and why it lacks what it lacks."""
    compose = ".".join(map(str, machine.compose))
    said = [f"Docker Engine {machine.engine} answers, with Compose {compose} and buildx"]
    if machine.live_restore:
        said.append("containers survive its restart (live-restore)")
    else:
        said.append("without live-restore" + machine.swarm * ", which a swarm node cannot have")
    if machine.image_store:
        said.append("images are in containerd's store")
    else:
        why = _hurdle(machine) if machine.managed else ""
        said.append("without the containerd image store" + (why and f": {why}"))
    return "; ".join(said)


def _installation(machine: Machine) -> Install:
    if machine.docker_key is not None or machine.docker_ce:
        vendor: apt.Vendor | None = apt.DOCKER
    else:
        known = packages.known(machine.distro)
        vendor = apt.distribution(machine.distro) if known else None
    if vendor is None:
        raise UsageError(
            f"This machine lacks: {', '.join(machine.lacks)}; installing them is known for"
            f" {packages.names()} only, and this is {packages.name(machine.distro)}.",
            hint="Install Docker Engine with Compose v2 and buildx, then run this again.",
        )
    extra = ("apparmor",) if machine.apparmor and "engine" in machine.lacks else ()
    return Install(
        packages=(*vendor.needed(machine.lacks), *extra),
        parts=machine.lacks,
        origin=apt.origin(vendor, machine.distro),
        key=machine.docker_key,
    )


def _interrupted(machine: Machine) -> EngineError:
    return EngineError(
        f"The installation of {', '.join(machine.broken)} on this machine was interrupted, or goes"
        " on: before it has ended, nothing else can be installed or started.",
        hint="If none goes on (`ps -C apt-get,dpkg`), as root: `dpkg --configure -a`; then run"
        " this again.",
    )
