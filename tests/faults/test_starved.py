"""A deployment that does not get what it needs: it says so, and nobody else notices."""

from contextlib import AbstractContextManager

import pytest

from tests.e2e.support.command import finish
from tests.faults import accidents, aftermath
from tests.faults.cells import SHAPES, Shape
from tests.faults.renewed import renew
from tests.faults.stage import Stage
from tests.faults.wire import Wire

FINISH = {"drain", "stop", "keep"}  # after the point of no return
PULL = "4"  # seconds that a pull may take here
# Of each plan, steps after which there is more and more to undo; then none any more.
WHERE = [
    pytest.param(SHAPES[strategy], kind, id=f"{strategy}-{kind}", marks=marks)
    for strategy, kind, marks in [
        ("blue-green", "start", pytest.mark.whole),
        ("blue-green", "cutover", ()),
        ("blue-green", "record", pytest.mark.whole),
        ("blue-green", "drain", pytest.mark.whole),
        ("rolling", "admit", pytest.mark.whole),
        ("rolling", "record", ()),
        ("recreate", "pause", pytest.mark.whole),
        ("recreate", "cutover", pytest.mark.whole),
        ("recreate", "record", ()),
    ]
]


@pytest.mark.parametrize(("shape", "kind"), WHERE)
def test_a_full_disk(small_stage: Stage, shape: Shape, kind: str):
    with small_stage.playing("starved: disk full", shape):
        starve(small_stage, kind, accidents.full(small_stage.site.state))


@pytest.mark.parametrize(("shape", "kind"), WHERE)
def test_a_ledger_that_cannot_be_written(stage: Stage, shape: Shape, kind: str):
    with stage.playing("starved: ledger read-only", shape):
        starve(stage, kind, accidents.read_only(stage.site.state / "ledger.db"))


def starve(stage: Stage, kind: str, famine: AbstractContextManager[None]) -> None:
    """Deploy, with something gone from a step on: nothing has changed then, or all of it."""
    child = stage.start_deploy(f"pause before {kind}")
    stage.wait_for_pause(child)
    with famine:
        stage.go_on()
        ran = finish(child)
        assert "Traceback" not in ran.text
        if kind in FINISH:
            aftermath.serves(stage, stage.other)
        else:
            assert ran.code in {1, 3}, ran.text
            aftermath.serves(stage, stage.live)
        aftermath.tells_the_truth(stage, interrupted=aftermath.ANYTHING)


@pytest.mark.parametrize("shape", [SHAPES["rolling"]], ids=str)
@pytest.mark.parametrize(
    "how",
    [
        "gone",
        "garbage",
        pytest.param("drops", marks=pytest.mark.whole),
        pytest.param("silent", marks=pytest.mark.whole),
    ],
)
def test_a_registry_that_fails_half_way_through_a_pull(
    stage: Stage, wire: Wire, shape: Shape, how: str
):
    with stage.playing("starved: registry", shape):
        _, _, repository = stage.site.repository.partition("/")
        renew(wire.registry, repository, stage.sha(stage.other))
        wire.fail(how)
        try:
            ran = finish(stage.start_deploy("", PIPELINE_PUSH_TIMEOUT=PULL))
            assert wire.broken.is_set(), "nothing was pulled"
        finally:
            wire.mend()
        ran.refused(1)
        aftermath.serves(stage, stage.live)
        aftermath.tells_the_truth(stage)


@pytest.mark.one_shape
@pytest.mark.parametrize(
    "where", [pytest.param("before services", marks=pytest.mark.whole), "before record"]
)
def test_a_clock_that_is_set_back(stage: Stage, shape: Shape, where: str):
    """The newest deployment is the last one, whatever its date is."""
    with stage.playing("clock set back", shape, back=True):
        finish(stage.start_deploy(f"back {where}")).ok()
        aftermath.serves(stage, stage.other)
        aftermath.tells_the_truth(stage)
        newest = stage.site.history()[0]
        assert (newest["sha"], newest["outcome"]) == (stage.sha(stage.other), "live")
