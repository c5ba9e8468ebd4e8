"""What one Docker Engine has of an app besides what runs: images, stopped containers, cache."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.engine.compose import RELEASE_LABEL, REVISION_LABEL
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Container", "Image", "Leftovers"]

SDK_TIMEOUT = 60  # seconds for one API call; an image that goes takes its layers with it
CACHE_TIMEOUT = 600  # seconds; there may be a hundred gigabytes of it
AGES = ("720h", "168h", "24h", "1h", "")  # since it was used; the last is everything
OURS = "pipeline.migrations"  # a label that only our images have
REVISION = re.compile(r"[0-9a-f]{40}")
ENDED = frozenset({"exited", "dead"})


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of the app.

    Attributes:
        id: The engine's own.
        names: Its references in the app's repositories, tags first; none where it has lost them.
        digests: What a registry, or the engine, calls it.
        size: Bytes of what no other image of that repository has, as far as the engine can tell.
    """

    id: str
    names: tuple[str, ...]
    digests: frozenset[str]
    size: int

    def __str__(self) -> str:
        return self.names[0] if self.names else self.id


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of anybody's.

    Attributes:
        id: The engine's own.
        name: For people.
        state: `running`, `exited`, `created`, ...
        image: What it was made from: the image's id, and the reference that was asked for.
        project: Compose project; "" where it is of none.
        release: Release that it is a replica of; "" where it is none.
        once: Whether it was made for one command, such as a migration.
    """

    id: str
    name: str
    state: str
    image: frozenset[str]
    project: str = ""
    release: str = ""
    once: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def ended(self) -> bool:
        """Whether it does nothing any more, and nobody is about to start it."""
        # One that was only created belongs to a command that starts it, or was killed before.
        return self.state in ENDED or (self.state == "created" and not self.once)


class Leftovers:
    """The engine, asked for what may go. Its methods raise EngineError."""

    def __init__(self) -> None:
        self._connected: DockerClient | None = None

    def containers(self) -> list[Container]:
        """Return every container of the engine, running or not, whoever's it is."""
        with _docker_errors():
            return [_container(each) for each in self._client.api.containers(all=True)]

    def images(self, repositories: Collection[str]) -> list[Image]:
        """Return the images that have a name in one of the repositories."""
        names = sorted(set(map(_familiar, repositories)))
        found = (self._images(reference=[_literally(name)]) for name in names)
        return [
            _image(each, name) for name, some in zip(names, found, strict=True) for each in some
        ]

    def nameless(self) -> list[Image]:
        """Return the images that this pipeline built and that have lost every name."""
        found = self._images(dangling=["true"], label=[OURS])
        # Who builds by hand, and gives no name, is not told a commit.
        return [
            _image(each)
            for each in found
            if not (each["RepoTags"] or each["RepoDigests"])
            and REVISION.match((each["Labels"] or {}).get(REVISION_LABEL, ""))
        ]

    def named_at(self, image: Image) -> str:
        """Return when the image last got a name here (ISO 8601): it was built, pulled or tagged.

        When it was created is no help: that is the time of its commit.
        """
        found = self._get(f"images/{image.id}/json", {})
        return str((found.get("Metadata") or {}).get("LastTagTime") or "")

    def remove_image(self, image: Image) -> None:
        """Remove the image's names, and so the image, unless others have a name for it."""
        from docker.errors import NotFound

        with _docker_errors():
            for name in image.names or (image.id,):
                with suppress(NotFound):  # the name before took this one with it
                    self._client.api.remove_image(name)

    def remove_container(self, container: Container) -> None:
        """Remove a container that does not run."""
        from docker.errors import NotFound

        with _docker_errors(), suppress(NotFound):
            self._client.api.remove_container(container.id, v=True)

    def cache_size(self) -> int:
        """Return the bytes of everybody's build cache that no build is using."""
        # Those "shared" count: what a step left on top of a base image passes for shared with it.
        found = self._get("system/df", {"type": "build-cache"})
        return sum(each["Size"] for each in found.get("BuildCache") or [] if not each["InUse"])

    def shrink_cache(self, keep: int) -> int:
        """Remove build cache: what nobody used for a month, and while it is over `keep`, younger.

        Not one by one down to `keep`: the engine would take first what builds need but seldom
        touch, such as the step that installs packages, and the next build would make it again.

        Args:
            keep: Bytes, of what `cache_size` counts.

        Returns:
            How many bytes that freed.
        """
        freed = self._forget(AGES[0])
        for age in AGES[1:]:
            if self.cache_size() <= keep:
                break
            freed += self._forget(age)
        return freed

    def _forget(self, age: str) -> int:
        asked = {"all": "1"} | ({"filters": json.dumps({"until": [age]})} if age else {})
        done = self._ask("post", "build/prune", asked, CACHE_TIMEOUT)
        return int(done.get("SpaceReclaimed") or 0)

    def _images(self, **filters: list[str]) -> list[dict[str, Any]]:
        asked = {"filters": json.dumps(filters), "shared-size": "1"}
        found: list[dict[str, Any]] = self._get("images/json", asked)
        return [
            {**each, "RepoTags": each["RepoTags"] or [], "RepoDigests": each["RepoDigests"] or []}
            for each in found
        ]

    def _get(self, path: str, asked: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        return self._ask("get", path, asked, SDK_TIMEOUT)

    def _ask(
        self, method: Literal["get", "post"], path: str, asked: Mapping[str, str], timeout: float
    ) -> Any:  # noqa: ANN401 - JSON
        # The SDK can list images and disk use, but not say what of them to compute, nor how
        # long to wait.
        with _docker_errors():
            api = self._client.api
            ask = api.get if method == "get" else api.post
            answer = ask(f"{api.base_url}/v{api.api_version}/{path}", params=asked, timeout=timeout)
            answer.raise_for_status()
            return answer.json()

    @property
    def _client(self) -> "DockerClient":
        if self._connected is None:
            import docker

            self._connected = docker.from_env(timeout=SDK_TIMEOUT)
        return self._connected


def _image(found: Mapping[str, Any], repository: str = "") -> Image:
    tags = [each for each in found["RepoTags"] if each.rpartition(":")[0] == repository]
    others = [each for each in found["RepoDigests"] if each.partition("@")[0] == repository]
    return Image(
        id=found["Id"],
        names=(*tags, *others),
        digests=frozenset({found["Id"], *(each.partition("@")[2] for each in others)}),
        size=found["Size"] - max(found.get("SharedSize", -1), 0),
    )


def _container(found: Mapping[str, Any]) -> Container:
    labels = found["Labels"] or {}
    return Container(
        id=found["Id"],
        name=(found["Names"] or [found["Id"]])[0].removeprefix("/"),
        state=found["State"],
        image=frozenset({found["ImageID"], found["Image"]}),
        project=labels.get("com.docker.compose.project", ""),
        release=labels.get(RELEASE_LABEL, ""),
        once=labels.get("com.docker.compose.oneoff") == "True",
    )


def _familiar(repository: str) -> str:
    """Return a repository as the engine lists it."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def _literally(name: str) -> str:
    """Return a pattern of the engine's that only this name matches."""
    return re.sub(r"([\[\]*?\\])", r"\\\1", name)


@contextmanager
def _docker_errors() -> Iterator[None]:
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as exc:
        raise EngineError(f"the engine refused: {exc.explanation or exc}") from exc
    except (DockerException, RequestException, ValueError) as exc:
        raise EngineError(
            f"The Docker Engine does not answer as it should: {exc}",
            hint="`./bin/invoke host --yes` installs and starts it; `docker info` shows its state.",
        ) from exc
