"""Load: keep-alive connections at a steady rate, where every single answer counts."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

TIMEOUT = 10.0  # seconds for one answer
LONGEST = 120.0  # seconds; a test that hangs must not load the machine for ever
TASKS = "/api/v1/tasks"
PAGE = 100


@dataclass
class Load:
    """Requests to one address while the `with` block runs: pages, lists, and new tasks.

    Attributes:
        rate: Requests a second, over all connections.
        connections: Each is kept alive and used for all its requests.
        sent: Requests that were sent.
        lost: What every request that was not answered as it should be got instead.
        acknowledged: Task titles by the id that the service confirmed.
    """

    address: str
    rate: float = 100.0
    connections: int = 10
    sent: int = 0
    lost: list[str] = field(default_factory=list)
    acknowledged: dict[int, str] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._client, args=(number,), daemon=True)
            for number in range(self.connections)
        ]

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + LONGEST
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 1)

    def _client(self, number: int) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)
        interval = self.connections / self.rate
        due = time.monotonic() + interval * number / self.connections
        for turn in itertools.count():
            if self._end.wait(max(0.0, due - time.monotonic())) or due > self._deadline:
                break
            self._request(connection, number, turn)
            due += interval
        connection.close()

    def _request(self, connection: http.client.HTTPConnection, number: int, turn: int) -> None:
        started = time.monotonic()
        try:
            lost = self._kind(turn)(connection, f"load {number}.{turn}")
        except (OSError, http.client.HTTPException, ValueError, KeyError) as exc:
            connection.close()
            lost = f"{type(exc).__name__}: {exc}"
        with self._guard:
            self.sent += 1
            self.latencies.append(time.monotonic() - started)
            if lost:
                self.lost.append(lost)

    def _kind(self, turn: int) -> Callable[[http.client.HTTPConnection, str], str]:
        return (self._page, self._list, self._create)[turn % 3]

    def _page(self, connection: http.client.HTTPConnection, _title: str) -> str:
        return _unlike(200, *_answer(connection, "GET", "/"))

    def _list(self, connection: http.client.HTTPConnection, _title: str) -> str:
        return _unlike(200, *_answer(connection, "GET", f"{TASKS}?limit=5"))

    def _create(self, connection: http.client.HTTPConnection, title: str) -> str:
        status, body = _answer(connection, "POST", TASKS, json.dumps({"title": title}))
        if status == 201:
            with self._guard:
                self.acknowledged[json.loads(body)["id"]] = title
        return _unlike(201, status, body)

    def missing(self) -> dict[int, str]:
        """Return the acknowledged tasks that the service has not got, read page by page."""
        there = tasks(self.address)
        return {key: title for key, title in self.acknowledged.items() if there.get(key) != title}

    def p99_ms(self) -> float:
        """Return the 99th percentile of the answer times."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)] * 1000


def tasks(address: str) -> dict[int, str]:
    """Return the titles of all tasks by id."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    found: dict[int, str] = {}
    for offset in itertools.count(0, PAGE):
        _, body = _answer(connection, "GET", f"{TASKS}?limit={PAGE}&offset={offset}")
        page = json.loads(body)
        found |= {task["id"]: task["title"] for task in page["items"]}
        if offset + PAGE >= page["total"]:
            break
    connection.close()
    return found


def get(address: str, path: str) -> tuple[int, str]:
    """Return status and body of one request on a connection of its own; 0 for no answer."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        status, body = _answer(connection, "GET", path)
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc)
    finally:
        connection.close()
    return status, body.decode(errors="replace")


def served(address: str) -> str:
    """Return the commit that answers, "" where none does."""
    status, body = get(address, "/health")
    return str(json.loads(body)["sha"]) if status == 200 else ""


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


def _unlike(wanted: int, status: int, body: bytes) -> str:
    return "" if status == wanted else f"{status}: {body[:200]!r}"
