"""Users in a process of their own: a steady rate of requests over keep-alive connections.

`python -m tests.bench.load ADDRESS` prints `warm` once it has sent `--before` requests, goes on
until its standard input ends, and then prints every sample as one line of JSON. It is a process,
so that its measuring does not wait for whoever measures; its clock is the machine's monotonic
one, so that both can compare times.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httptools
import uvloop

from tests.bench.samples import AFTERMATH, Sample

TIMEOUT = 10.0  # seconds for one answer
LONGEST = 300.0  # seconds; whoever started it may have died
TASKS = "/api/v1/tasks"
HEALTH = ("GET", "/health", 200)
# Every other one says which commit answers.
MIX = (
    *(HEALTH, ("GET", "/", 200)),
    *(HEALTH, ("GET", f"{TASKS}?limit=5", 200)),
    *(HEALTH, ("POST", TASKS, 201)),
)


class Answer(NamedTuple):
    status: int
    body: bytes


class Wire(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer.

        Raises:
            OSError: The connection ended before the answer did.
            httptools.HttpParserError: That was no answer.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(exc)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), b"".join(self._body)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(exc or ConnectionResetError("the connection ended before the answer"))

    def _fail(self, exc: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc)


class Users:
    """Everybody who uses one address.

    Attributes:
        samples: One for each request that was answered, or was not.
    """

    def __init__(
        self, address: str, *, rate: float, connections: int, before: int, watch: bool
    ) -> None:
        self.samples: list[Sample] = []
        self._host, port = address.rsplit(":", 1)
        self._port = int(port)
        self._rate, self._connections, self._before = rate, connections, before
        self._mix = (HEALTH,) if watch else MIX
        self._until = time.monotonic() + LONGEST

    async def run(self) -> None:
        """Send requests until standard input has ended, and a little longer."""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._end)
        begin = time.monotonic()
        await asyncio.gather(*(self._user(n, begin) for n in range(self._connections)))

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._until = min(self._until, time.monotonic() + 1.2 * AFTERMATH)

    async def _user(self, number: int, begin: float) -> None:
        wire: Wire | None = None
        for turn in itertools.count(number, self._connections):
            due = begin + turn / self._rate
            now = time.monotonic()
            if now < due:
                await asyncio.sleep(due - now)
            # Where the answer before came too late, waiting for it is part of this one's time.
            began = time.monotonic() if now < due else due
            if began > self._until:
                break
            wire = await self._once(wire, turn, began)
        if wire:
            wire.close()

    async def _once(self, wire: Wire | None, turn: int, began: float) -> Wire | None:
        method, path, wanted = self._mix[turn % len(self._mix)]
        request = encode(method, path, f"{self._host}:{self._port}", f"load {turn}")
        lost = sha = ""
        try:
            async with asyncio.timeout(TIMEOUT):
                if wire is None or wire.closed:
                    loop = asyncio.get_running_loop()
                    _, wire = await loop.create_connection(Wire, self._host, self._port)
                answer = await wire.ask(request)
            if answer.status != wanted:
                lost = f"{method} {path}: {answer.status}"
            elif path == HEALTH[1]:
                sha = str(json.loads(answer.body)["sha"])
        except (OSError, httptools.HttpParserError, ValueError, KeyError) as exc:
            lost = f"{method} {path}: {type(exc).__name__}"
        if lost and wire:
            wire.close()
        self.samples.append(Sample(began, time.monotonic(), lost, sha))
        if len(self.samples) == self._before:
            sys.stdout.write("warm\n")
            sys.stdout.flush()
        return wire


def encode(method: str, path: str, host: str, title: str) -> bytes:
    """Return a request; a POST creates a task of that title."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n"
    body = ""
    if method == "POST":
        body = json.dumps({"title": title})
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


def main() -> None:
    """Be the users that the command line asks for."""
    parser = argparse.ArgumentParser(prog="load")
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--before", type=int, required=True)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--samples", type=Path, required=True)
    options = vars(parser.parse_args())
    file = options.pop("samples")
    users = Users(**options)
    uvloop.run(users.run())
    file.write_text(json.dumps(users.samples), encoding="utf-8")


if __name__ == "__main__":
    main()
