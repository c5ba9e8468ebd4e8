"""Commits and images that cost nothing to make."""

import gzip
import io
import tarfile
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.image.commit import Commit

if TYPE_CHECKING:
    from docker import DockerClient


def commit_of(sha: str, version: str = "") -> Commit:
    return Commit(
        sha=sha, committed_at="2026-01-02T03:04:05+00:00", version=version, migrations="", source=""
    )


def make(engine: "DockerClient", name: str, sha: str, *, revision: str | None = None) -> None:
    """Give the engine a one-file image `name:sha` with new content."""
    content = uuid.uuid4().bytes
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    label = f"LABEL org.opencontainers.image.revision={sha if revision is None else revision}"
    engine.api.import_image_from_data(
        data.getvalue(), repository=name, tag=sha, changes=[label, "LABEL pipeline.migrations=m1"]
    )


def everything(saved: Iterable[bytes]) -> bytes:
    """Return all that is in a saved image, layers and attestations unpacked."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(b"".join(saved))) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                data = file.read()
                found.append(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
    return b"\n".join(found)
