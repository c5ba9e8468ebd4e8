"""What deployments take of the disk, and images that cost next to nothing to make."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.e2e.support import machine
from tests.e2e.support.site import Site

REVISION = "org.opencontainers.image.revision"
MB = 10**6  # bytes


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes, as `docker system df` counts them for the whole engine, and of one state folder.

    Attributes:
        images: Of all images, what they share counted once; where it keeps both in one store, of
            the build cache, too.
        containers: What containers have written.
        cache: Of the builds, what no image shares.
        state: Of the app's state folder.
    """

    images: int
    containers: int
    cache: int
    state: int

    @classmethod
    def of(cls, site: Site) -> "Disk":
        """Measure."""
        engine = docker.from_env(timeout=120)
        try:
            found = engine.api.df()
        finally:
            engine.close()
        files = [each.lstat().st_size for each in site.state.rglob("*")]
        return cls(
            images=found["LayersSize"],
            containers=sum(each.get("SizeRw", 0) for each in found["Containers"] or []),
            cache=sum(each["Size"] for each in found["BuildCache"] or [] if not each["Shared"]),
            state=sum(files),
        )

    @property
    def total(self) -> int:
        """All of it."""
        return self.images + self.containers + self.cache + self.state

    def __str__(self) -> str:
        return ", ".join(f"{name} {value / MB:.1f} MB" for name, value in vars(self).items())


def one_image(site: Site) -> int:
    """Return the bytes of the newest image alone, UNIQUE SIZE in `docker system df --verbose`."""
    newest = machine.docker("images", "--quiet", "--no-trunc", site.repository).split()[0]
    engine = docker.from_env(timeout=120)
    try:
        (found,) = [each for each in engine.api.df()["Images"] if each["Id"] == newest]
    finally:
        engine.close()
    return int(found["Size"]) - max(0, int(found["SharedSize"]))


def commits_here(site: Site) -> set[str]:
    """Return the commits of which this host's engine has an image of the app."""
    tags = machine.docker("images", "--format", "{{.Tag}}", site.repository).split()
    return {tag for tag in tags if len(tag) == len("0" * 40)}


def releases(site: Site) -> set[str]:
    """Return the first digits of the commits whose releases' files are kept."""
    return {each.name.partition("-")[0] for each in (site.state / "releases").iterdir()}


def variant(site: Site, image: str, sha: str, *, size: int) -> None:
    """Give the engine an image of a commit that nobody made: `image` with `size` bytes more."""
    container = machine.docker("create", image)
    try:
        with tempfile.TemporaryDirectory() as folder:
            more = Path(folder) / "more"
            more.write_bytes(os.urandom(size))
            machine.docker("cp", str(more), f"{container}:/srv/more")
        says = (f"ENV APP_SHA={sha}", f"LABEL {REVISION}={sha}")
        changes = [word for each in says for word in ("--change", each)]
        machine.docker("commit", *changes, container, f"{site.repository}:{sha}")
    finally:
        machine.docker("rm", container)
