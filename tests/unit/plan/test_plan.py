"""Executing and undoing, with actions that do nothing but remember."""

from dataclasses import dataclass, field

import pytest

from pipeline.errors import EngineError, UndoFailedError
from pipeline.plan.plan import Plan, Step, execute

KINDS = ("start", "cutover", "record", "drain", "stop")


@dataclass
class Remembering:
    fails: dict[str, BaseException] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def do(self, step: Step) -> None:
        self.log.append(f"do {step.kind}")
        if error := self.fails.get(f"do {step.kind}"):
            raise error

    def undo(self, step: Step) -> None:
        self.log.append(f"undo {step.kind}")
        if error := self.fails.get(f"undo {step.kind}"):
            raise error


def plan() -> Plan:
    return Plan(steps=[Step(kind=kind, about=kind) for kind in KINDS])


def nothing(_step: Step, _seconds: float) -> None:
    pass


def test_executes_every_step_in_order_and_tells_of_each():
    actions, told = Remembering(), []
    leftovers = execute(plan(), actions, on_step=lambda step, seconds: told.append(step.kind))
    assert leftovers == []
    assert actions.log == [f"do {kind}" for kind in KINDS]
    assert told == list(KINDS)


@pytest.mark.parametrize("failing", ["start", "cutover", "record"])
def test_a_failure_before_the_record_undoes_backwards_the_failed_step_included(failing):
    actions = Remembering({f"do {failing}": EngineError("broken")})
    with pytest.raises(EngineError, match="broken"):
        execute(plan(), actions, on_step=nothing)
    begun = KINDS[: KINDS.index(failing) + 1]
    assert actions.log == [f"do {k}" for k in begun] + [f"undo {k}" for k in reversed(begun)]


def test_a_failure_after_the_record_is_finished_forward():
    error = EngineError("still busy")
    actions = Remembering({"do drain": error})
    assert execute(plan(), actions, on_step=nothing) == [error]
    assert actions.log[-1] == "do stop"
    assert not any(line.startswith("undo") for line in actions.log)


def test_undo_goes_on_past_failures_and_puts_the_first_cause_on_top():
    actions = Remembering(
        {"do cutover": EngineError("proxy gone"), "undo cutover": EngineError("still gone")}
    )
    with pytest.raises(UndoFailedError, match=r"^proxy gone .*still gone") as caught:
        execute(plan(), actions, on_step=nothing)
    assert actions.log[-1] == "undo start"
    assert caught.value.exit_code == 5


def test_a_cancel_undoes_and_goes_on_up():
    actions = Remembering({"do cutover": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        execute(plan(), actions, on_step=nothing)
    assert actions.log[-2:] == ["undo cutover", "undo start"]


def test_a_cancel_after_the_record_undoes_nothing():
    actions = Remembering({"do stop": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        execute(plan(), actions, on_step=nothing)
    assert not any(line.startswith("undo") for line in actions.log)


def test_a_cancel_whose_undoing_fails_says_so():
    actions = Remembering({"do start": KeyboardInterrupt(), "undo start": EngineError("stuck")})
    with pytest.raises(UndoFailedError, match=r"cancelled \(KeyboardInterrupt\).*stuck"):
        execute(plan(), actions, on_step=nothing)
