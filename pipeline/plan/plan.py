"""Plans: steps as values, executed in order, undone backwards.

A plan has one point of no return, its `record` step: what comes before it is undone when
something fails; what comes after it (removing the old) is only ever finished forward.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pipeline.errors import PipelineError, UndoFailedError

__all__ = ["Actions", "Plan", "Step", "execute"]

RECORD = "record"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One small thing to do.

    Attributes:
        kind: Which of the actions; also the name of its phase.
        about: What a person reads.
        arguments: Everything that doing and undoing it need.
    """

    kind: str
    about: str
    arguments: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps that make one release live."""

    steps: Sequence[Step]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as `deploy --dry-run --json` prints it."""
        return {"steps": [asdict(step) for step in self.steps]}


class Actions(Protocol):
    """What can be done; `steps.py` has the real ones."""

    def do(self, step: Step) -> None:
        """Do the step, or raise a PipelineError; it may have happened in part."""

    def undo(self, step: Step) -> None:
        """Take the step back; taking back what did not happen is no error."""


def execute(
    plan: Plan, actions: Actions, *, on_step: Callable[[Step, float], None]
) -> list[PipelineError]:
    """Execute the plan; call `on_step` with each finished step and its seconds.

    Returns:
        Failures after the point of no return, which changed nothing for users.

    Raises:
        PipelineError: A step failed; everything done before it was undone.
        UndoFailedError: Undoing failed too; the first cause is on top.
        BaseException: A cancel, after everything was undone.
    """
    done: list[Step] = []
    leftovers: list[PipelineError] = []
    recorded = False
    for step in plan.steps:
        started = time.monotonic()
        try:
            if not recorded:
                done.append(step)  # before doing: half a step needs undoing too
            actions.do(step)
        except PipelineError as exc:
            if not recorded:
                _undo(done, actions, cause=exc)
                raise
            leftovers.append(exc)
        except BaseException as exc:
            if not recorded:
                _undo(done, actions, cause=exc)
            raise
        recorded = recorded or step.kind == RECORD
        on_step(step, time.monotonic() - started)
    return leftovers


def _undo(done: Sequence[Step], actions: Actions, *, cause: BaseException) -> None:
    failures: list[PipelineError] = []
    for step in reversed(done):
        try:
            actions.undo(step)
        except PipelineError as exc:  # go on: the rest still has to be undone
            failures.append(exc)
    if failures:
        first = getattr(cause, "message", "") or f"cancelled ({type(cause).__name__})"
        raise UndoFailedError(
            f"{first} Undoing it failed too: " + " ".join(each.message for each in failures),
            hint="`invoke status` shows what serves; a person has to look at the host.",
            details=getattr(cause, "details", ""),
        ) from cause
