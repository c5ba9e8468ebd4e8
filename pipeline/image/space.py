"""Free space on the engine's disk, before something large is put there."""

import json
import shutil
import socket
from collections.abc import Mapping
from typing import Any

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError
from pipeline.image import local
from pipeline.image.distribution import Repository
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.ref import ImageRef

__all__ = ["for_build", "for_pull"]

TIMEOUT = 30.0  # seconds; the engine is on this machine
TIMES = 2  # images that must fit: the disk is not ours alone
UNPACKED = 3  # times what an image's layers are as they come
UNKNOWN = 10**9  # bytes of an image of which nothing is known
PLENTY = 32 * 10**9  # bytes; with so much, no registry is asked how large anything is
MB = 10**6  # bytes
CONTAINERD = "/var/lib/containerd"  # where its store is, unless the engine runs its own
ARCHITECTURES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "armv7l": "linux/arm/v7"}


def for_pull(repository: Repository, ref: ImageRef) -> None:
    """Make sure that an image fits before it is pulled.

    Raises:
        RegistryError: The registry does not answer.
        EngineError: It may not fit; the message has both figures.
    """
    engine = _engine()
    free = _free(engine)
    if free is not None and free < PLENTY:
        try:
            size = _layers(repository, ref.digest, ARCHITECTURES.get(engine["Architecture"], ""))
        except (NoAnswerError, BusyError):
            raise  # nor would the engine get an answer, and it would wait for longer
        except RegistryError:
            return  # the pull says what is wrong
        _must_fit(free, size * (1 + UNPACKED), f"the pull of {ref}")  # kept as it comes, too


def for_build(name: str) -> None:
    """Make sure that another image of a repository fits before it is built.

    Args:
        name: Registry and repository.

    Raises:
        EngineError: It may not fit; the message has both figures.
    """
    engine = _engine()
    free = _free(engine)
    if free is not None and free < PLENTY:
        last = local.inspect(ImageRef(name=name, tag="latest"))
        times = 1 + UNPACKED * _keeps_both(engine)
        _must_fit(free, last.size * times if last else UNKNOWN, f"a build of {name}")


def _must_fit(free: int, size: int, what: str) -> None:
    if free < TIMES * size:
        raise EngineError(
            f"Too little space for {what}: the engine's disk has {free // MB} MB free, "
            f"{TIMES * size // MB} MB are needed.",
            hint="`invoke prune` removes what is old; `docker system df` shows what is there.",
        )


def _engine() -> Mapping[str, Any]:
    """Return what the engine says of itself; nothing where it does not answer."""
    try:
        said = shell.run(["docker", "info", "--format", "{{json .}}"], timeout=TIMEOUT).stdout
        found = json.loads(said)
    except (CommandError, ValueError):
        return {}  # whoever is about to use it finds out why
    return found if isinstance(found, dict) else {}


def _free(engine: Mapping[str, Any]) -> int | None:
    """Return the free bytes of the engine's disk; None where it is not to be seen from here."""
    if engine.get("Name") != socket.gethostname():  # on another machine, or in a virtual one
        return None
    folders = [engine.get("DockerRootDir"), CONTAINERD if _keeps_both(engine) else None]
    found = []
    for folder in filter(None, folders):
        try:
            found.append(shutil.disk_usage(folder).free)
        except OSError:  # a rootless engine's, or there is none
            continue
    return min(found, default=None)


def _keeps_both(engine: Mapping[str, Any]) -> bool:
    """Tell whether images are kept as they come, and unpacked besides."""
    return local.STORE in json.dumps(engine.get("DriverStatus"))


def _layers(repository: Repository, digest: str, platform: str) -> int:
    """Return the bytes of an image's layers in the registry; of the largest where in doubt."""
    manifest = repository.manifest(digest)
    if manifest is None:
        return 0  # the pull says so
    if not manifest.is_index:
        return sum(layer.size for layer in manifest.layers)
    ours = [each for each in manifest.images if each.platform == platform] or manifest.images
    return max((_layers(repository, each.digest, platform) for each in ours), default=0)
