"""The engine and its plugins: there, answering, as deployments need them, back after a reboot."""

import os
import re
import shutil

from pipeline import shell
from pipeline.errors import CommandError, PipelineError
from pipeline.host import apt, daemon, daemon_json
from pipeline.host.bases import BASES, missing_bases
from pipeline.host.client import connect, engine_host
from pipeline.host.daemon import SNAPSHOTTER
from pipeline.host.doctor.check import CHILD_SECONDS, SET_UP, Check, failed, fine, user, warned
from pipeline.host.doctor.facts import PROJECT, SECONDS, Facts, is_here
from pipeline.host.machine import COMPOSE_FLOOR, SBIN
from pipeline.host.probes import DOCKER_SOCKET

__all__ = [
    "base_images",
    "boot",
    "buildx",
    "compose",
    "engine",
    "image_store",
    "live_restore",
    "log_limits",
    "platforms",
    "silence",
]

_SIZED = {"json-file"}  # drivers whose logs grow without end unless they are told where it is
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}


def engine(facts: Facts) -> Check:
    """Look whether the engine answers."""
    try:
        version = facts.info()["ServerVersion"]
    except PipelineError:
        message, remedy = silence()
        return failed("engine", message, remedy)
    return fine("engine", f"Docker Engine {version} answers")


def silence() -> tuple[str, str]:
    """Return why no engine answers, and what mends that."""
    if not is_here():
        message = f"the engine that DOCKER_HOST={engine_host()} names does not answer"
        return message, "unset DOCKER_HOST  # this machine's own engine is asked then"
    if not DOCKER_SOCKET.exists():
        installed = shutil.which("dockerd") or shutil.which("dockerd", path=SBIN)
        client = shutil.which("docker")
        if installed:
            return "dockerd is installed and does not run", SET_UP
        half = "the docker command is here, and no engine: half an installation"
        return half if client else "no Docker Engine is installed", SET_UP
    if not os.access(DOCKER_SOCKET, os.W_OK):
        return (
            f"user {user()} may not talk to the engine",
            f"sudo usermod --append --groups docker {user()}  # then log in again",
        )
    pid = daemon.running()
    if pid is None:
        return f"dockerd does not run; it left {DOCKER_SOCKET} behind", SET_UP
    systemd = apt.SYSTEMD.is_dir()
    log = "journalctl --unit docker" if systemd else daemon.LOG
    restart = "sudo systemctl restart docker" if systemd else f"sudo kill {pid} && {SET_UP}"
    message = f"dockerd (process {pid}) runs and does not answer within {SECONDS} s"
    return message, f"{restart}  # {log} says what it did last"


def compose(_: Facts) -> Check:
    """Look for Compose and its version."""
    floor = ".".join(map(str, COMPOSE_FLOOR))
    said = _said("docker", "compose", "version", "--short")
    found = re.match(r"v?(\d+)\.(\d+)", said or "")
    if said is None:
        return failed("compose", "the docker command is not installed", SET_UP)
    if found is None:
        return failed("compose", f"Compose is not installed; {floor} or later is needed", SET_UP)
    shown = f"{found[1]}.{found[2]}"
    if (int(found[1]), int(found[2])) < COMPOSE_FLOOR:
        return failed("compose", f"Compose {floor} or later is needed, this is {shown}", SET_UP)
    return fine("compose", f"Compose {shown}")


def buildx(_: Facts) -> Check:
    """Look for buildx."""
    said = _said("docker", "buildx", "version")
    if said is None:
        return failed("buildx", "the docker command is not installed", SET_UP)
    if not said:
        return failed("buildx", "the buildx plugin is not installed", SET_UP)
    return fine("buildx", said)


def live_restore(facts: Facts) -> Check:
    """Look whether containers survive a restart of the engine."""
    about = facts.info()
    if about["LiveRestoreEnabled"]:
        return fine("live-restore", "containers survive a restart of the engine")
    if about["Swarm"]["LocalNodeState"] != "inactive":
        return fine("live-restore", "a swarm node cannot have it")
    return warned("live-restore", "off: containers stop with the engine", SET_UP)


def image_store(facts: Facts) -> Check:
    """Look whether the engine can keep what a registry keeps."""
    if SNAPSHOTTER in (facts.info().get("DriverStatus") or []):
        return fine("image store", "containerd's: it keeps attestations and several platforms")
    message = "not containerd's: it keeps no attestations, and one platform only"
    return failed("image store", message, SET_UP)


def log_limits(facts: Facts) -> Check:
    """Look for containers, running or still to come, whose logs grow until the disk is full."""
    with connect(seconds=SECONDS) as client:
        ours = client.api.containers(filters={"label": f"{PROJECT}={facts.settings.app}"})
        endless = []
        for each in ours:
            about = client.api.inspect_container(each["Id"])
            kept = about["HostConfig"].get("LogConfig") or {}
            if kept.get("Type") in _SIZED and "max-size" not in (kept.get("Config") or {}):
                endless.append(about["Name"].removeprefix("/"))
    if endless:
        message = f"the logs of {', '.join(endless)} have no limit"
        remedy = "# give them `logging` in docker-compose.yml, as its other services have it"
        return warned("log limits", message, remedy)
    driver = str(facts.info().get("LoggingDriver"))
    if is_here() and driver in _SIZED:
        options = daemon_json.read().get("log-opts")
        if not (isinstance(options, dict) and options.get("max-size")):
            message = "this service's have one; those of other containers grow without end"
            return warned("log limits", message, SET_UP)
    return fine("log limits", f"{driver}: none grows without end")


def boot(_: Facts) -> Check:
    """Look whether the engine, and with it every container, comes back after a reboot."""
    if not is_here():
        return fine("boot", "the engine is another machine's")
    if not apt.SYSTEMD.is_dir():
        message = "this machine has no systemd, which would start the engine after a reboot"
        return warned("boot", message, f"{SET_UP}  # after each reboot: it starts the engine")
    said = _said("systemctl", "is-enabled", "docker.service", check=False) or "not known to systemd"
    if said == "enabled":
        return fine("boot", "systemd starts the engine, the engine starts the containers")
    message = f"docker.service is {said}: after a reboot nothing serves"
    return failed("boot", message, "sudo systemctl enable docker.service")


def platforms(facts: Facts) -> Check:
    """Look whether images are built for what this engine runs."""
    about, wanted = facts.info(), facts.settings.platforms
    machine = str(about.get("Architecture"))
    here = f"{about.get('OSType')}/{_ARCHITECTURES.get(machine, machine)}"
    if wanted and here not in wanted.split(","):
        message = f"images are for {wanted}, and this engine runs {here}: none would start here"
        return warned("platforms", message, f"export PIPELINE_PLATFORMS={here}")
    return fine("platforms", f"{here}, as this engine runs")


def base_images(_: Facts) -> Check:
    """Look for the images that builds and services start from."""
    if missing := missing_bases():
        return warned("base images", f"missing: {', '.join(missing)}", SET_UP)
    return fine("base images", f"{len(BASES)} of {len(BASES)} are here")


def _said(*argv: str, check: bool = True) -> str | None:
    """Return what a program prints; "" where it fails, None where there is no such program."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        result = shell.run(argv, timeout=CHILD_SECONDS, check=False)
    except CommandError as exc:
        if "did not finish" in exc.message:
            raise
        return ""
    return result.stdout.strip() if result.code == 0 or not check else ""
