"""A deployment that is told to stop, or meets another one: what served before goes on."""

import subprocess

import pytest

from tests.e2e.support.command import finish
from tests.faults import aftermath
from tests.faults.cells import Shape
from tests.faults.stage import Stage

pytestmark = pytest.mark.one_shape
EARLY = [
    pytest.param("before start", marks=pytest.mark.whole),
    "during healthy",
    "before cutover",
    pytest.param("during watch", marks=pytest.mark.whole),
]
# Once it is recorded, a deployment is only ever finished.
LATE = {"blue-green": "before drain", "rolling": "after drain", "recreate": "after record"}


@pytest.mark.parametrize("where", EARLY)
def test_sigterm(stage: Stage, shape: Shape, where: str):
    cancelled(stage, shape, f"TERM {where}")


@pytest.mark.whole
def test_sigint(stage: Stage, shape: Shape):
    cancelled(stage, shape, "INT during healthy")


def test_a_second_signal_does_not_disturb_the_undoing(stage: Stage, shape: Shape):
    cancelled(stage, shape, "INT before cutover; TERM before drain")


def cancelled(stage: Stage, shape: Shape, fault: str) -> None:
    with stage.playing("cancelled", shape):
        before = stage.live
        ran = finish(stage.start_deploy(fault))
        assert ran.code == 1, ran.text
        aftermath.serves(stage, before)
        status = aftermath.tells_the_truth(stage)
        assert status["drift"] == []


def test_too_late_to_be_cancelled(stage: Stage, shape: Shape):
    with stage.playing("cancelled too late", shape):
        ran = finish(stage.start_deploy(f"TERM {LATE[shape.strategy]}"))
        assert "Traceback" not in ran.text
        aftermath.serves(stage, stage.other)
        aftermath.tells_the_truth(stage)


def test_two_in_the_same_instant(stage: Stage, shape: Shape):
    with stage.playing("two at once", shape):
        both = [start(stage, stage.other) for _ in range(2)]
        won, lost = sorted((finish(child) for child in both), key=lambda ran: ran.code)
        won.ok()
        lost.refused(4)
        aftermath.serves(stage, stage.other)
        aftermath.tells_the_truth(stage)


def test_two_in_the_same_instant_that_wait(stage: Stage, shape: Shape):
    with stage.playing("two at once", shape):
        both = {name: start(stage, name, "--wait", "60") for name in (stage.other, stage.live)}
        ran = {name: finish(child).ok() for name, child in both.items()}
        last = max(ran, key=lambda name: ran[name].json["seconds"])
        aftermath.serves(stage, last)
        aftermath.tells_the_truth(stage)


def start(stage: Stage, name: str, *argv: str) -> subprocess.Popen[str]:
    return stage.invoke.start("deploy", "--sha", stage.sha(name), "--json", *argv)
