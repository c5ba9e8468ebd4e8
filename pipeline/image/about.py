"""What a published image is made of, as its manifests, configuration and attestations say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RegistryError
from pipeline.image import local
from pipeline.image.distribution import Repository, connect
from pipeline.image.manifests import Manifest
from pipeline.image.ref import ImageRef, LocalImage
from pipeline.settings import Settings

__all__ = ["Config", "about", "config_of", "same_content"]

SPDX = "https://spdx.dev/Document"
PREDICATE = "in-toto.io/predicate-type"
RUNS = ("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Labels")  # what a container is like


@dataclass(frozen=True, kw_only=True)
class Config:
    """An image's own description, for one platform.

    Attributes:
        platform: Such as `linux/amd64`.
        runs: What a container of it gets: variables, command, user, labels.
        layers: Digests of the uncompressed layers, from the base up.
        history: What made each layer that has content.
    """

    platform: str
    runs: Mapping[str, Any]
    layers: tuple[str, ...]
    history: tuple[str, ...]

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self.runs.get("Labels") or {}

    @property
    def revision(self) -> str:
        """Commit it is labelled with, "" without a label."""
        return self.labels.get(local.REVISION, "")


def config_of(repository: Repository, digest: str) -> Config:
    """Return the configuration of one platform's image.

    Raises:
        RegistryError: The registry has it not, or it is malformed.
    """
    manifest = _manifest(repository, digest)
    if manifest.config is None:
        raise _malformed(digest, ValueError("an index, where an image should be"))
    try:
        found = json.loads(repository.blob(manifest.config.digest))
        history = found.get("history") or []
        where = (found["os"], found["architecture"], found.get("variant"))
        return Config(
            platform="/".join(filter(None, where)),
            runs=dict(found.get("config") or {}),
            layers=tuple(found["rootfs"]["diff_ids"]),
            history=tuple(
                str(step.get("created_by", "")) for step in history if not step.get("empty_layer")
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _malformed(digest, exc) from exc


def same_content(image: LocalImage, published: Config) -> bool:
    """Tell whether what is here and what was published run the same, whatever is said of them."""
    return image.layers == published.layers and {
        name: image.runs.get(name) or None for name in RUNS
    } == {name: published.runs.get(name) or None for name in RUNS}


def about(settings: Settings, sha: str) -> dict[str, Any]:
    """Return what the registry has of a commit.

    Returns:
        `sha`, `reference`, `created`, `version`, `source`, and `platforms`: for each `platform`,
        `digest`, `size` (bytes, compressed), `layers` (each `digest`, `size`, `made_by`),
        `attestations` (predicate types) and `packages` (`kind`, `name`, `version`; of its SBOM).

    Raises:
        RegistryError: It has none, refused, or has something malformed.
    """
    ref = ImageRef(name=settings.image, tag=sha)
    with connect(settings) as repository:
        top = repository.manifest(sha)
        if top is None:
            raise RegistryError(
                f"The registry {ref.registry} has no {ref}.",
                hint=f"`invoke build --sha {sha} --push` puts it there.",
            )
        images = [child.digest for child in top.images] or [top.digest]
        configs = [config_of(repository, digest) for digest in images]
        labels = configs[0].labels
        return {
            "sha": configs[0].revision,
            "reference": f"{ref.name}@{top.digest}",
            "created": labels.get("org.opencontainers.image.created", ""),
            "version": labels.get("org.opencontainers.image.version", ""),
            "source": labels.get("org.opencontainers.image.source", ""),
            "platforms": [
                _platform(repository, top, digest, config)
                for digest, config in zip(images, configs, strict=True)
            ],
        }


def _platform(repository: Repository, top: Manifest, digest: str, config: Config) -> dict[str, Any]:
    layers = _manifest(repository, digest).layers
    statements = _statements(repository, top, digest)
    made_by = (*config.history, *[""] * len(layers))[: len(layers)]
    return {
        "platform": config.platform,
        "digest": digest,
        "size": sum(layer.size for layer in layers),
        "layers": [
            {"digest": layer.digest, "size": layer.size, "made_by": step}
            for layer, step in zip(layers, made_by, strict=True)
        ],
        "attestations": sorted(statements),
        "packages": _packages(repository, statements.get(SPDX)),
    }


def _statements(repository: Repository, top: Manifest, digest: str) -> dict[str, str]:
    """Return the blobs that attest something of an image, by predicate type."""
    found = {}
    for attestation in top.attestations:
        if attestation.subject == digest:
            for layer in _manifest(repository, attestation.digest).layers:
                annotations = layer.raw.get("annotations") or {}
                found[str(annotations.get(PREDICATE, ""))] = layer.digest
    return found


def _packages(repository: Repository, digest: str | None) -> list[dict[str, str]]:
    if digest is None:
        return []
    try:
        packages = json.loads(repository.blob(digest))["predicate"]["packages"]
        found = {
            (_kind(each), str(each["name"]), str(each.get("versionInfo", "")))
            for each in packages
            if _kind(each)
        }
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _malformed(digest, exc) from exc
    return [{"kind": kind, "name": name, "version": v} for kind, name, v in sorted(found)]


def _kind(package: Mapping[str, Any]) -> str:
    """Return `pypi`, `deb` and so on, of the package's URL; "" where it has none."""
    for reference in package.get("externalRefs") or []:
        if reference.get("referenceType") == "purl":
            return str(reference["referenceLocator"]).partition(":")[2].partition("/")[0]
    return ""


def _manifest(repository: Repository, digest: str) -> Manifest:
    found = repository.manifest(digest)
    if found is None:
        raise RegistryError(
            f"The registry names {digest}, but does not have it.",
            hint="Push the image again.",
        )
    return found


def _malformed(digest: str, exc: Exception) -> RegistryError:
    return RegistryError(
        f"What the registry has as {digest} is malformed: {exc!r}.",
        hint="Build and push the commit again, under a new commit if need be.",
    )
