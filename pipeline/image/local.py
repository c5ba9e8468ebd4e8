"""What this host's engine has. The command, not the SDK: it answers in a tenth of the time."""

import json
import platform

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.image.ref import ImageRef, LocalImage

__all__ = ["attests", "inspect", "tag", "unlike_engine"]

ENGINE_TIMEOUT = 30.0  # seconds; it is on this machine

REVISION = "org.opencontainers.image.revision"
MIGRATIONS = "pipeline.migrations"
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}  # Go's names
STORE = "io.containerd.snapshotter.v1"  # how the engine names its newer image store


def inspect(ref: ImageRef) -> LocalImage | None:
    """Return the image that the engine has under `ref`; None where it has none.

    Raises:
        EngineError: No engine answers.
    """
    result = _docker(["image", "inspect", str(ref)])
    if result.code != 0:
        _must_answer()  # "no such image" and "no engine" share an exit code
        return None
    (found,) = json.loads(result.stdout)
    runs = found.get("Config") or {}
    labels = runs.get("Labels") or {}
    pairs = [reference.split("@") for reference in found.get("RepoDigests") or []]
    return LocalImage(
        id=found["Id"],
        name=ref.name,
        digests=(ref.digest,)
        if ref.digest
        else tuple(digest for name, digest in pairs if name == ref.name),
        revision=labels.get(REVISION, ""),
        migrations=labels.get(MIGRATIONS, ""),
        platform="/".join(filter(None, (found["Os"], found["Architecture"], found.get("Variant")))),
        size=found["Size"],
        layers=tuple((found.get("RootFS") or {}).get("Layers") or ()),
        runs=runs,
    )


def unlike_engine(image: LocalImage) -> str:
    """Return the engine's platform where the image is for another processor; "" where it is not.

    Raises:
        EngineError: No engine answers.
    """
    processor = image.platform.split("/")[1]
    machine = platform.machine()
    if PROCESSORS.get(machine, machine) == processor:
        return ""  # this machine's, which is the engine's; else the engine may be elsewhere
    result = _docker(["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"])
    if result.code != 0:
        _must_answer()
    engine = result.stdout.strip()
    return "" if engine.endswith(f"/{processor}") else engine


def attests() -> bool:
    """Tell whether the engine keeps images with attestations, and for several platforms.

    Raises:
        EngineError: No engine answers.
    """
    result = _docker(["info", "--format", "{{json .DriverStatus}}"])
    if result.code != 0:
        _must_answer()
    return STORE in result.stdout


def tag(image: LocalImage, name: str) -> None:
    """Give the image one more tag in its own repository, or move that tag to it.

    Raises:
        EngineError: The engine refused.
    """
    result = _docker(["image", "tag", image.id, str(ImageRef(name=image.name, tag=name))])
    if result.code != 0:
        raise EngineError(f"The engine could not tag {image.id}.", details=result.tail)


def _docker(args: list[str]) -> shell.Result:
    try:
        return shell.run(["docker", *args], timeout=ENGINE_TIMEOUT, check=False)
    except CommandError as exc:
        raise EngineError(exc.message, hint="`invoke host` sees to it.") from exc


def _must_answer() -> None:
    result = _docker(["version", "--format", "{{.Server.Version}}"])
    if result.code != 0:
        raise EngineError(
            "No Docker Engine answers.",
            hint="`invoke host` finds out why, and installs or starts one.",
            details=result.tail,
        )
