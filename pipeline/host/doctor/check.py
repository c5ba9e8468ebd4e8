"""A check: what was looked at, what was seen, and what to type. Things seen once for all."""

import os
import pwd
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pipeline.errors import PipelineError

__all__ = [
    "CHILD_SECONDS",
    "SET_UP",
    "Check",
    "Once",
    "Status",
    "begin",
    "failed",
    "fine",
    "refused",
    "typed",
    "user",
    "warned",
]

T = TypeVar("T")
Status = Literal["ok", "warn", "fail"]

SET_UP = "./bin/invoke host --yes"
CHILD_SECONDS = 1.2  # for a program: it is ended before anybody gives its check up
_PROGRAMS = {"invoke", "./bin/invoke", "docker", "systemctl", "sudo", "df", "ss", "journalctl"}
_TYPED = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One look at the machine.

    Attributes:
        name: What was looked at.
        status: `fail` keeps a deployment, or the service, from working; `warn` may, or soon will.
        message: What was seen; never a secret.
        remedy: A line for a shell: the command that mends it; what is behind a `#` is for people.
            "" where all is well.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def fine(name: str, message: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name=name, status="ok", message=message)


def warned(name: str, message: str, remedy: str) -> Check:
    """Return a check that found what may do harm, or soon will."""
    return Check(name=name, status="warn", message=message, remedy=_for_us(remedy))


def failed(name: str, message: str, remedy: str) -> Check:
    """Return a check that found what does harm."""
    return Check(name=name, status="fail", message=message, remedy=_for_us(remedy))


def refused(name: str, error: PipelineError, status: Status = "fail", remedy: str = "") -> Check:
    """Return an error as a check; `remedy` where the error names no next step."""
    made = failed if status == "fail" else warned
    return made(name, error.message.rstrip("."), typed(error.hint) or remedy or SET_UP)


def typed(hint: str) -> str:
    """Return the next step of an error as a line for a shell: its command, the words behind a #.

    A hint is for people: what is in backticks may as well be a setting or a flag.
    """
    commands = [text for text in _TYPED.findall(hint) if text.split()[0] in _PROGRAMS]
    command = commands[0] if commands else ""
    if command.startswith("invoke "):
        command = f"./bin/{command}"
    words = " ".join(hint.split())
    if command and words.strip("`.") == commands[0]:
        return command
    return f"{command}  # {words}" if command else f"# {words}" * bool(words)


def user() -> str:
    """Return who we are, for a command line: the name, or the number of one who has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _for_us(remedy: str) -> str:
    # root needs no sudo, and a server that has only root may have none
    return remedy.removeprefix("sudo ") if os.geteuid() == 0 else remedy


def begin(work: Callable[[], T]) -> Future[T]:
    """Start something; nobody has to wait for it to end, and what it raises is raised there.

    On a daemon thread, because the system's resolver takes no deadline.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return outcome


class Once(Generic[T]):
    """What several checks want to know: looked at once, by whoever asks first."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._seen: Future[T] = Future()

    def __call__(self) -> T:
        """Return what was seen, or raise what looking raised."""
        with self._lock:
            if not self._seen.done():
                try:
                    self._seen.set_result(self._look())
                except Exception as exc:  # noqa: BLE001 - raised again where it is asked for
                    self._seen.set_exception(exc)
        return self._seen.result()
