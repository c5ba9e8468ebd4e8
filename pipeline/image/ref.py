"""Image references, the tags an image gets, and what is known of an image. Pure values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError

__all__ = ["Built", "ImageRef", "LocalImage", "part_tag", "tags"]

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?(?:/{_COMPONENT})+"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = rf"(?P<name>{_NAME})(?::(?P<tag>{_TAG})|@(?P<digest>{_DIGEST}))"


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """`<registry>/<repository>` with exactly one of tag and digest.

    Attributes:
        name: Registry and repository; the registry is never left out.
        tag: A name that may move, save for the commit's own.
        digest: `sha256:...`, the content itself.

    Raises:
        UsageError: It is not a reference that a registry would take.
    """

    name: str
    tag: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if bool(self.tag) == bool(self.digest) or not re.fullmatch(_REFERENCE, str(self)):
            raise UsageError(
                f"{str(self)!r} is not an image reference.",
                hint="It reads registry/repository:tag or registry/repository@sha256:<64 hex>; "
                "the settings registry and repository make its name.",
            )

    @classmethod
    def parse(cls, text: str) -> "ImageRef":
        """Read `name:tag` or `name@sha256:...`.

        Raises:
            UsageError: It is neither.
        """
        match = re.fullmatch(_REFERENCE, text)
        if match is None:
            return cls(name=text)  # which says what is wrong
        return cls(name=match["name"], tag=match["tag"] or "", digest=match["digest"] or "")

    @property
    def registry(self) -> str:
        """The registry's host[:port]."""
        return self.name.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def tags(sha: str, version: str = "") -> tuple[str, ...]:
    """Return the tags of a commit's image, the one that never moves first.

    `latest` is the image pushed last, whatever its version. `1.4` and `1` follow
    releases only: a pre-release (`1.4.2-rc1`) gets its own tag and no other.

    Args:
        sha: The commit's full hash.
        version: `1.4.2` where a tag `v1.4.2` points at the commit, else "".
    """
    if not version:
        return (sha, "latest")
    major, minor, _ = version.split(".", 2)
    moving = () if "-" in version else (f"{major}.{minor}", major)
    return (sha, "latest", version, *moving)


def part_tag(sha: str, platform: str) -> str:
    """Return the name under which the image of one platform waits to be merged."""
    return f"{sha}-{platform.replace('/', '-')}"


@dataclass(frozen=True, kw_only=True)
class LocalImage:
    """An image that this host's engine has.

    Attributes:
        id: The engine's own id.
        name: Registry and repository it was asked for under.
        digests: What a registry calls it under `name`, or will once it is pushed.
        revision: Commit it is labelled with.
        migrations: Git tree hash of the migrations it carries, from its label.
        platform: Such as `linux/amd64`.
        size: Bytes as the engine counts them: compressed, with containerd's store.
        layers: Digests of its uncompressed layers, from the base up.
        runs: What a container of it gets: variables, command, user, labels.
    """

    id: str
    name: str
    digests: tuple[str, ...]
    revision: str
    migrations: str
    platform: str
    size: int
    layers: tuple[str, ...] = ()
    runs: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """`sha256:...`, or "" where the engine cannot know it before a push."""
        return self.digests[0] if self.digests else ""

    @property
    def reference(self) -> str:
        """What a release runs: name and digest.

        Raises:
            UsageError: No registry knows the image yet.
        """
        return str(ImageRef(name=self.name, digest=self.digest))


@dataclass(frozen=True, kw_only=True)
class Built:
    """What `build` and `push` tell, field by field as `--json` prints it.

    Attributes:
        sha: The commit.
        digest: What the registry calls the image, or will once it is pushed.
        tags: Names within the repository.
        platforms: Such as `linux/amd64`.
        size: Bytes as the engine counts them: compressed, with containerd's store.
        seconds: Wall time.
    """

    sha: str
    digest: str
    tags: tuple[str, ...]
    platforms: tuple[str, ...]
    size: int
    seconds: float
