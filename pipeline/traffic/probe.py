"""Direct questions to the service: one probe, and a prober that asks throughout a cutover."""

import http.client
import json
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from pipeline.ports import Answer

__all__ = ["HealthProbe", "Prober"]

TIMEOUT = 5.0  # seconds for one answer
INTERVAL = 0.02  # seconds between the prober's requests
SHOWN = 300  # characters of an answer kept for messages


@dataclass(frozen=True, kw_only=True)
class HealthProbe:
    """Asks the health path which commit answers.

    Attributes:
        path: Health path.
        host: Value of the Host header.
    """

    path: str
    host: str

    def __call__(self, address: str) -> Answer:
        """Ask `host:port` on a connection of its own."""
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        try:
            return self.ask(connection)
        finally:
            connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> Answer:
        """Ask on an open connection, which stays open where the server keeps it so."""
        try:
            connection.request("GET", self.path, headers={"Host": self.host})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            return Answer(status=0, sha="", text=str(exc) or type(exc).__name__)
        text = body.decode(errors="replace")
        return Answer(status=response.status, sha=_sha(text), text=text[:SHOWN])


@dataclass
class Prober:
    """Sends requests to the public port all through a deployment and counts what gets lost.

    Use it as a context manager; `result()` is what `--json` calls `requests`.
    """

    probe: HealthProbe
    address: str
    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(TIMEOUT + 1)

    def result(self) -> dict[str, int | float | None]:
        """Return requests sent, requests without a 200, and the 99th percentile in ms."""
        ranked = sorted(self.latencies)
        p99 = ranked[math.ceil(len(ranked) * 0.99) - 1] * 1000 if ranked else None
        return {
            "sent": len(ranked),
            "failed": self.failed,
            "p99_ms": None if p99 is None else round(p99, 1),
        }

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)
        while not self._end.wait(INTERVAL):
            started = time.monotonic()
            answer = self.probe.ask(connection)
            self.latencies.append(time.monotonic() - started)
            self.failed += answer.status != 200  # noqa: PLR2004 - HTTP's own word for OK
        connection.close()


def _sha(text: str) -> str:
    try:
        sha = json.loads(text)["sha"]
    except (ValueError, KeyError, TypeError):
        return ""
    return sha if isinstance(sha, str) else ""
