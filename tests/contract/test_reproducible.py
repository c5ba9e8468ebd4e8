"""One commit, one digest: the service's image, built twice by the real builder from nothing."""

import json
import os
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.image import build as images
from pipeline.image.commit import describe, export, resolve_commit
from pipeline.image.manifests import Manifest, read
from pipeline.settings import Settings
from tests.e2e.support import machine

AGES_AGO = 1_000_000_000  # seconds since 1970


def export_of_long_ago(sha: str, folder: Path, *, root: Path) -> Path:
    """Export as a machine with another clock and umask does."""
    context = export(sha, folder, root=root)
    for path in [context, *context.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (AGES_AGO, AGES_AGO))
    return context


def kept(image: str, archive: Path) -> tuple[Manifest, Manifest]:
    """Return what the engine keeps of an image: its index, and the platform's manifest in it."""
    machine.docker("image", "save", "--output", str(archive), image)
    with tarfile.open(archive) as layout:

        def content(name: str) -> bytes:
            member = layout.extractfile(name)
            assert member is not None
            return member.read()

        def manifest(digest: str) -> Manifest:
            return read(content(f"blobs/{digest.replace(':', '/')}"))

        index = manifest(json.loads(content("index.json"))["manifests"][0]["digest"])
        (platform,) = index.images
        return index, manifest(platform.digest)


def test_two_builds_from_nothing_give_one_digest(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    docker_config: Path,
    forget: Callable[[str], None],
) -> None:
    sha = resolve_commit(None, root=Settings.root)
    commit = describe(sha, root=Settings.root, migrations=Settings.migrations)
    found = []
    for way in (export, export_of_long_ago):
        monkeypatch.setattr(images, "export", way)
        settings = Settings(registry="localhost", repository=f"contract/{uuid.uuid4().hex}")
        try:
            images.build(settings, commit, no_cache=True, report=lambda line: None)
            found.append(kept(f"{settings.image}:{sha}", tmp_path / f"{len(found)}.tar"))
        finally:
            forget(settings.image)

    (first_index, first), (second_index, second) = found
    assert first.layers == second.layers
    assert first.config == second.config
    assert first.digest == second.digest
    # When they were made stands in the provenance: these were two builds.
    assert first_index.attestations != second_index.attestations
