"""Daily work on what is live: what it says, a command in it, a command beside it."""

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from pipeline.engine.attached import Attached, Container, Said
from pipeline.envs import live_release, nothing_live
from pipeline.errors import PipelineError, UsageError
from pipeline.outcome import Report
from pipeline.parsing import number
from pipeline.parts import Parts, real_parts
from pipeline.ports import Bundle, Colour
from pipeline.release import env
from pipeline.settings import Secret, Settings

__all__ = ["Day", "Wanted"]

LINES = 100  # of each container, where nothing else says how many
MOST = 10_000_000
SHELL = ("sh",)
COLOURS = {"blue": ("blue",), "green": ("green",), "both": ("blue", "green")}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_AGE = re.compile(r"(?:\d{1,9}[smhdw])+")
_SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines of whose logs; everything as it was typed.

    Attributes:
        colour: `blue`, `green` or `both`; None: what is live.
        service: One of Compose's, instead of a colour.
        since: An age such as `10m`, or a time in ISO 8601; None: whatever there is.
        lines: How many of each container; None: 100, or all where `since` or `grep` say which.
        grep: Regular expression to be found in a line as it is shown.
    """

    colour: str | None = None
    service: str | None = None
    since: str | None = None
    lines: str | None = None
    grep: str | None = None


class Containers(Protocol):
    """What is asked of the engine: `Attached`, or a test's stand-in."""

    def services(self) -> set[str]:
        """Return the services that have containers."""

    def containers(self, *services: str) -> list[Container]:
        """Return the containers of some services, by their numbers."""

    def said(
        self, containers: Sequence[Container], *, lines: int | None, since: float | None
    ) -> list[Said]:
        """Return what containers have said, in the order of time."""

    def follow(
        self, wanted: Callable[[], Sequence[str]], *, lines: int | None, since: float | None
    ) -> Iterator[Said]:
        """Yield what containers say, for ever."""

    def execute(self, container: Container, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command in a container."""

    def once(self, bundle: Bundle, service: str, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command in a container of its own."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """The daily work of one app on this host; `of()` wires the real parts."""

    parts: Parts
    containers: Containers
    hidden: dict[str, tuple[Secret, ...]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, settings: Settings, *, report: Report, started: float) -> "Day":
        """Wire the real engine, proxy and ledger."""
        parts: dict[str, Any] = real_parts(settings, report=report, started=started)
        return cls(parts=Parts(**parts), containers=Attached(settings.app))

    def logs(self, wanted: Wanted, *, follow: bool = False) -> Generator[Said, None, None]:
        """Return lines of logs, oldest first, without secrets; with `follow`, for ever.

        Whoever follows what is live goes along with a cutover.

        Raises:
            UsageError: Something of `wanted` is malformed, or there is no such service.
            PipelineError: Nothing is live, or has no container.
            EngineError: The engine does not answer.
        """
        whose = self._whose(wanted)
        grep = _regex(wanted.grep)
        since = _since(wanted.since)
        lines = _lines(wanted.lines, all_of_them=bool(grep or since))
        services = whose()
        if not services:
            raise nothing_live()
        if follow:
            return self._shown(self.containers.follow(whose, lines=lines, since=since), grep)
        there = self.containers.containers(*services)
        if not there:
            raise _none_of(services)
        return self._shown(self.containers.said(there, lines=lines, since=since), grep)

    def execute(self, command: Sequence[str], *, service: str | None, terminal: bool) -> int:
        """Run a command (default: a shell) in a container that runs; return its exit code.

        Args:
            command: Program and arguments.
            service: One of Compose's; None: the first replica of what is live.
            terminal: The command gets one.

        Raises:
            UsageError: There is no such service.
            PipelineError: Nothing is live, or no container of it runs.
        """
        services = [self._known(service) if service else self._colour()]
        running = [each for each in self.containers.containers(*services) if each.running]
        if not running:
            raise _none_of(services, "runs")
        return self.containers.execute(running[0], command or SHELL, terminal=terminal)

    def run(self, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command (default: a shell) in a new container of the live release.

        It gets no requests, and is removed afterwards. Returns the command's exit code.

        Raises:
            PipelineError: Nothing is live, or the release's files are gone.
        """
        colour = self._colour()
        replicas = self.parts.engine.replicas(colour)
        release = self.parts.release_of(replicas) or live_release(self.parts)
        bundle = self.parts.known(release.id).bundle
        return self.containers.once(bundle, colour, command or SHELL, terminal=terminal)

    def _colour(self) -> Colour:
        colour = self.parts.colour()
        if colour is None:
            raise nothing_live()
        return colour

    def _whose(self, wanted: Wanted) -> Callable[[], Sequence[str]]:
        """Return what tells, now and later, which services are wanted."""
        if wanted.service is not None:
            if wanted.colour is not None:
                raise UsageError(
                    "--colour and --service name two different things.",
                    hint="A colour is a service, too: leave one of them out.",
                )
            service = self._known(wanted.service)
            return lambda: (service,)
        if wanted.colour is not None:
            if wanted.colour not in COLOURS:
                raise UsageError(
                    f"{wanted.colour!r} is no colour.", hint=f"There are: {', '.join(COLOURS)}."
                )
            colours = COLOURS[wanted.colour]
            return lambda: colours

        def live() -> Sequence[str]:
            route = self.parts.traffic.live()
            return COLOURS[route] if route else ()

        return live

    def _known(self, service: str) -> str:
        there = self.containers.services()
        if not _SERVICE.fullmatch(service) or service not in there:
            raise UsageError(
                f"There is no service {service!r} here.",
                hint=f"These have containers: {', '.join(sorted(there)) or 'none'}.",
            )
        return service

    def _shown(
        self, said: Iterable[Said], grep: re.Pattern[str] | None
    ) -> Generator[Said, None, None]:
        # What is looked for is what is shown: nobody learns a secret by searching for it.
        for each in said:
            text = each.text
            for secret in self._secrets_of(each.container):
                text = secret.hide_in(text)
            if grep is None or grep.search(text):
                yield replace(each, text=text)

    def _secrets_of(self, container: Container) -> tuple[Secret, ...]:
        """Return what a container may know: its own environment, and that of its release."""
        if container.id not in self.hidden:
            values = [container.env]
            with suppress(PipelineError):  # what the ledger or the state folder lacks
                release = container.release or live_release(self.parts).id
                values.append(self.parts.known(release).env or {})
            found = {each.reveal(): each for known in values for each in env.secrets(known)}
            self.hidden[container.id] = tuple(found[each] for each in _longest_first(found))
        return self.hidden[container.id]


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=len, reverse=True)


def _none_of(services: Sequence[str], what: str = "is there") -> PipelineError:
    return PipelineError(
        f"No container of {' and '.join(services)} {what}.",
        hint="`invoke status` shows what runs; a deployment starts what is missing.",
    )


def _regex(grep: str | None) -> re.Pattern[str] | None:
    try:
        return None if grep is None else re.compile(grep)
    except re.error as exc:
        raise UsageError(
            f"--grep {grep!r} is no regular expression: {exc}.",
            hint="Put \\ before a character that is to stand for itself, such as . or (.",
        ) from exc


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    if _AGE.fullmatch(text):
        parts = re.findall(r"(\d+)([smhdw])", text)
        return max(1.0, time.time() - sum(int(many) * UNITS[unit] for many, unit in parts))
    try:
        return max(1.0, datetime.fromisoformat(text).timestamp())  # without a zone: of this machine
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"--since {text!r} is neither an age nor a time.",
            hint="Such as 90s, 10m, 1h30m, 2d, 2026-01-31 or 2026-01-31T12:00:00Z.",
        ) from exc


def _lines(text: str | None, *, all_of_them: bool) -> int | None:
    if text is None:
        return None if all_of_them else LINES
    try:
        return int(number(int, 0, MOST)(text))
    except ValueError as exc:
        raise UsageError(f"--lines: {exc}.", hint="How many lines of each container?") from exc
