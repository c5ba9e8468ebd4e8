"""`invoke` with an accident in it: run as `.venv/bin/python driver.py <arguments>` in a checkout.

Two variables say what happens. FAULT is a list such as "raise before 8; KILL after 9": what,
before, during or after which step. The step is the number of the call of `Steps.do`, or a kind,
of which the first call is meant. What can happen:

    KILL, TERM, INT     this process gets that signal
    raise               the step fails with an error of the pipeline's own
    pause               it waits until the test has removed the file `paused`
    back                from here on, the wall clock is a day behind

FAULT_FOLDER is where the driver writes `steps`, one line per call, before the call is made:
time (monotonic seconds), number and kind.
Nothing of this is in the pipeline: its one door for all steps is wrapped from outside.
"""

import datetime as dt
import itertools
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DURING = 0.1  # seconds after the beginning of a step
PATIENCE = 90.0  # seconds that the test has for its accident
POLL = 0.01  # seconds
DAY = dt.timedelta(days=1)


@dataclass
class Fault:
    """One accident, which happens once."""

    what: str
    when: str
    where: str
    happened: bool = False

    def hits(self, when: str, number: int, kind: str) -> bool:
        return not self.happened and self.when == when and self.where in {str(number), kind}


class Driver:
    """Counts the steps, and has the accidents happen."""

    def __init__(self, faults: list[Fault], folder: Path) -> None:
        self.faults = faults
        self.folder = folder
        self.numbers = itertools.count(1)

    def do(self, original: Any, steps: Any, step: Any) -> None:
        """Stand in for `Steps.do`."""
        number = next(self.numbers)
        with (self.folder / "steps").open("a", encoding="ascii") as file:
            file.write(f"{time.monotonic():.2f} {number} {step.kind}\n")
        self.happen("before", number, step.kind)
        with self.in_the_middle(number, step.kind):
            original(steps, step)
        self.happen("after", number, step.kind)

    @contextmanager
    def in_the_middle(self, number: int, kind: str) -> Iterator[None]:
        if not any(fault.hits("during", number, kind) for fault in self.faults):
            yield
            return
        timer = threading.Timer(DURING, self.happen, ("during", number, kind))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        self.happen("during", number, kind)  # where the step was faster than the timer

    def happen(self, when: str, number: int, kind: str) -> None:
        for fault in self.faults:
            if fault.hits(when, number, kind):
                fault.happened = True
                self.act(fault.what)

    def act(self, what: str) -> None:
        match what:
            case "KILL" | "TERM" | "INT":
                os.kill(os.getpid(), getattr(signal, f"SIG{what}"))
            case "raise":
                from pipeline.errors import PipelineError

                raise PipelineError("A failure that the test has planned.", hint="Go on.")
            case "pause":
                self.pause()
            case "back":
                Behind.by = DAY
            case _:
                raise SystemExit(f"driver.py: no such fault: {what}")

    def pause(self) -> None:
        marker = self.folder / "paused"
        marker.touch()
        deadline = time.monotonic() + PATIENCE
        while marker.exists():
            if time.monotonic() > deadline:
                raise SystemExit("driver.py: the test has forgotten this process")
            time.sleep(POLL)


class Behind(dt.datetime):
    """The wall clock, as whoever imports it from `datetime` sees it."""

    by = dt.timedelta()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        return super().now(tz) - cls.by


def turn_clocks() -> None:
    """Put our clocks into the places of the real ones, before anybody has taken those."""
    real = time.time
    time.time = lambda: real() - Behind.by.total_seconds()
    dt.datetime = Behind  # type: ignore[misc]


def parsed(text: str) -> list[Fault]:
    """Return the faults that FAULT names."""
    return [Fault(*part.split()) for part in text.split(";") if part.strip()]


def main() -> None:
    """Run the checkout's tasks.py as `bin/invoke` does, with its `Steps.do` wrapped."""
    root = Path.cwd()
    tasks = root / "tasks.py"
    sys.path[0] = str(root)
    sys.argv = [str(tasks), "--search-root", str(root), *sys.argv[1:]]
    faults = parsed(os.environ["FAULT"])
    if any(fault.what == "back" for fault in faults):
        turn_clocks()
    driver = Driver(faults, Path(os.environ["FAULT_FOLDER"]))
    from pipeline.plan.steps import Steps

    original = Steps.do
    Steps.do = lambda steps, step: driver.do(original, steps, step)  # type: ignore[method-assign]
    runpy.run_path(str(tasks), run_name="__main__")


if __name__ == "__main__":
    main()
