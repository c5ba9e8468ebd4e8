"""Executing, undoing and finishing, with actions that do nothing but remember."""

from dataclasses import dataclass, field

import pytest

from pipeline.errors import EngineError, UndoFailedError
from pipeline.plan.plan import Plan, Step, execute

STEPS, FINISH, UNDO = ("start", "cutover", "record"), ("drain", "stop"), ("restore", "back")


@dataclass
class Remembering:
    fails: dict[str, BaseException] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def do(self, step: Step) -> None:
        self.log.append(step.kind)
        if error := self.fails.get(step.kind):
            if isinstance(error, KeyboardInterrupt):
                del self.fails[step.kind]  # there is one cancel at most
            raise error

    def recorded(self) -> bool:
        return "record" in self.log


def named(*kinds: str) -> list[Step]:
    return [Step(kind=kind, about=kind) for kind in kinds]


PLAN = Plan(steps=named(*STEPS), finish=named(*FINISH), undo=named(*UNDO))


def nothing(_step: Step, _seconds: float) -> None:
    pass


def test_executes_every_step_in_order_and_tells_of_each():
    actions, told = Remembering(), []
    assert execute(PLAN, actions, on_step=lambda step, seconds: told.append(step.kind)) == []
    assert actions.log == told == [*STEPS, *FINISH]


@pytest.mark.parametrize("failing", STEPS)
def test_a_failure_up_to_the_record_is_undone(failing):
    actions = Remembering({failing: EngineError("broken")})
    with pytest.raises(EngineError, match="broken"):
        execute(PLAN, actions, on_step=nothing)
    assert actions.log == [*STEPS[: STEPS.index(failing) + 1], *UNDO]


def test_a_failure_after_the_record_is_finished_forward():
    error = EngineError("still busy")
    actions = Remembering({"drain": error})
    assert execute(PLAN, actions, on_step=nothing) == [error]
    assert actions.log == [*STEPS, *FINISH]


def test_undo_goes_on_past_failures_and_puts_the_first_cause_on_top():
    actions = Remembering({"cutover": EngineError("proxy gone"), "restore": EngineError("no")})
    with pytest.raises(UndoFailedError, match=r"^proxy gone .*: no$") as caught:
        execute(PLAN, actions, on_step=nothing)
    assert actions.log[-1] == "back"
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("cancelled", STEPS[:-1])
def test_a_cancel_undoes_and_goes_on_up(cancelled):
    actions = Remembering({cancelled: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        execute(PLAN, actions, on_step=nothing)
    assert actions.log[-2:] == [*UNDO]


@pytest.mark.parametrize("cancelled", ["record", "drain", "stop"])
def test_a_cancel_after_the_record_is_finished_first(cancelled):
    actions = Remembering({cancelled: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        execute(PLAN, actions, on_step=nothing)
    assert actions.log[-1] == "stop"
    assert not {*UNDO} & {*actions.log}


@pytest.mark.parametrize("cancelled", UNDO)
def test_a_cancel_does_not_stop_the_undoing(cancelled):
    actions = Remembering({"start": EngineError("broken"), cancelled: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        execute(PLAN, actions, on_step=nothing)
    assert actions.log[-1] == "back"


def test_a_cancel_whose_undoing_fails_says_so():
    actions = Remembering({"start": KeyboardInterrupt(), "back": EngineError("stuck")})
    with pytest.raises(UndoFailedError, match=r"Cancelled \(KeyboardInterrupt\).*stuck"):
        execute(PLAN, actions, on_step=nothing)


def test_a_plan_survives_the_journal():
    plan = Plan(
        strategy="rolling",
        steps=[Step(kind="start", about="start", arguments={"colour": "blue", "replicas": 2})],
        undo=named("back"),
    )
    assert Plan.from_dict(plan.as_dict()) == Plan(
        strategy="rolling", steps=list(plan.steps), finish=[], undo=list(plan.undo)
    )
