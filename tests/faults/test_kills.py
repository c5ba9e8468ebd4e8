"""`kill -9` of a deployment before, after and in the midst of every step, the undoing included."""

import signal

import pytest

from tests.faults import aftermath, cells
from tests.faults.cells import SHAPES, Kill
from tests.faults.stage import Stage

TENTH = {str(kill) for kill in cells.tenth()}
MATRIX = [
    pytest.param(kill, id=str(kill), marks=[] if str(kill) in TENTH else [pytest.mark.whole])
    for kill in cells.kills()
]


@pytest.mark.parametrize("cell", MATRIX)
def test_kill(stage: Stage, cell: Kill):
    with stage.playing(cell.group, SHAPES[cell.strategy]):
        target = stage.sha(stage.other)
        argv = ["rollback"] if cell.operation == "rollback" else ["deploy", "--sha", target]
        ran = stage.drive(cell.fault, *argv)
        assert ran.code == -signal.SIGKILL, ran.text
        steps = stage.steps()
        assert (len(steps), steps[-1]) == (cell.number, cell.kind)
        aftermath.tells_the_truth(stage, interrupted=(cell.operation, target))
