"""What the real engine has besides what runs: listed, protected and removed as `prune` needs it."""

import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest

from pipeline.engine.leftovers import Image, Leftovers
from tests.contract import images


@pytest.fixture
def name(forget: Callable[[str], None]) -> Iterator[str]:
    """A repository of this test's own; its images are removed at the end."""
    made = f"127.0.0.1:9/leftovers/{uuid.uuid4().hex}"
    yield made
    forget(made)


@pytest.fixture
def engine_s() -> Leftovers:
    return Leftovers()


def only(found: list[Image]) -> Image:
    (image,) = found
    return image


def test_an_image_is_listed_once_with_all_its_names(engine, engine_s, name, sha):
    images.make(engine, name, sha)
    engine.api.tag(f"{name}:{sha}", name, "latest")
    engine.api.tag(f"{name}:{sha}", f"{name}/deeper", "x")
    image = only(engine_s.images({name, f"{name}-not"}))
    assert {f"{name}:{sha}", f"{name}:latest"} <= set(image.names)
    assert not any("deeper" in each for each in image.names)
    assert image.id in image.digests
    assert image.size > 0
    engine.api.remove_image(f"{name}/deeper:x")


def test_when_it_was_named_is_known(engine, engine_s, name, sha):
    images.make(engine, name, sha)
    first = engine_s.named_at(only(engine_s.images({name})))
    engine.api.tag(f"{name}:{sha}", name, "again")
    assert engine_s.named_at(only(engine_s.images({name}))) >= first > "2020"


def test_it_goes_with_all_its_names_and_others_keep_theirs(engine, engine_s, name, sha):
    images.make(engine, name, sha)
    other = f"{name}-of-others"
    for repository in (name, other):
        engine.api.tag(f"{name}:{sha}", repository, "latest")
    engine_s.remove_image(only(engine_s.images({name})))
    assert engine_s.images({name}) == []
    image = only(engine_s.images({other}))
    engine_s.remove_image(image)
    assert engine.images.list(name=other) == []
    with pytest.raises(docker.errors.ImageNotFound):
        engine.api.inspect_image(image.id)


def test_a_container_says_what_it_was_made_from(engine, engine_s, name, sha):
    images.make(engine, name, sha)
    image = only(engine_s.images({name}))
    made = engine.api.create_container(f"{name}:{sha}", command="/x", labels={"a": "b"})["Id"]
    try:
        (container,) = [each for each in engine_s.containers() if each.id == made]
        assert container.image & {image.id, *image.names}
        assert (container.state, container.project, container.once) == ("created", "", False)
        engine_s.remove_container(container)
        engine_s.remove_container(container)  # it is gone
        assert made not in {each.id for each in engine_s.containers()}
    finally:
        with pytest.raises(docker.errors.NotFound):
            engine.api.remove_container(made, force=True)


def nameless(engine: docker.DockerClient, revision: str) -> str:
    """Give the engine an image without a name; return its id."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(uuid.uuid4().hex))
    labels = [f"LABEL org.opencontainers.image.revision={revision}", "LABEL pipeline.migrations=m"]
    said = engine.api.import_image_from_data(data.getvalue(), changes=labels)
    return str(json.loads(said)["status"])


def test_one_without_a_name_is_found_by_its_labels(engine, engine_s, sha):
    made = nameless(engine, sha)
    image = only([each for each in engine_s.nameless() if each.id == made])
    assert image.names == ()
    engine_s.remove_image(image)
    assert made not in {each.id for each in engine_s.nameless()}
    with pytest.raises(docker.errors.ImageNotFound):
        engine.api.inspect_image(made)


@pytest.mark.parametrize("revision", ["unknown", ""])
def test_somebody_s_own_that_is_of_no_commit_is_left_alone(revision, engine, engine_s):
    made = nameless(engine, revision)
    try:
        assert made not in {each.id for each in engine_s.nameless()}
    finally:
        engine.api.remove_image(made)


def test_the_build_cache_has_a_size(engine_s):
    assert engine_s.cache_size() >= 0
