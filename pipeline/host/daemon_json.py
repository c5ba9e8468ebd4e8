"""dockerd's settings file: what it says, and what we add to it; its other keys stay.

live-restore: containers survive a restart of the engine, as they are not its children.
The containerd image store: the engine keeps attestations and images of several platforms.
log-opts: a container's log, which would grow for as long as the container lives, is limited.
"""

import json
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import EngineError, UsageError

__all__ = [
    "IMAGE_STORE",
    "LIVE_RESTORE",
    "LOG_LIMITS",
    "LOG_OPTIONS",
    "SETTINGS",
    "Setting",
    "has_containers",
    "in_swarm",
    "read",
    "turn_on",
    "value",
    "write",
]

SETTINGS = Path("/etc/docker/daemon.json")
DATA_ROOT = Path("/var/lib/docker")
Setting = Literal["live-restore", "containerd-snapshotter", "log-opts"]
LIVE_RESTORE: Setting = "live-restore"
IMAGE_STORE: Setting = "containerd-snapshotter"  # one of the file's `features`
LOG_LIMITS: Setting = "log-opts"
LOG_DRIVER = "log-driver"
JSON_FILE = "json-file"  # dockerd's default, and the only driver of its own without a limit
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}  # of each container; dockerd wants strings
FEATURES = "features"


def read() -> dict[str, Any]:
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
    if not isinstance(found.get(FEATURES) or {}, dict):
        raise _no_object(f" of settings: its key {FEATURES} is none")
    return found


def value(setting: Setting) -> bool | None:
    """Return what the file says of `setting`; None where it says nothing.

    A log driver that knows no such limits, or has its own, has what is wanted of log-opts.

    Raises:
        UsageError: The file is no JSON object, or cannot be read.
    """
    found = read()
    if setting == LOG_LIMITS:
        return bool(found.get(setting)) or (found.get(LOG_DRIVER, JSON_FILE) != JSON_FILE) or None
    said = (found.get(FEATURES) or {} if setting == IMAGE_STORE else found).get(setting)
    return None if said is None else said is True


def turn_on(settings: Sequence[Setting]) -> dict[str, Any]:
    """Turn `settings` on; return what the file said before. One that has them is not touched.

    Raises:
        UsageError: The file is no JSON object, or cannot be read; it is unchanged.
        EngineError: It cannot be written.
    """
    before = read()
    wanted = dict(before)
    for setting in settings:
        if setting == IMAGE_STORE:
            wanted[FEATURES] = {**(before.get(FEATURES) or {}), setting: True}
        elif setting == LOG_LIMITS:
            wanted |= {LOG_DRIVER: JSON_FILE, setting: LOG_OPTIONS}
        else:
            wanted[setting] = True
    if wanted != before:
        write(wanted)
    return before


def in_swarm() -> bool:
    """Return whether the engine, which need not run, belongs to a swarm.

    Raises:
        UsageError: dockerd's settings file is no JSON object, or cannot be read.
    """
    return (_data_root() / "swarm/docker-state.json").exists()


def has_containers() -> bool:
    """Return whether the engine, which need not run, has containers, whatever they do.

    Raises:
        UsageError: dockerd's settings file is no JSON object, or cannot be read.
    """
    folder = _data_root() / "containers"
    return folder.is_dir() and any(folder.iterdir())


def write(wanted: dict[str, Any]) -> None:
    """Replace what the file says, at once or not at all; its mode, owner and link stay.

    Raises:
        EngineError: It cannot be written.
    """
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


def _data_root() -> Path:
    return Path(str(read().get("data-root") or DATA_ROOT))


def _no_object(why: str) -> UsageError:
    return UsageError(
        f"{SETTINGS} is no JSON object{why}. It was left as it is.",
        hint="Correct it (`dockerd --validate` looks at it), then run this again.",
    )
