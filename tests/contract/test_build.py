"""The build wing against a real engine, buildx and git."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from pipeline.errors import EngineError
from pipeline.image import registry
from pipeline.image.build import build
from pipeline.image.commit import Commit, describe
from pipeline.settings import Settings

DOCKERFILE = """\
FROM scratch
ARG REVISION
ARG CREATED
ARG MIGRATIONS
LABEL org.opencontainers.image.revision=$REVISION
LABEL org.opencontainers.image.created=$CREATED
LABEL pipeline.migrations=$MIGRATIONS
COPY file /file
"""

Checkout = Callable[..., str]


def described(sha: str) -> Commit:
    return describe(sha, root=Settings.root, migrations="migrations")


@pytest.fixture
def nothing_published(settings: Settings) -> Settings:
    registry.login(settings, lambda line: None)
    return settings


def test_the_commit_is_built_and_not_the_working_tree(
    engine: docker.DockerClient, nothing_published: Settings, checkout: Checkout, lines: list[str]
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="committed"))
    (Settings.root / "file").write_text("a change that is in no commit")

    built = build(nothing_published, commit, report=lines.append)

    image = engine.images.get(f"{nothing_published.image}:{commit.sha}")
    assert image.labels["org.opencontainers.image.revision"] == commit.sha
    assert image.labels["org.opencontainers.image.created"] == commit.committed_at
    assert (built.sha, built.digest, built.tags) == (commit.sha, "", (commit.sha, "latest"))
    assert built.size == len("committed")
    assert engine.images.get(f"{nothing_published.image}:latest").id == image.id
    assert any("COPY file" in line for line in lines)


def test_what_is_built_is_not_built_again_unless_asked(
    engine: docker.DockerClient, nothing_published: Settings, checkout: Checkout, lines: list[str]
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    ref = f"{nothing_published.image}:{commit.sha}"
    build(nothing_published, commit, report=lambda line: None)
    first = engine.images.get(ref).id

    build(nothing_published, commit, report=lines.append)
    assert lines == [f"{ref} is here already; nothing to build."]

    build(nothing_published, commit, no_cache=True, report=lines.append)
    assert any("COPY file" in line for line in lines)
    if engine.images.get(ref).id != first:  # it has no name any more
        engine.images.remove(first)


def test_what_the_registry_has_is_pulled(
    nothing_published: Settings,
    checkout: Checkout,
    forget: Callable[[str], None],
    lines: list[str],
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    build(nothing_published, commit, report=lambda line: None)
    pushed = registry.push(nothing_published, commit, lambda line: None)
    forget(nothing_published.image)

    built = build(nothing_published, commit, report=lines.append)

    assert built.digest == pushed.digest
    assert lines == [f"Pulling {nothing_published.image}@{pushed.digest}"]


def test_a_build_needs_no_login(settings: Settings, checkout: Checkout, lines: list[str]) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))

    assert build(settings, commit, report=lines.append).sha == commit.sha
    assert "refused" in lines[0]


def test_a_failed_build_shows_the_builders_last_lines(
    nothing_published: Settings, checkout: Checkout
) -> None:
    commit = described(checkout(Dockerfile="FROM scratch\nCOPY nosuch /\n"))

    with pytest.raises(EngineError, match="could not be built") as failed:
        build(nothing_published, commit, report=lambda line: None)

    assert "nosuch" in failed.value.details


def test_an_image_without_the_label_is_refused(
    nothing_published: Settings, checkout: Checkout
) -> None:
    commit = described(checkout(Dockerfile="FROM scratch\nCOPY file /\n", file="x"))

    with pytest.raises(EngineError, match="labelled with commit"):
        build(nothing_published, commit, report=lambda line: None)


def test_a_secret_reaches_the_build_and_stays_out_of_the_image(
    engine: docker.DockerClient, nothing_published: Settings, checkout: Checkout, tmp_path: Path
) -> None:
    secret = tmp_path / "pip.conf"
    secret.write_text("sentinel-7c1f")
    with_secret = """\
FROM python:3.11-slim AS stage
RUN --mount=type=secret,id=pip,required=true wc -c /run/secrets/pip > /size
""" + DOCKERFILE.replace("COPY file /file", "COPY --from=stage /size /size")
    commit = described(checkout(Dockerfile=with_secret))

    build(replace(nothing_published, pip_config=secret), commit, report=lambda line: None)

    image = engine.images.get(f"{nothing_published.image}:{commit.sha}")
    content = b"".join(image.save())
    assert b"13 /run/secrets/pip" in content
    assert b"sentinel-7c1f" not in content
