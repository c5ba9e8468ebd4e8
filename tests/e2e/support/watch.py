"""Looks at the machine while something runs: every process's command line, an app's replicas."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import docker

from tests.e2e.support import load, machine

INTERVAL = 0.01  # seconds
UNTIMELY = 0.3  # seconds; a look that took longer saw one moment here and another one there


def command_lines() -> list[str]:
    """Return every process's command line, as `ps` would show it to anybody."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended
            line = (process / "cmdline").read_bytes()
            lines.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return lines


class Argv:
    """Collects the command lines that hold a text."""

    def __init__(self, text: str) -> None:
        self.found: set[str] = set()
        self.looked_at: set[str] = set()
        self._text = text
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._end.wait(INTERVAL):
            lines = command_lines()
            self.looked_at.update(lines)
            self.found.update(line for line in lines if self._text in line)


class Replicas:
    """Counts an app's replicas of both colours, over and over.

    Attributes:
        running: How many containers ran, by look.
        ready: How many of them were ready for requests, by look.
    """

    def __init__(self, project: str) -> None:
        self.running: list[int] = []
        self.ready: list[int] = []
        self._engine = docker.from_env(timeout=10)
        self._label = f"{machine.PROJECT}={project}"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(15)
        self._engine.close()

    def _run(self) -> None:
        while not self._end.wait(INTERVAL):
            started = time.monotonic()
            addresses = self._addresses()
            ready = [each for each in addresses if load.get(each, "/ready")[0] == 200]
            if time.monotonic() - started < UNTIMELY:
                self.running.append(len(addresses))
                self.ready.append(len(ready))

    def _addresses(self) -> list[str]:
        filters = {"label": self._label, "status": ["running"]}
        return [
            f"{network['IPAddress']}:8000"
            for each in self._engine.api.containers(filters=filters)
            if each["Labels"][machine.SERVICE] in {"blue", "green"}
            for network in each["NetworkSettings"]["Networks"].values()
        ]
