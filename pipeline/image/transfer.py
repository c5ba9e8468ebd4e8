"""Content between the engine and a registry: pushed and pulled by the engine, watched by us.

The engine answers HTTP 200 as soon as it begins; how it ended is in the stream. So the
stream is read to its end, an error in it is raised, and silence is one, too.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import EngineError, RegistryError
from pipeline.image import credentials, distribution, http
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.ref import ImageRef
from pipeline.settings import Settings

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

__all__ = ["pull", "push", "understood"]

Report = Callable[[str], None]
Event = Mapping[str, Any]

SHOW_SECONDS = 0.2  # between two states of the progress
TALKING = ("Pushing", "Downloading")


def push(settings: Settings, ref: ImageRef, report: Report) -> None:
    """Have the engine push `ref`.

    Args:
        settings: Login and deadlines.
        ref: A tag that the engine has.
        report: Told of the progress; what begins with a return is of the moment.

    Raises:
        EngineError: No engine answers.
        RegistryError: Refused, broken off, silent for `stall_timeout`, or past `push_timeout`.
    """
    _move("push", settings, ref, report)


def pull(settings: Settings, ref: ImageRef, report: Report) -> None:
    """Have the engine pull `ref`; it compares the content with a digest by itself.

    Raises:
        EngineError: No engine answers.
        RegistryError: As `push`.
    """
    _move("pull", settings, ref, report)


def understood(said: str, what: str, host: str, *, name: str = "") -> RegistryError:
    """Return what the engine's words about a registry mean.

    They are all there is: the error codes of the distribution specification, and Go's status
    lines. They choose between hints and whether to try again, nothing else.

    Args:
        said: The words.
        what: It was about, for people.
        host: The registry.
        name: Registry and repository, whose own words mean nothing here.
    """
    words = _ADDRESS.sub("", said)
    for own in filter(None, (name, name.partition("/")[2])):
        words = words.replace(own, "")
    if _BUSY.search(words):
        return http.busy(host, said)
    if _DAMAGED.search(words):
        # What came is kept by the engine for a moment, and would be taken for a good beginning.
        return BusyError(
            f"What the registry {host} sent of {what} is not what its digest says.",
            hint="Try again in a minute; where it stays so, something on the way, or in the "
            "registry, changes it.",
            details=said,
        )
    if _OTHER_PLATFORM.search(words):
        return RegistryError(
            f"{what} is not for the platform of this machine: {said.splitlines()[-1]}",
            hint="`invoke inspect --sha <commit>` names the platforms that it has; `invoke build "
            "--sha <commit> --push` here makes one for this machine.",
        )
    if _LOGIN.search(words):
        return http.refusal(host, what, said)
    return RegistryError(
        f"The registry {host} could not be asked for {what}: {said.splitlines()[-1]}",
        hint=f"Is it running, and is {host} what the setting `registry` should be?",
    )


_ADDRESS = re.compile(r"https?://[^\s\"]+")
_BUSY = re.compile(r"toomanyrequests|too many requests|\b(?:429|5\d\d) [A-Z]", re.IGNORECASE)
_DAMAGED = re.compile(r"unexpected commit (?:size|digest)")
_OTHER_PLATFORM = re.compile(r"no match(?:ing manifest)? for (?:platform|linux/)")
_LOGIN = re.compile(
    r"unauthorized|no basic auth credentials|denied|forbidden|insufficient.scope", re.IGNORECASE
)


def _move(verb: Literal["push", "pull"], settings: Settings, ref: ImageRef, report: Report) -> None:
    began = time.monotonic()
    _Transfer(settings=settings, ref=ref, verb=verb, report=report, began=began).run()


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    settings: Settings
    ref: ImageRef
    verb: Literal["push", "pull"]
    report: Report
    began: float

    def run(self) -> None:
        login = credentials.of(self.settings)
        auth = credentials.engine_auth(login, self.ref.registry)

        def attempt() -> None:
            with self._engine() as engine:
                move = engine.push if self.verb == "push" else engine.pull
                what = self.ref.digest or self.ref.tag
                self._listen(
                    move(self.ref.name, tag=what, stream=True, decode=True, auth_config=auth)
                )

        distribution.patiently(attempt)

    def _listen(self, events: Iterable[Event]) -> None:
        states: dict[str, tuple[object, ...]] = {}
        news = shown = time.monotonic()
        for event in events:
            if said := (event.get("errorDetail") or {}).get("message") or event.get("error"):
                raise self._understood(str(said))
            now = time.monotonic()
            detail = event.get("progressDetail") or {}
            state = (event.get("status"), detail.get("current"), detail.get("total"))
            if states.get(str(event.get("id"))) != state:  # the engine repeats itself as it waits
                states[str(event.get("id"))], news = state, now
            if now - news > self._patience:
                raise self._silent()
            if now - self.began > self.settings.push_timeout:
                raise self._late(f"not done within {self.settings.push_timeout:g} s")
            if now - shown >= SHOW_SECONDS:
                shown = now
                self.report(f"\r{self.verb}: {_progress(states.values())}")

    def _understood(self, said: str) -> RegistryError:
        return understood(said, str(self.ref), self.ref.registry, name=self.ref.name)

    def _silent(self) -> NoAnswerError:
        return self._late(f"no news for {self._patience:g} s")

    @property
    def _patience(self) -> float:
        return min(self.settings.stall_timeout, self.settings.push_timeout)

    def _late(self, why: str) -> NoAnswerError:
        return NoAnswerError(
            f"The {self.verb} of {self.ref} was given up: {why}.",
            hint="Try again; PIPELINE_STALL_TIMEOUT and PIPELINE_PUSH_TIMEOUT are the limits.",
        )

    @contextmanager
    def _engine(self) -> "Iterator[APIClient]":
        import docker
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        try:
            client = docker.from_env(timeout=math.ceil(self._patience))
        except DockerException as exc:
            raise EngineError(
                "No Docker Engine answers.",
                hint="`invoke host` finds out why, and installs or starts one.",
                details=str(exc),
            ) from exc
        try:
            with _patient(client.api, self._patience):
                yield client.api
        except APIError as exc:
            raise self._understood(str(exc.explanation or exc)) from exc
        except (RequestException, HTTPError) as exc:
            if isinstance(exc, ReadTimeoutError) or "Read timed out" in str(exc):
                raise self._silent() from exc
            raise EngineError(
                f"The Docker Engine broke off the {self.verb} of {self.ref}.",
                hint="`invoke doctor` looks at the engine; then try again.",
                details=str(exc),
            ) from exc
        finally:
            client.close()


@contextmanager
def _patient(engine: "APIClient", seconds: float) -> "Iterator[None]":
    """Bound the engine's silence, and let it stop where we have heard enough.

    The SDK itself would wait for ever for a pull; and it leaves a stream open of which not all
    was read, with which the engine goes on.
    """
    send = engine.send
    with ExitStack() as ends:

        def bounded(*args: Any, **how: Any) -> "Response":  # noqa: ANN401 - as requests has it
            answer = send(*args, **{**how, "timeout": seconds})
            ends.callback(answer.close)
            return answer

        engine.send = bounded  # type: ignore[method-assign]
        yield


def _progress(states: Iterable[tuple[object, ...]]) -> str:
    moving = [state for state in states if state[0] in TALKING]
    done, total = (sum(n for s in moving if isinstance(n := s[at], int)) for at in (1, 2))
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else "waiting"
