"""Push and pull: the same tests over the engine and registry in memory and over the real ones."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import EngineError, RegistryError, UsageError
from pipeline.image import registry as images
from pipeline.image.ref import Built
from pipeline.settings import Settings
from tests import fake_docker
from tests.contract.images import commit_of
from tests.contract.images import make as build

if TYPE_CHECKING:
    from docker import DockerClient


def silent(_line: str) -> None:
    pass


@dataclass
class Shelf:
    """An engine and a registry that one is logged in to.

    Attributes:
        make: Gives the engine an image `:sha` of new content, labelled with a revision.
        forget: Removes what the engine has under a name.
        publish: Pushes `:sha` past all of our checks.
    """

    settings: Settings
    make: Callable[[str, str], None]
    forget: Callable[[str], None]
    publish: Callable[[str], None]

    def names(self, tag: str) -> str | None:
        return images.remote_digest(self.settings, tag)

    def push(self, sha: str, version: str = "", report: Callable[[str], None] = silent) -> Built:
        return images.push(self.settings, commit_of(sha, version), report)


def fake(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    engine = fake_docker.install(monkeypatch)
    host, _, repository = fake_docker.NAME.partition("/")
    settings = Settings(registry=host, repository=repository)

    def make(sha: str, revision: str) -> None:
        engine.images[f"{settings.image}:{sha}"] = f"{revision} {uuid.uuid4().hex}"

    def forget(name: str) -> None:
        for reference in [each for each in engine.images if each.startswith(name)]:
            del engine.images[reference]

    def publish(sha: str) -> None:
        reference = f"{settings.image}:{sha}"
        engine.remote[reference] = engine.images[reference]

    return Shelf(settings=settings, make=make, forget=forget, publish=publish)


def real(request: pytest.FixtureRequest) -> Shelf:
    client: DockerClient = request.getfixturevalue("engine")
    settings: Settings = request.getfixturevalue("settings")

    def make(sha: str, revision: str) -> None:
        build(client, settings.image, sha, revision=revision)

    def publish(sha: str) -> None:
        login = {
            "username": settings.registry_user,
            "password": settings.registry_password.reveal(),
        }
        client.images.push(settings.image, tag=sha, auth_config=login)

    forget = request.getfixturevalue("forget")
    return Shelf(settings=settings, make=make, forget=forget, publish=publish)


@pytest.fixture(params=["fake", "real"])
def shelf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    return fake(monkeypatch) if request.param == "fake" else real(request)


@pytest.fixture
def published(shelf: Shelf, sha: str) -> Built:
    """An image that the registry has and this host has not."""
    shelf.make(sha, sha)
    pushed = shelf.push(sha)
    shelf.forget(shelf.settings.image)
    return pushed


def test_every_tag_names_the_digest_that_is_returned(shelf: Shelf, sha: str) -> None:
    shelf.make(sha, sha)
    pushed = shelf.push(sha, "1.4.2")
    assert pushed.tags == (sha, "latest", "1.4.2", "1.4", "1")
    assert pushed.digest.startswith("sha256:")
    assert {shelf.names(tag) for tag in pushed.tags} == {pushed.digest}


def test_a_second_push_does_no_work(shelf: Shelf, sha: str, lines: list[str]) -> None:
    shelf.make(sha, sha)
    first = shelf.push(sha)
    assert shelf.push(sha, report=lines.append).digest == first.digest
    assert lines == [
        f"{shelf.settings.image}:{tag} is in the registry already." for tag in (sha, "latest")
    ]


def test_latest_moves_and_a_commits_tag_does_not(shelf: Shelf, sha: str) -> None:
    shelf.make(sha, sha)
    first = shelf.push(sha)
    newer = sha[::-1]
    shelf.make(newer, newer)
    second = shelf.push(newer)
    assert shelf.names("latest") == second.digest != first.digest

    shelf.forget(f"{shelf.settings.image}:{sha}")
    shelf.make(sha, sha)
    with pytest.raises(RegistryError, match="never moves") as refused:
        shelf.push(sha)
    assert f"invoke deploy --sha {sha}" in refused.value.hint
    assert shelf.names(sha) == first.digest
    assert shelf.names("latest") == second.digest


def test_what_was_not_built_is_not_pushed(shelf: Shelf, sha: str) -> None:
    with pytest.raises(EngineError) as missing:
        shelf.push(sha)
    assert f"invoke build --sha {sha}" in missing.value.hint


def test_pulls_by_digest_what_this_host_lacks(
    shelf: Shelf, published: Built, lines: list[str]
) -> None:
    image = images.ensure_local(shelf.settings, published.sha, lines.append)
    assert image.reference == f"{shelf.settings.image}@{published.digest}"
    assert image.revision == published.sha
    assert lines == [f"Pulling {image.reference}"]


def test_what_is_here_is_not_pulled_and_by_its_digest_not_even_asked_for(
    shelf: Shelf, published: Built, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images.ensure_local(shelf.settings, published.sha, silent)
    assert images.ensure_local(shelf.settings, published.sha, lines.append) == first
    monkeypatch.delattr(images, "connect")
    by_digest = images.ensure_local(
        shelf.settings, published.sha, lines.append, reference=first.reference
    )
    assert (by_digest.id, by_digest.reference) == (first.id, first.reference)
    assert lines == []


def test_an_earlier_release_is_pulled_by_its_digest(
    shelf: Shelf, published: Built, lines: list[str]
) -> None:
    reference = f"{shelf.settings.image}@{published.digest}"
    image = images.ensure_local(shelf.settings, published.sha, lines.append, reference=reference)
    assert (image.reference, lines) == (reference, [f"Pulling {reference}"])


def test_an_image_that_was_never_pushed_is_not_taken(shelf: Shelf, sha: str) -> None:
    shelf.make(sha, sha)
    with pytest.raises(RegistryError, match="has no"):
        images.ensure_local(shelf.settings, sha, silent)


def test_an_image_of_another_commit_is_refused(shelf: Shelf, sha: str) -> None:
    other = sha[::-1]
    shelf.make(sha, other)
    shelf.publish(sha)
    shelf.forget(shelf.settings.image)
    with pytest.raises(RegistryError, match="not an image of commit") as refused:
        images.ensure_local(shelf.settings, sha, silent)
    assert other[:12] in refused.value.message


def test_an_unknown_commit_names_the_reference_and_the_next_step(shelf: Shelf, sha: str) -> None:
    with pytest.raises(RegistryError) as unknown:
        images.ensure_local(shelf.settings, sha, silent)
    assert unknown.value.exit_code == 1
    assert f"{shelf.settings.image}:{sha}" in unknown.value.message
    assert f"invoke push --sha {sha}" in unknown.value.hint


def test_hostile_reference(shelf: Shelf, sha: str) -> None:
    with pytest.raises(UsageError):
        images.ensure_local(shelf.settings, sha, silent, reference="--help")
