"""Short looks at what is outside, each with a deadline that holds even for name resolution."""

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from pipeline import shell
from pipeline.errors import CommandError

__all__ = [
    "DOCKER_SOCKET",
    "engine_pings",
    "http_answers",
    "http_body",
    "http_status",
    "port_trouble",
    "says",
    "within",
]

DOCKER_SOCKET = Path("/var/run/docker.sock")
SAY_SECONDS = 10.0
T = TypeVar("T")


def within(seconds: float, look: Callable[[], T], otherwise: T) -> T:
    """Return what `look` returns (raise what it raises), or `otherwise` after `seconds`.

    A look that is late is left behind on a daemon thread: the system's resolver takes no deadline.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(look())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        # Done all the same: the look's own TimeoutError, or an answer in the last moment.
        return outcome.result() if outcome.done() else otherwise


def says(argv: Sequence[str]) -> str:
    """Return what a command prints; "" where it fails, hangs or is not installed."""
    try:
        result = shell.run(argv, timeout=SAY_SECONDS, check=False)
    except CommandError:
        return ""
    return result.stdout.strip() if result.code == 0 else ""


def http_answers(url: str, *, seconds: float = 3.0, any_status: bool = False) -> bool:
    """Return whether a HEAD of `url` (through the environment's proxy) succeeds within `seconds`.

    Args:
        url: What to ask for.
        seconds: Deadline.
        any_status: A refusal (401, 404) is an answer too.
    """

    def look() -> bool:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - our own https URLs
        try:
            with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310 - same
                return True
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return any_status
        except (OSError, http.client.HTTPException):
            return False

    return within(seconds, look, otherwise=False)


def http_body(url: str, *, seconds: float = 3.0) -> bytes:
    """Return what a GET of `url` brings; empty where that takes longer or fails."""

    def look() -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - same
                body: bytes = answer.read()
                return body
        except (OSError, http.client.HTTPException):
            return b""

    return within(seconds, look, otherwise=b"")


def http_status(host: str, port: int, path: str, *, seconds: float = 1.0) -> int | None:
    """Return the status of a plain GET without any proxy; None where nothing answers."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def port_trouble(host: str, port: int) -> str:
    """Return why nothing can listen on `host`:`port` of this machine; "" where it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as exc:
            return exc.strerror or str(exc)
    return ""


def engine_pings(path: Path = DOCKER_SOCKET, *, seconds: float = 1.0) -> bool:
    """Return whether a Docker Engine answers on its socket; needs no client."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        try:
            line.connect(str(path))
            line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in line.recv(64)
        except OSError:
            return False
