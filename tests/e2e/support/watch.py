"""Looks at every process's command line while something runs."""

import threading
from pathlib import Path
from typing import Self

INTERVAL = 0.01  # seconds


class Argv:
    """Collects the command lines that hold a text, as `ps` would show them to anybody."""

    def __init__(self, text: str) -> None:
        self.found: set[str] = set()
        self.looked_at: set[str] = set()
        self._text = text.encode()
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
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue  # it ended
                shown = line.replace(b"\0", b" ").decode(errors="replace")
                self.looked_at.add(shown)
                if self._text in line:
                    self.found.add(shown)
