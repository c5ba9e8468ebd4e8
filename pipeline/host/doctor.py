"""What could keep a deployment from working on this machine, each with its remedy.

Nothing here changes anything, and nothing waits: every look has a deadline, and
they all run at once.
"""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Literal

from pipeline import shell
from pipeline.errors import PipelineError
from pipeline.host.bases import BASES, missing_bases
from pipeline.host.client import connect
from pipeline.host.daemon import SNAPSHOTTER
from pipeline.host.machine import COMPOSE_FLOOR, compose_version
from pipeline.host.probes import port_trouble, within
from pipeline.settings import Settings

__all__ = ["Check", "checks"]

SECONDS = 1.5  # for all of it
SPACE_FAIL = 1 << 30  # bytes; an image and its layers must fit
SPACE_WARN = 5 << 30
SET_UP = "./bin/invoke host --yes"
LATE = {"registry": "Run this again; PIPELINE_REGISTRY names another registry"}  # else SET_UP
Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One look at the machine.

    Attributes:
        name: What was looked at.
        status: `fail` keeps a deployment from working, `warn` may.
        message: What was seen; never a secret.
        remedy: The next step; "" where all is well.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def checks(settings: Settings, *, prove: Callable[[], None] | None = None) -> list[Check]:
    """Return every check of this machine, in a fixed order; takes at most about 1.5 seconds.

    Args:
        settings: Of the service.
        prove: Raises a PipelineError where this user may not pull from or push to the registry;
            without it, the registry need only be in reach.
    """
    looks: Mapping[str, Callable[[Settings], Check]] = {
        "engine": _engine,
        "compose": _compose,
        "buildx": _buildx,
        "live-restore": _live_restore,
        "image store": _image_store,
        "disk": _disk,
        "port": _port,
        "base images": _base_images,
        "registry": partial(_registry, prove=prove),
        "env file": _env_file,
        "state folder": _state_folder,
    }
    with ThreadPoolExecutor(len(looks)) as pool:
        return list(pool.map(partial(_look, settings), looks, looks.values()))


def _look(settings: Settings, name: str, look: Callable[[Settings], Check]) -> Check:
    def guarded() -> Check:
        try:
            return look(settings)
        except PipelineError as exc:
            return Check(name=name, status="fail", message=exc.message, remedy=exc.hint or SET_UP)

    remedy = LATE.get(name, SET_UP)
    late = Check(name=name, status="fail", message=f"no answer within {SECONDS:g} s", remedy=remedy)
    return within(SECONDS, guarded, late)


def _engine(_: Settings) -> Check:
    with connect(seconds=1) as client:
        version = client.version()["Version"]
    return Check(name="engine", status="ok", message=f"Docker Engine {version} answers")


def _compose(_: Settings) -> Check:
    version = compose_version()
    shown = ".".join(map(str, version)) or "none"
    if version < COMPOSE_FLOOR:
        floor = ".".join(map(str, COMPOSE_FLOOR))
        message = f"Compose {floor} or later is needed, this machine has {shown}"
        return Check(name="compose", status="fail", message=message, remedy=SET_UP)
    return Check(name="compose", status="ok", message=f"Compose {shown}")


def _buildx(_: Settings) -> Check:
    version = shell.run(["docker", "buildx", "version"], timeout=SECONDS).stdout.strip()
    return Check(name="buildx", status="ok", message=version)


def _live_restore(_: Settings) -> Check:
    try:
        with connect(seconds=1) as client:
            about = client.info()
    except PipelineError:
        message = "not known while no engine answers"
        return Check(name="live-restore", status="warn", message=message, remedy=SET_UP)
    if about["LiveRestoreEnabled"]:
        message = "containers survive a restart of the engine"
        return Check(name="live-restore", status="ok", message=message)
    if about["Swarm"]["LocalNodeState"] != "inactive":
        return Check(name="live-restore", status="ok", message="a swarm node cannot have it")
    message = "off: containers stop with the engine"
    return Check(name="live-restore", status="warn", message=message, remedy=SET_UP)


def _image_store(_: Settings) -> Check:
    with connect(seconds=1) as client:
        status = client.info().get("DriverStatus") or []
    if SNAPSHOTTER in status:
        message = "containerd's: it keeps attestations and several platforms"
        return Check(name="image store", status="ok", message=message)
    message = "not containerd's: it keeps no attestations, and one platform only"
    return Check(name="image store", status="fail", message=message, remedy=SET_UP)


def _disk(settings: Settings) -> Check:
    folders = [_nearest(settings.state_dir)]
    try:
        with connect(seconds=1) as client:
            folders.append(_nearest(Path(client.info()["DockerRootDir"])))
    except PipelineError:
        pass  # the engine has a check of its own
    free, folder = min((shutil.disk_usage(folder).free, folder) for folder in folders)
    status: Status = "fail" if free < SPACE_FAIL else "warn" if free < SPACE_WARN else "ok"
    return Check(
        name="disk",
        status=status,
        message=f"{free / (1 << 30):.1f} GiB free at {folder}",
        remedy="" if status == "ok" else "docker system df shows what takes the space",
    )


def _port(settings: Settings) -> Check:
    where = f"{settings.bind_address}:{settings.port}"
    trouble = port_trouble(settings.bind_address, settings.port)
    if not trouble:
        return Check(name="port", status="ok", message=f"{where} is free")
    if _published_by_us(settings):
        return Check(name="port", status="ok", message=f"{where} is this service's")
    return Check(
        name="port",
        status="fail",
        message=f"{where} cannot be had: {trouble}",
        remedy=f"`ss -ltnp sport = :{settings.port}` names who has it; or set PIPELINE_PORT",
    )


def _published_by_us(settings: Settings) -> bool:
    try:
        with connect(seconds=1) as client:
            found = client.api.containers(
                filters={
                    "label": f"com.docker.compose.project={settings.app}",
                    "publish": f"{settings.port}/tcp",
                }
            )
    except PipelineError:
        return False
    return bool(found)


def _base_images(_: Settings) -> Check:
    missing = missing_bases()
    if missing:
        message = f"missing: {', '.join(missing)}"
        return Check(name="base images", status="warn", message=message, remedy=SET_UP)
    return Check(name="base images", status="ok", message=f"{len(BASES)} of {len(BASES)} are here")


def _registry(settings: Settings, *, prove: Callable[[], None] | None) -> Check:
    host, _, port = settings.registry.partition(":")
    try:
        socket.create_connection((host, int(port or 443)), timeout=1).close()
    except OSError as exc:
        return Check(
            name="registry",
            status="warn",
            message=f"{settings.registry} cannot be reached: {exc.strerror or exc}",
            remedy="`./bin/invoke up` uses a local one; PIPELINE_REGISTRY names another",
        )
    if prove is None:
        return Check(name="registry", status="ok", message=f"{settings.registry} can be reached")
    try:
        prove()
    except PipelineError as exc:
        # As `up` sees it: a registry that nobody named is not the one that it pushes to.
        named = settings.sources.get("registry", "").startswith("PIPELINE_")
        return Check(
            name="registry",
            status="fail" if named else "warn",
            message=exc.message,
            remedy=exc.hint or LATE["registry"],
        )
    message = f"{settings.registry}: pull and push are allowed"
    return Check(name="registry", status="ok", message=message)


def _env_file(settings: Settings) -> Check:
    from dotenv.parser import parse_stream

    path = settings.root / settings.env_file
    source, shared = str(path), False
    try:
        if settings.env_content:
            source, text = "ENV_FILE", settings.env_content.reveal()
        else:
            text, shared = path.read_text(encoding="utf-8"), bool(path.stat().st_mode & 0o077)
    except (OSError, UnicodeDecodeError) as exc:
        return Check(
            name="env file",
            status="warn",
            message=f"{path} cannot be read: {getattr(exc, 'strerror', None) or 'not UTF-8'}",
            remedy=f"Write it, with {', '.join(settings.required_env)}; the first release needs it",
        )
    bindings = list(parse_stream(StringIO(text)))
    broken = [f"line {binding.original.line} is malformed" for binding in bindings if binding.error]
    there = {binding.key for binding in bindings if binding.value}
    broken += [f"{key} is missing or empty" for key in settings.required_env if key not in there]
    if broken:
        message = f"{source}: {'; '.join(broken)}"
        return Check(name="env file", status="fail", message=message, remedy="Correct the file")
    if shared:
        message, remedy = f"{source} can be read by other users", f"chmod 600 {source}"
        return Check(name="env file", status="warn", message=message, remedy=remedy)
    return Check(name="env file", status="ok", message=f"{source} has every required key")


def _state_folder(settings: Settings) -> Check:
    folder = _nearest(settings.state_dir)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Check(name="state folder", status="ok", message=f"{settings.state_dir} is writable")
    return Check(
        name="state folder",
        status="fail",
        message=f"{settings.state_dir} cannot be written",
        remedy=f"Make {folder} writable for this user, or set PIPELINE_STATE_DIR",
    )


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
