"""Parsers of settings: each takes what TOML or a variable says and returns the value.

Each raises ValueError with a message that names what it got.
"""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Command",
    "Hooks",
    "Secret",
    "hooks",
    "ipv4",
    "number",
    "path",
    "pattern",
    "repository",
    "web_address",
    "words",
]

SHORTEST_LINE = 4  # characters; a shorter one ("}") would hide half of what is shown
Command = tuple[str, ...]


class Secret:
    """A string that shows itself only when asked by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def hide_in(self, text: str) -> str:
        """Return `text` with each occurrence of the value, or of a long line of it, replaced.

        Output comes by the line, so of a value of several lines each must go; and logs are
        JSON, in which it is escaped.
        """
        lines = [line for line in self._value.splitlines() if len(line.strip()) >= SHORTEST_LINE]
        for part in filter(str.strip, (self._value, *lines)):
            text = text.replace(part, "***").replace(json.dumps(part)[1:-1], "***")
        return text

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***" if self._value else ""

    __str__ = __repr__


def pattern(regex: str, what: str) -> Callable[[Any], str]:
    """Return a parser of strings that match `regex` as a whole; `what` says what they are."""

    def parse(raw: Any) -> str:  # noqa: ANN401 - raw TOML
        if not isinstance(raw, str) or not re.fullmatch(regex, raw):
            raise ValueError(f"{raw!r} is not {what}")
        return raw

    return parse


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[Any], Any]:
    """Return a parser of numbers from `low` to `high`."""
    what = "a whole number" if kind is int else "a number"

    def parse(raw: Any) -> Any:  # noqa: ANN401 - raw TOML
        # `type`, because True is an int, and int(1.5) is 1
        if type(raw) not in {str, int, kind}:
            raise ValueError(f"{raw!r} is not {what}")
        try:
            value = kind(raw)
        except (ValueError, OverflowError) as exc:
            raise ValueError(f"{raw!r} is not {what}") from exc
        if not low <= value <= high:
            raise ValueError(f"{raw!r} is not between {low} and {high}")
        return value

    return parse


def repository(raw: Any) -> str:  # noqa: ANN401 - raw TOML
    """Return the path of a repository in a registry."""
    # GitHub's own names (`github.repository`) may have capitals, a registry's may not.
    lower = raw.lower() if isinstance(raw, str) else raw
    return pattern(r"[a-z0-9][a-z0-9._/-]*", "a repository path")(lower)


def ipv4(raw: Any) -> str:  # noqa: ANN401 - raw TOML
    """Return an IPv4 address."""
    from ipaddress import IPv4Address

    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is not an IPv4 address")  # noqa: TRY004 - all are ValueErrors
    return str(IPv4Address(raw))


def words(regex: str, what: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a parser of words that match `regex`, of a list or of a string with commas."""

    def parse(raw: Any) -> tuple[str, ...]:  # noqa: ANN401 - raw TOML
        given = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
            raise ValueError(f"{raw!r} is not a list of {what}s")
        found = tuple(word.strip() for word in given if word.strip())
        for word in found:
            if not re.fullmatch(regex, word):
                raise ValueError(f"{word!r} is not a {what}")
        return found

    return parse


def path(raw: Any) -> Path:  # noqa: ANN401 - raw TOML
    """Return a path, with `~` expanded."""
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError(f"{raw!r} is not a path")
    try:
        return Path(raw).expanduser()
    except RuntimeError as exc:
        raise ValueError(f"{raw!r}: {exc}") from exc


def web_address(raw: Any) -> Secret:  # noqa: ANN401 - raw TOML
    """Return an address of the web that is itself a secret; "" is none."""
    if not isinstance(raw, str) or not re.fullmatch(r"(https?://\S+)?", raw):
        raise ValueError("it is not an http(s) URL")
    return Secret(raw)


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Programs that are run beside a build or deployment, each an argv list."""

    pre_build: tuple[Command, ...] = ()
    pre_deploy: tuple[Command, ...] = ()
    post_deploy: tuple[Command, ...] = ()
    on_failure: tuple[Command, ...] = ()

    def __str__(self) -> str:
        given = {
            name.replace("_", "-"): list(map(shlex.join, lines))
            for name, lines in vars(self).items()
            if lines
        }
        return json.dumps(given) if given else ""


def hooks(raw: Any) -> Hooks:  # noqa: ANN401 - raw TOML
    """Return the hooks of a table name -> commands; of a variable, the table is JSON.

    A command is split as a shell would, but no shell runs it.
    """
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError as exc:
            raise ValueError(f"{raw!r} is not JSON: {exc}") from exc
    known = {name.replace("_", "-"): name for name in Hooks.__dataclass_fields__}
    if not isinstance(raw, dict) or not set(raw) <= set(known):
        raise ValueError(f"{raw!r} is not a table of {', '.join(known)}")
    return Hooks(**{known[name]: _commands(given) for name, given in raw.items()})


def _commands(raw: Any) -> tuple[Command, ...]:  # noqa: ANN401 - raw TOML
    lines = [raw] if isinstance(raw, str) else raw
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"{raw!r} is not a list of commands")
    found = []
    for line in lines:
        try:
            command = tuple(shlex.split(line))
        except ValueError as exc:
            raise ValueError(f"{line!r} is not a command: {exc}") from exc
        if not command or "\0" in line:
            raise ValueError(f"{line!r} is not a command")
        found.append(command)
    return tuple(found)
