"""Plans: steps as values; executed in order, undone or finished forward.

A plan has one point of no return, the end of its `steps`. Whatever fails before it is answered
with `undo`, which leads back to what was live from any point that `steps` can have reached;
after it, `finish` (removing the old) is only ever done forward. All three are known, and
journaled, before the first step; each of their steps may be done twice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pipeline.errors import PipelineError, UndoFailedError

__all__ = ["Actions", "OnStep", "Plan", "Step", "execute", "finish", "undo"]

OnStep = Callable[["Step", float], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One small thing to do; doing it again changes nothing.

    Attributes:
        kind: Which of the actions; also the name of its phase.
        about: What a person reads.
        arguments: Everything that doing it needs.
    """

    kind: str
    about: str
    arguments: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one release is made live.

    Attributes:
        strategy: That made this plan.
        steps: To the point of no return, at which the release is recorded as live.
        finish: What is left to do from there on.
        undo: Leads back to what was live, from any point before.
    """

    strategy: str = ""
    steps: Sequence[Step] = ()
    finish: Sequence[Step] = ()
    undo: Sequence[Step] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as `deploy --dry-run --json` prints it and the ledger keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Plan":
        """Return the plan that `as_dict()` was made of."""
        parts = {
            name: [Step(**step) for step in data[name]] for name in ("steps", "finish", "undo")
        }
        return cls(strategy=data["strategy"], **parts)


class Actions(Protocol):
    """What can be done; `steps.py` has the real ones."""

    def do(self, step: Step) -> None:
        """Do the step, or raise a PipelineError; it may have happened in part."""

    def recorded(self) -> bool:
        """Tell whether the point of no return is behind us."""


def execute(plan: Plan, actions: Actions, *, on_step: OnStep) -> list[PipelineError]:
    """Execute the plan; call `on_step` with each finished step and its seconds.

    Returns:
        Failures after the point of no return, which changed nothing for users.

    Raises:
        PipelineError: A step failed; everything done before it was undone.
        UndoFailedError: Undoing failed too; the first cause is on top.
        BaseException: A cancel, after everything was undone, or else finished.
    """
    try:
        for step in plan.steps:
            _do(step, actions, on_step)
    except BaseException as exc:
        if isinstance(exc, PipelineError) or not actions.recorded():
            undo(plan, actions, on_step=on_step, cause=exc)
        else:
            finish(plan, actions, on_step=on_step)
        raise
    return finish(plan, actions, on_step=on_step)


def finish(plan: Plan, actions: Actions, *, on_step: OnStep) -> list[PipelineError]:
    """Do what is left after the point of no return, past failures; return those.

    Raises:
        BaseException: A cancel, after everything was done.
    """
    return _all_of(plan.finish, actions, on_step)


def undo(plan: Plan, actions: Actions, *, on_step: OnStep, cause: BaseException) -> None:
    """Lead back to what was live, past failures.

    Raises:
        UndoFailedError: Some of it failed; the cause is on top.
        BaseException: A cancel, after everything was done.
    """
    failures = _all_of(plan.undo, actions, on_step)
    if failures:
        first = getattr(cause, "message", "") or f"Cancelled ({type(cause).__name__})."
        raise UndoFailedError(
            f"{first} Undoing it failed too: " + " ".join(each.message for each in failures),
            hint="`invoke status` shows what serves; `invoke resume` tries again.",
            details=getattr(cause, "details", ""),
        ) from cause


def _all_of(steps: Sequence[Step], actions: Actions, on_step: OnStep) -> list[PipelineError]:
    failures: list[PipelineError] = []
    cancel: KeyboardInterrupt | None = None
    for step in steps:
        try:
            try:
                _do(step, actions, on_step)
            except KeyboardInterrupt as exc:  # there is one cancel at most, see view/program.py
                cancel = exc
                _do(step, actions, on_step)
        except PipelineError as exc:  # go on: the rest still has to be done
            failures.append(exc)
    if cancel and not failures:
        raise cancel
    return failures


def _do(step: Step, actions: Actions, on_step: OnStep) -> None:
    started = time.monotonic()
    actions.do(step)
    on_step(step, time.monotonic() - started)
