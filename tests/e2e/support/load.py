"""Load: keep-alive connections at a steady rate, where every single answer counts."""

import http.client
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple, Self

TIMEOUT = 10.0  # seconds for one answer
LONGEST = 120.0  # seconds; a test that hangs must not load the machine for ever, nor fill it
TASKS = "/api/v1/tasks"
PAGE = 100


class Response(NamedTuple):
    """What came back; `announced` where the proxy says that nothing is live for a while."""

    status: int
    body: bytes
    announced: bool


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A request that was not answered as it should be.

    Attributes:
        started: When it was sent, as `time.monotonic()` counts.
        what: What it got instead.
    """

    started: float
    what: str


@dataclass
class Load:
    """Requests to one address while the `with` block runs: pages, lists, and new tasks.

    Attributes:
        rate: Requests a second, over all connections.
        connections: Each is kept alive and used for all its requests.
        before: How many tasks there were, where that is known; makes `missing()` read less.
        sent: Requests that were sent.
        lost: Every request that was not answered as it should be.
        announced: How many were answered 503 with Retry-After by the proxy itself.
        gap: The longest time without a right answer, in seconds.
        acknowledged: Task titles by the id that the service confirmed.
    """

    address: str
    rate: float = 100.0
    connections: int = 10
    before: int = 0
    sent: int = 0
    lost: list[Loss] = field(default_factory=list)
    announced: int = 0
    gap: float = 0.0
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
        self._right = time.monotonic()
        self._deadline = self._right + LONGEST
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
            self._request(connection, turn, f"load {number}.{turn}")
            due += interval
        connection.close()

    def _request(self, connection: http.client.HTTPConnection, turn: int, title: str) -> None:
        method, path, wanted = _KINDS[turn % len(_KINDS)]
        body = json.dumps({"title": title}) if method == "POST" else None
        started = time.monotonic()
        lost, announced = "", False
        try:
            answer = _answer(connection, method, path, body)
            announced = answer.announced
            if answer.status != wanted:
                lost = f"{method} {path}: {answer.status}: {answer.body[:200]!r}"
            elif method == "POST":
                key = json.loads(answer.body)["id"]
                with self._guard:
                    self.acknowledged[key] = title
        except (OSError, http.client.HTTPException, ValueError, KeyError) as exc:
            connection.close()
            lost = f"{method} {path}: {type(exc).__name__}: {exc}"
        self._count(started, lost, announced=announced)

    def _count(self, started: float, lost: str, *, announced: bool) -> None:
        with self._guard:
            now = time.monotonic()
            self.sent += 1
            self.latencies.append(now - started)
            self.announced += announced
            if lost and not announced:
                self.lost.append(Loss(started=started, what=lost))
            self.gap = max(self.gap, now - self._right)
            if not lost:
                self._right = now

    def missing(self) -> dict[int, str]:
        """Return the acknowledged tasks that the service has not got, read page by page."""
        there = tasks(self.address, first=self.before)
        return {key: title for key, title in self.acknowledged.items() if there.get(key) != title}

    def p99_ms(self) -> float:
        """Return the 99th percentile of the answer times."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)] * 1000


_KINDS = (("GET", "/", 200), ("GET", f"{TASKS}?limit=5", 200), ("POST", TASKS, 201))


def tasks(address: str, *, first: int = 0) -> dict[int, str]:
    """Return the titles of all tasks by id; of the oldest, leave out `first`."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    found: dict[int, str] = {}
    for offset in itertools.count(first, PAGE):
        answer = _answer(connection, "GET", f"{TASKS}?limit={PAGE}&offset={offset}")
        page = json.loads(answer.body)
        found |= {task["id"]: task["title"] for task in page["items"]}
        if offset + PAGE >= page["total"]:
            break
    connection.close()
    return found


def total(address: str) -> int:
    """Return how many tasks there are."""
    return int(json.loads(get(address, f"{TASKS}?limit=1")[1])["total"])


def get(address: str, path: str) -> tuple[int, str]:
    """Return status and body of one request on a connection of its own; 0 for no answer."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        answer = _answer(connection, "GET", path)
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc)
    finally:
        connection.close()
    return answer.status, answer.body.decode(errors="replace")


def served(address: str) -> str:
    """Return the commit that answers, "" where none does."""
    status, body = get(address, "/health")
    return str(json.loads(body)["sha"]) if status == 200 else ""


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> Response:
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    # The service itself answers in JSON, also where its database is away.
    by_proxy = response.getheader("Content-Type") == "text/plain"
    announced = response.status == 503 and by_proxy and bool(response.getheader("Retry-After"))
    return Response(response.status, response.read(), announced)
