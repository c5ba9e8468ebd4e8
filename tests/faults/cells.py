"""Which cells there are: every step of every plan, before it and after it.

The plans are written down here, so that a cell's name is known before anything runs;
test_plans.py makes sure that these are the steps that are really done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

EVERY, FIRST = 10, 4  # of the kills that make the tenth: which, from the how-manieth on


class Shape(NamedTuple):
    """How releases are run."""

    strategy: str
    replicas: int

    def __str__(self) -> str:
        return self.strategy


SHAPES = {
    shape.strategy: shape
    for shape in (Shape("blue-green", 1), Shape("rolling", 2), Shape("recreate", 1))
}
_START = ("start", "healthy", "verify")
_CUT_OVER = ("cutover", "confirm", "watch", "record")
_ROLLING = (
    *("services", "clear", *_START, "join", "admit", "dismiss", *_START, *_CUT_OVER),
    *("drain", "stop"),
)
_RECREATE = ("services", "pause", "drain", "stop", "clear", *_START, *_CUT_OVER)
# Steps and finish of what follows another release of the same shape.
PLANS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("blue-green", "deploy"): ("services", "clear", *_START, *_CUT_OVER, "drain", "keep"),
    ("blue-green", "rollback"): ("services", "verify", *_CUT_OVER, "drain", "keep"),
    ("rolling", "deploy"): _ROLLING,
    ("rolling", "rollback"): _ROLLING,
    ("recreate", "deploy"): _RECREATE,
    ("recreate", "rollback"): _RECREATE,
}
_UNDO = ("restore", "back", "drain", "stop")
UNDO: Mapping[tuple[str, str], tuple[str, ...]] = {
    **dict.fromkeys(PLANS, _UNDO),
    ("blue-green", "rollback"): ("restore", "back"),  # the standby stays
}
UNDONE = (("blue-green", "rollback"), *((strategy, "deploy") for strategy in SHAPES))
RAISED = "watch"  # what fails where the undoing is killed: nearly everything is to be undone
LONG = ("start", "healthy", "watch")  # steps that can be killed in their midst


@dataclass(frozen=True)
class Kill:
    """One accident in one plan.

    Attributes:
        operation: `deploy` or `rollback`.
        fault: In the words of driver.py.
        number: Of the step that it hits, counted from 1 over steps, finish and undo.
        kind: Of that step.
    """

    strategy: str
    operation: str
    fault: str
    number: int
    kind: str

    @property
    def group(self) -> str:
        return f"killed: {self.strategy} {self.operation}"

    def __str__(self) -> str:
        words = self.fault.replace(";", "").lower().split()
        words[-1:] = [f"{self.number:02}", self.kind]
        return "-".join([self.strategy, self.operation, *words])


def kills() -> Iterator[Kill]:
    """Return every kill, in the order in which they are run."""
    for strategy in SHAPES:
        for operation in ("deploy", "rollback"):
            yield from _at_each_step(strategy, operation)
            yield from _in_the_midst(strategy, operation)
            if (strategy, operation) in UNDONE:
                yield from _while_undoing(strategy, operation)


def tenth() -> list[Kill]:
    """Return the kills that are run for every change; the same ones each time."""
    return list(kills())[FIRST::EVERY]


def _at_each_step(strategy: str, operation: str) -> Iterator[Kill]:
    for when in ("before", "after"):
        for number, kind in enumerate(PLANS[strategy, operation], start=1):
            yield Kill(strategy, operation, f"KILL {when} {number}", number, kind)


def _in_the_midst(strategy: str, operation: str) -> Iterator[Kill]:
    plan = PLANS[strategy, operation]
    for kind in LONG:
        if kind in plan:
            number = plan.index(kind) + 1
            yield Kill(strategy, operation, f"KILL during {number}", number, kind)


def _while_undoing(strategy: str, operation: str) -> Iterator[Kill]:
    failed = PLANS[strategy, operation].index(RAISED) + 1
    for when in ("before", "after"):
        for number, kind in enumerate(UNDO[strategy, operation], start=failed + 1):
            fault = f"raise before {failed}; KILL {when} {number}"
            yield Kill(strategy, operation, fault, number, kind)
