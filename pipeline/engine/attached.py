"""What people do with an app's containers: hear them, work in one, have one for one command."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from queue import Empty, Queue
from typing import Any

from pipeline import shell
from pipeline.engine.compose import (
    INHERITED,
    RELEASE_LABEL,
    ComposeEngine,
    compose_argv,
    docker_errors,
)
from pipeline.errors import CommandError, EngineError
from pipeline.ports import Bundle

__all__ = ["Attached", "Container", "Said"]

LOOK = 1.0  # seconds between looks at which containers there are
SHORT = 30.0  # seconds for a command that only tells the engine something
AHEAD = 10_000  # lines that are kept for a reader who is slower
LONGEST = 1_000_000  # bytes of a line; what is longer is cut in pieces
MARK = "PIPELINE_EXEC"  # in the environment of what `execute` has started
RUN_LABEL = "pipeline.run"  # of a container that is there for one command
_SEEN = re.compile(INHERITED.pattern + r"|TERM|COLORTERM|LANG|LC_\w+")  # by what talks to people
# Docker passes no signal on to what it has started in a container that runs: that, and all that
# it has started in turn, is found by the mark.
_SIGNAL = (
    'for each in /proc/[0-9]*; do grep -qs "$1" "$each/environ" && kill "-$2" "${each#/proc/}";'
    " done; true"
)


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of the app.

    Attributes:
        id: Full id.
        service: Compose's service.
        number: Compose's number of it within the service, from 1.
        running: Whether it runs now.
        release: Release that it was started for, "" where that is none's.
        env: The environment it was created with; never shown.
    """

    id: str
    service: str
    number: int
    running: bool
    release: str
    env: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.service}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One line of a container's log.

    Attributes:
        time: When, as the engine noted it; these texts sort.
        text: The line.
    """

    container: Container
    time: str
    text: str


class Attached(ComposeEngine):
    """The containers of one app, for people.

    Args:
        project: Compose project name.
    """

    def services(self) -> set[str]:
        """Return the services that have containers, running or not.

        Raises:
            EngineError: The engine does not answer.
        """
        filters = {"label": [f"com.docker.compose.project={self._project}"]}
        found = self._ask(lambda: self._client.api.containers(all=True, filters=filters))
        return {each["Labels"].get("com.docker.compose.service", "") for each in found} - {""}

    def containers(self, *services: str) -> list[Container]:
        """Return the containers of some services, by their numbers.

        Raises:
            EngineError: The engine does not answer.
        """
        from docker.errors import NotFound

        def all_of_them() -> list[Container]:
            found = []
            for container in self._ids(*services):
                with suppress(NotFound):
                    found.append(_container(self._client.api.inspect_container(container)))
            return sorted(found, key=lambda each: (each.service, each.number))

        return self._ask(all_of_them)

    def said(
        self, containers: Sequence[Container], *, lines: int | None, since: float | None
    ) -> list[Said]:
        """Return what containers have said, in the order of time.

        Args:
            containers: Which.
            lines: The last ones of each; None: all.
            since: Unix time of the first; None: whatever there is.

        Raises:
            EngineError: The engine does not answer.
        """

        def all_of_it() -> list[Said]:
            hear = partial(self._hear, lines=lines, since=since)
            return [line for each in containers for line in hear(each)]

        return sorted(self._ask(all_of_it), key=lambda line: line.time)

    def follow(
        self, wanted: Callable[[], Sequence[str]], *, lines: int | None, since: float | None
    ) -> Iterator[Said]:
        """Yield what containers have said, then what they say, for ever.

        Args:
            wanted: Tells whose services'; asked again and again, because that may change.
            lines: As `said`.
            since: As `said`.

        Raises:
            EngineError: The engine does not answer, and that is no mere restart of it.
        """
        began = time.time()
        heard: Queue[Said] = Queue(AHEAD)
        before = self.said(self.containers(*wanted()), lines=lines, since=since)
        yield from before
        last = {each.container.id: each.time for each in before}
        ears: dict[str, threading.Thread] = {}

        def listen(container: Container) -> None:
            start = _unix(last[container.id]) if container.id in last else began
            # Where it fails, the engine is away: the next look tells.
            with suppress(EngineError), docker_errors():
                for line in self._hear(container, lines=None, since=start, follow=True):
                    if line.time > last.get(container.id, ""):
                        last[container.id] = line.time
                        heard.put(line)

        while True:
            for each in self.containers(*wanted()):
                if each.id not in ears or (each.running and not ears[each.id].is_alive()):
                    ears[each.id] = threading.Thread(target=listen, args=(each,), daemon=True)
                    ears[each.id].start()
            yield from _until(time.monotonic() + LOOK, heard)

    def execute(self, container: Container, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command in a container with our standard streams; return its exit code.

        Args:
            container: It runs.
            command: Program and arguments.
            terminal: It gets one.

        Raises:
            CommandError: docker is not installed.
        """
        mark = f"{MARK}={uuid.uuid4().hex}"

        def deliver(number: int) -> bool:
            kill = ("sh", "-c", _SIGNAL, "sh", mark, str(number))
            return _tell("docker", "exec", container.id, *kill)

        argv = ["docker", "exec", "--interactive", *(["--tty"] if terminal else [])]
        argv += ["--env", mark, container.id, *command]
        return shell.attach(argv, inherit=_SEEN, apart=not terminal, deliver=deliver)

    def once(self, bundle: Bundle, service: str, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command in a container of its own with our standard streams; return its exit code.

        Args:
            bundle: Of the release.
            service: It has all that this service has, but the name.
            command: Program and arguments.
            terminal: It gets one.

        Raises:
            CommandError: docker is not installed.
        """
        name = f"{self._project}-run-{uuid.uuid4().hex[:12]}"
        arguments = ["--progress", "quiet", "run", "--rm", "--no-deps"]
        arguments += [] if terminal else ["--no-TTY"]
        arguments += ["--name", name, "--label", f"{RUN_LABEL}=true", service, *command]
        try:
            return shell.attach(
                compose_argv(self._project, bundle, arguments),
                env=bundle.variables,
                inherit=_SEEN,
                apart=not terminal,
                # Compose itself would be gone at once, with the rest of what is said.
                deliver=lambda number: _tell("docker", "kill", "--signal", str(number), name),
            )
        finally:
            _tell("docker", "rm", "--force", "--volumes", name)

    def _hear(
        self,
        container: Container,
        *,
        lines: int | None,
        since: float | None,
        follow: bool = False,
    ) -> Iterator[Said]:
        from docker.errors import NotFound

        with suppress(NotFound):
            frames = self._client.api.logs(
                container.id,
                stream=True,
                follow=follow,
                timestamps=True,
                tail="all" if lines is None else lines,
                since=since,
            )
            yield from _lines(container, frames)


def _tell(*argv: str) -> bool:
    try:
        return shell.run(argv, timeout=SHORT, inherit=INHERITED, check=False).code == 0
    except CommandError:
        return False


def _container(found: dict[str, Any]) -> Container:
    labels = found["Config"]["Labels"] or {}
    return Container(
        id=found["Id"],
        service=labels.get("com.docker.compose.service", ""),
        number=int(labels.get("com.docker.compose.container-number", 0)),
        running=found["State"]["Running"],
        release=labels.get(RELEASE_LABEL, ""),
        env=dict(each.partition("=")[::2] for each in found["Config"]["Env"] or ()),
    )


def _lines(container: Container, frames: Iterable[bytes]) -> Iterator[Said]:
    """Put lines together: a long one comes in several frames, each with a time of its own."""
    begun, time = b"", ""
    for frame in frames:
        stamp, _, text = frame.partition(b" ")
        time = time if begun else stamp.decode(errors="replace")
        begun += text
        if begun.endswith(b"\n") or len(begun) > LONGEST:
            yield Said(container=container, time=time, text=_text(begun))
            begun = b""
    if begun:
        yield Said(container=container, time=time, text=_text(begun))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode(errors="replace")


def _unix(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _until(deadline: float, heard: "Queue[Said]") -> Iterator[Said]:
    while (left := deadline - time.monotonic()) > 0:
        with suppress(Empty):
            yield heard.get(timeout=left)
