"""What the matrix is made of: no step is left out, and each tenth has something of everything."""

import pytest

from tests.faults import cells
from tests.faults.cells import PLANS, RAISED, SHAPES, UNDO, Shape
from tests.faults.stage import Stage

KILLS = list(cells.kills())


def test_each_step_is_killed_before_and_after():
    for (strategy, operation), plan in PLANS.items():
        for when in ("before", "after"):
            for number, kind in enumerate(plan, start=1):
                fault = f"KILL {when} {number}"
                assert [
                    kill.kind
                    for kill in KILLS
                    if (kill.strategy, kill.operation, kill.fault) == (strategy, operation, fault)
                ] == [kind]


def test_no_two_cells_have_one_name():
    assert len({str(kill) for kill in KILLS}) == len(KILLS)


def test_the_tenth_has_something_of_everything():
    tenth = cells.tenth()
    assert len(tenth) == pytest.approx(len(KILLS) / 10, abs=1)
    assert {kill.strategy for kill in tenth} == set(SHAPES)
    assert {kill.operation for kill in tenth} == {"deploy", "rollback"}
    assert {kill.fault.split()[-2] for kill in tenth} == {"before", "after", "during"}
    assert [kill for kill in tenth if "raise" in kill.fault]


@pytest.mark.one_shape
@pytest.mark.parametrize("operation", ["deploy", "rollback"])
def test_the_steps_are_those_that_are_done(stage: Stage, shape: Shape, operation: str):
    """Without an accident, and with a failure that has to be undone."""
    plan, undo = (kinds[shape.strategy, operation] for kinds in (PLANS, UNDO))
    failed = plan.index(RAISED) + 1
    with stage.playing(f"unharmed: {shape.strategy}", shape):
        ran = stage.drive(f"raise before {failed}", *command(stage, operation))
        assert ran.code in {3, 5}, ran.text
        assert stage.steps() == [*plan[:failed], *undo]
    with stage.playing(f"unharmed: {shape.strategy}", shape):
        stage.drive("", *command(stage, operation)).ok()
        assert stage.steps() == list(plan)


def command(stage: Stage, operation: str) -> list[str]:
    """Return the command that makes the other commit live."""
    if operation == "rollback":
        return ["rollback", "--json"]
    return ["deploy", "--sha", stage.sha(stage.other), "--json"]
