"""The build wing against a real engine, buildx and git."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from pipeline.errors import EngineError
from pipeline.image import registry
from pipeline.image.about import SPDX, about
from pipeline.image.build import build, build_files
from pipeline.image.commit import Commit, describe, tree_of_files
from pipeline.settings import Secret, Settings
from tests.contract.images import everything

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


def test_the_commit_is_built_and_not_the_working_tree(
    engine: docker.DockerClient, settings: Settings, checkout: Checkout, lines: list[str]
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="committed"))
    (Settings.root / "file").write_text("a change that is in no commit")

    built = build(settings, commit, report=lines.append)

    image = engine.images.get(f"{settings.image}:{commit.sha}")
    assert image.labels["org.opencontainers.image.revision"] == commit.sha
    assert image.labels["org.opencontainers.image.created"] == commit.committed_at
    assert (built.sha, built.tags) == (commit.sha, (commit.sha, "latest"))
    assert built.digest == image.id  # what a registry will call it, known before any push
    assert engine.images.get(f"{settings.image}:latest").id == image.id
    assert any("COPY file" in line for line in lines)


def test_what_is_built_is_not_built_again_unless_asked(
    engine: docker.DockerClient, settings: Settings, checkout: Checkout, lines: list[str]
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    ref = f"{settings.image}:{commit.sha}"
    build(settings, commit, report=lambda line: None)
    first = engine.images.get(ref).id

    build(settings, commit, report=lines.append)
    assert lines == [f"{ref} is here already; nothing to build."]

    build(settings, commit, no_cache=True, report=lines.append)
    assert any("COPY file" in line for line in lines)
    if engine.images.get(ref).id != first:  # it has no name any more
        engine.images.remove(first)


def test_what_the_registry_has_is_pulled(
    settings: Settings,
    checkout: Checkout,
    forget: Callable[[str], None],
    lines: list[str],
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    build(settings, commit, report=lambda line: None)
    pushed = registry.push(settings, commit, lambda line: None)
    forget(settings.image)

    built = build(settings, commit, report=lines.append)

    assert built.digest == pushed.digest
    assert lines == [f"Pulling {settings.image}@{pushed.digest}"]


def test_a_build_needs_no_login(settings: Settings, checkout: Checkout, lines: list[str]) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    anonymous = replace(settings, registry_user="", registry_password=Secret(""))

    assert build(anonymous, commit, report=lines.append).sha == commit.sha
    assert "refused" in lines[0]


def test_what_is_built_is_attested_and_can_be_looked_at(
    settings: Settings, checkout: Checkout
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="x"))
    build(settings, commit, report=lambda line: None)
    pushed = registry.push(settings, commit, lambda line: None)

    found = about(settings, commit.sha)

    assert (found["sha"], found["reference"]) == (commit.sha, f"{settings.image}@{pushed.digest}")
    (platform,) = found["platforms"]
    assert platform["attestations"] == ["https://slsa.dev/provenance/v0.2", SPDX]
    assert [layer["made_by"].split()[0] for layer in platform["layers"]] == ["COPY"]


def test_a_rebuilt_image_of_the_same_content_is_not_pushed_again(
    settings: Settings, checkout: Checkout, lines: list[str]
) -> None:
    dated = "FROM python:3.11-slim AS stage\nWORKDIR /layer\nCOPY file .\nRUN touch -d @0 . file\n"
    dated += DOCKERFILE.replace("COPY file /file", "COPY --from=stage /layer/ /")
    commit = described(checkout(Dockerfile=dated, file="x"))
    build(settings, commit, report=lambda line: None)
    first = registry.push(settings, commit, lambda line: None)

    rebuilt = build(settings, commit, no_cache=True, report=lambda line: None)
    pushed = registry.push(settings, commit, lines.append)

    assert rebuilt.digest != first.digest  # attested at another time
    assert pushed.digest == first.digest
    assert lines[0].endswith("is in the registry already.")


def test_the_files_as_they_are_are_built_on_purpose(
    engine: docker.DockerClient, settings: Settings, checkout: Checkout
) -> None:
    commit = described(checkout(Dockerfile=DOCKERFILE, file="committed"))
    (Settings.root / "file").write_text("a change that is in no commit")

    built = build_files(settings, commit, tree_of_files(Settings.root), report=lambda line: None)

    image = engine.images.get(f"{settings.image}:{built.tags[0]}")
    assert image.labels["org.opencontainers.image.revision"] == f"{commit.sha}-dirty"
    with pytest.raises(EngineError, match="no image of commit"):
        registry.push(settings, commit, lambda line: None)


def test_a_failed_build_shows_the_builders_last_lines(
    settings: Settings, checkout: Checkout
) -> None:
    commit = described(checkout(Dockerfile="FROM scratch\nCOPY nosuch /\n"))

    with pytest.raises(EngineError, match="could not be built") as failed:
        build(settings, commit, report=lambda line: None)

    assert "nosuch" in failed.value.details


def test_an_image_without_the_label_is_refused(settings: Settings, checkout: Checkout) -> None:
    commit = described(checkout(Dockerfile="FROM scratch\nCOPY file /\n", file="x"))

    with pytest.raises(EngineError, match="labelled with commit"):
        build(settings, commit, report=lambda line: None)


def test_a_secret_reaches_the_build_and_stays_out_of_the_image(
    engine: docker.DockerClient, settings: Settings, checkout: Checkout, tmp_path: Path
) -> None:
    secret = tmp_path / "pip.conf"
    secret.write_text("sentinel-7c1f")
    with_secret = """\
FROM python:3.11-slim AS stage
RUN --mount=type=secret,id=pip,required=true wc -c /run/secrets/pip > /size
""" + DOCKERFILE.replace("COPY file /file", "COPY --from=stage /size /size")
    commit = described(checkout(Dockerfile=with_secret))

    build(replace(settings, pip_config=secret), commit, report=lambda line: None)

    image = engine.images.get(f"{settings.image}:{commit.sha}")
    content = everything(image.save())
    assert b"13 /run/secrets/pip" in content
    assert b"sentinel-7c1f" not in content
