"""What a hostile registry is tested with, and what must be so of every failure."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import docker
import pytest

from pipeline.errors import RegistryError
from pipeline.image import local
from pipeline.image import registry as images
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.ref import Built, ImageRef, LocalImage
from pipeline.settings import Settings
from tests.contract.hostile import Behaviour, Hostile, status
from tests.contract.images import commit_of, make

STALL, WHOLE = 1.5, 4.0  # seconds: until no news is bad news, and for all of a push or pull
SLACK = 4.0  # for what works, on a busy machine
BUSY = [1.0, 3.0]  # seconds before the second and the third try
NOWHERE = f"sha256:{'0' * 64}"
BASIC = {"www_authenticate": 'Basic realm="test"'}

HEAD, LATEST = "HEAD .*/manifests/[^:]*", "PUT .*/manifests/latest"
BEGIN, UPLOAD = "POST .*/uploads/", "PUT .*/uploads/.*"
NAME, MANIFEST = "PUT .*/manifests/[0-9a-f]{40}", "GET .*/manifests/sha256:.*"
BLOB = "GET .*/blobs/.*"

REFUSED, BROKEN = "refused", "busy or out of order"
NO_ANSWER, BROKE_OFF = "no answer within 1.5 s", "broke off"
NO_NEWS, LATE = "given up: no news for 1.5 s", "given up: (no news for 1.5|not done within 4) s"
NOTHING = "names nothing after the push of sha256:"
ELSEWHERE = status(401, www_authenticate='Bearer realm="http://192.0.2.1/token"')

# what is asked, what happens to it, the error, and what that says
Case = tuple[str, Behaviour, type[RegistryError], str]
# what is asked, what happens to it, how often, and how long is waited after each time
Over = tuple[str, Behaviour, int, list[float]]


def cases(**kinds: Case | Over) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", kinds.values(), ids=kinds)


def silent(_line: str) -> None:
    pass


@dataclass(kw_only=True)
class Scene:
    """An engine, a registry, and the front before it.

    Attributes:
        settings: For the registry behind the front, and little patience.
        direct: For the registry itself.
        sha: The commit whose image it is about.
        pauses: How long would have been waited before each further try.
        moves: What the engine was asked to push or pull, each try once.
    """

    engine: docker.DockerClient
    front: Hostile
    settings: Settings
    direct: Settings
    sha: str
    forget: Callable[[str], None]
    pauses: list[float] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)

    def make(self, sha: str = "", revision: str = "") -> None:
        """Have an image here."""
        make(self.engine, self.settings.image, sha or self.sha, revision=revision or None)

    def push(self, sha: str = "") -> Built:
        return images.push(self.settings, commit_of(sha or self.sha), silent)

    def publish(self) -> Built:
        """Have the image here and in the registry."""
        self.make()
        pushed = self.push()
        self.front.seen.clear()
        self.moves.clear()
        return pushed

    def lose(self) -> Built:
        """Have the image in the registry only."""
        pushed = self.publish()
        self.forget(self.settings.image)
        return pushed

    def ensure(self, report: Callable[[str], None] = silent) -> LocalImage:
        return images.ensure_local(self.settings, self.sha, report)

    def here(self, **which: str) -> LocalImage | None:
        return local.inspect(ImageRef(name=self.settings.image, **which))

    def there(self, tag: str) -> str | None:
        return images.remote_digest(self.direct, tag)

    @contextmanager
    def failing(self, error: type[RegistryError], says: str) -> Iterator[None]:
        """What has to end as every failure must, and when it must."""
        started = time.monotonic()
        with pytest.raises(RegistryError, match=says) as failed:
            yield
        seconds = time.monotonic() - started
        assert type(failed.value) is error
        assert failed.value.exit_code == 1
        assert failed.value.hint
        assert self.settings.registry_password.reveal() not in str(failed.value.as_dict())
        assert self.pauses == (BUSY if error is BusyError else [])
        assert len(self.moves) <= (1 + len(BUSY) if error is BusyError else 1)
        assert seconds < SLACK + (WHOLE if error is NoAnswerError else 0)


def noted(move: Callable[..., object], moves: list[str]) -> Callable[..., object]:
    """Return what moves an image, and writes down that it does."""

    def begin(*args: object, **kwargs: object) -> object:
        moves.append(move.__name__)
        return move(*args, **kwargs)

    return begin
