"""What a registry keeps under a name: manifests and indexes. Pure values.

An index ("manifest list") names one manifest for each platform, and beside them their
attestations: provenance and SBOM, which buildx files under the platform `unknown/unknown`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.errors import RegistryError, UsageError

__all__ = ["DIGEST", "MEDIA_TYPES", "Descriptor", "Manifest", "digest_of", "merge", "read"]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MEDIA_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_USUAL = {"arm64": "v8", "amd64": "v1"}  # variants that go without saying


def digest_of(content: bytes) -> str:
    """Return what a registry calls `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """What one manifest says of another content.

    Attributes:
        media_type: Of that content.
        digest: `sha256:...`.
        size: Bytes.
        platform: Such as `linux/arm64`; "" where it has none, as attestations do.
        subject: Digest of what it attests; "" for anything but an attestation.
        raw: All that is said, as JSON.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    subject: str = ""
    raw: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or an index, as the registry's bytes: these are what its digest is of.

    Attributes:
        media_type: One of `MEDIA_TYPES`.
        content: The bytes.

    Raises:
        RegistryError: They are no such thing.
    """

    media_type: str
    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES:
            raise _malformed(f"{self.media_type or 'no media type'} is none that we know")
        # who reads it otherwise than we do would run something else under the same digest
        if self.json.get("mediaType", self.media_type) != self.media_type or (
            {"config", "layers"} if self.is_index else {"manifests"}
        ) & set(self.json):
            raise _malformed("it is two things at once")
        _ = self.children if self.is_index else (self.config, self.layers)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The content, read."""
        return _json(self.content)

    @cached_property
    def digest(self) -> str:
        """`sha256:...`."""
        return digest_of(self.content)

    @property
    def is_index(self) -> bool:
        """Whether it names other manifests."""
        return self.media_type in INDEX_TYPES

    @cached_property
    def children(self) -> tuple[Descriptor, ...]:
        """What an index names; nothing for a manifest."""
        return _descriptors(self.json, "manifests") if self.is_index else ()

    @cached_property
    def config(self) -> Descriptor | None:
        """The image's configuration; None for an index."""
        return None if self.is_index else _descriptor(self.json.get("config"))

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        """A manifest's layers, lowest first; nothing for an index."""
        return () if self.is_index else _descriptors(self.json, "layers")

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """What an index has for platforms."""
        return tuple(child for child in self.children if child.platform)

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platforms of an index, such as `linux/amd64`; a manifest alone does not say."""
        return tuple(child.platform for child in self.images)

    @property
    def attestations(self) -> tuple[Descriptor, ...]:
        """What an index has of provenance and SBOMs."""
        return tuple(child for child in self.children if child.subject)

    def described(self, platform: str) -> Descriptor:
        """Return how an index names this manifest: `platform` is what its configuration says."""
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        where = {"architecture": architecture, "os": system}
        return _descriptor(
            {
                "mediaType": self.media_type,
                "digest": self.digest,
                "size": len(self.content),
                "platform": {**where, "variant": variant} if variant else where,
            }
        )


def read(content: bytes, said: str = "") -> Manifest:
    """Return the manifest in `content`.

    Args:
        content: Its bytes.
        said: What the registry says it is; the content itself counts for more.

    Raises:
        RegistryError: It is none.
    """
    document = _json(content)
    kind = document.get("mediaType") or said.partition(";")[0].strip()
    if document.get("mediaType") is None and kind not in MEDIA_TYPES:  # as old OCI ones may
        kind = OCI_INDEX if "manifests" in document else OCI_MANIFEST
    if not isinstance(kind, str):
        raise _malformed("its media type is no text")
    return Manifest(media_type=kind, content=content)


def merge(parts: Sequence[Manifest | Descriptor]) -> Manifest:
    """Return one index of all that the parts name; in whatever order they come, the same bytes.

    Args:
        parts: Indexes, whose children are taken, and descriptors, taken as they are.

    Raises:
        UsageError: A platform comes twice, no part names one, or a part is a single manifest:
            that does not say for which platform it is (`Manifest.described()`).
    """
    found: dict[str, Descriptor] = {}
    beside: dict[tuple[str, str], Descriptor] = {}
    for part in parts:
        for child in _named(part):
            if child.subject:
                beside[child.subject, child.digest] = child
            elif child.platform in found:
                raise UsageError(
                    f"Two parts are for {child.platform}: {found[child.platform].digest} "
                    f"and {child.digest}.",
                    hint="Name one part for each platform.",
                )
            elif child.platform:
                found[child.platform] = child
    if not found:
        raise UsageError("No part names a platform.", hint="Push a part for each platform first.")
    images = [found[platform] for platform in sorted(found)]
    order = [image.digest for image in images]
    attestations = sorted(
        (each for each in beside.values() if each.subject in order),
        key=lambda each: (order.index(each.subject), each.digest),
    )
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [dict(each.raw) for each in (*images, *attestations)],
    }
    return Manifest(media_type=OCI_INDEX, content=json.dumps(document, indent=2).encode())


def _named(part: Manifest | Descriptor) -> tuple[Descriptor, ...]:
    if isinstance(part, Descriptor):
        return (part,)
    if not part.is_index:
        raise UsageError(
            f"{part.digest} is a single manifest, which does not say for which platform it is.",
            hint="Push that part with `invoke build --push`, which makes an index.",
        )
    return part.children


def _json(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _malformed("it is no JSON") from exc
    if not isinstance(document, dict):
        raise _malformed("it is no JSON object")
    return document


def _descriptors(document: Mapping[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise _malformed(f"it has no list {key}")
    return tuple(_descriptor(entry) for entry in entries)


def _descriptor(raw: Any) -> Descriptor:  # noqa: ANN401 - JSON
    if not isinstance(raw, dict):
        raise _malformed("a descriptor is no JSON object")
    kind, digest, size = raw.get("mediaType"), raw.get("digest"), raw.get("size")
    if not isinstance(kind, str) or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise _malformed("a descriptor has no media type, or no digest of sha256")
    if type(size) is not int or size < 0:  # True is an int, too
        raise _malformed(f"{digest} has no size")
    annotations = raw.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise _malformed(f"the annotations of {digest} are no JSON object")
    attests = bool(annotations.get(REFERENCE_TYPE))
    return Descriptor(
        media_type=kind,
        digest=digest,
        size=size,
        platform="" if attests else _platform(raw.get("platform"), digest),
        subject=str(annotations.get(REFERENCE_DIGEST) or "unknown") if attests else "",
        raw=raw,
    )


def _platform(raw: Any, digest: str) -> str:  # noqa: ANN401 - JSON
    if raw is None:
        return ""
    keys = ("os", "architecture", "variant")
    names = [raw.get(key) or "" for key in keys] if isinstance(raw, dict) else [None]
    if not all(isinstance(name, str) for name in names):
        raise _malformed(f"the platform of {digest} is none")
    system, architecture, variant = names
    if "unknown" in {system, architecture} or not (system and architecture):
        return ""
    if not variant or _USUAL.get(architecture) == variant:
        return f"{system}/{architecture}"
    return f"{system}/{architecture}/{variant}"


def _malformed(why: str) -> RegistryError:
    return RegistryError(
        f"The registry has something that is no image manifest: {why}.",
        hint="Whoever pushed it did so by hand, or something on the way changed it; "
        "`invoke build` and `invoke push` make a right one.",
    )
