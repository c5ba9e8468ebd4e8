"""What a deployment needs is killed beside it: only what was in flight there may be lost."""

import pytest

from tests.e2e.support import load, machine
from tests.e2e.support.command import CommandLine, Ran, clean_environment, finish
from tests.faults import accidents, aftermath
from tests.faults.accidents import Outage
from tests.faults.cells import SHAPES, Shape
from tests.faults.stage import Stage

WINDOW = "3"  # seconds; long enough for something to happen in it


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.mark.parametrize(
    "where", ["before cutover", pytest.param("after cutover", marks=pytest.mark.whole)]
)
def test_the_proxy_is_killed(stage: Stage, shape: Shape, outage: Outage, where: str):
    with stage.playing(f"killed: proxy, {shape}", shape, forgives=outage.covers):
        child = stage.start_deploy(f"pause {where}")
        stage.wait_for_pause(child)
        (proxy,) = machine.containers(stage.site.app, "proxy")
        outage.begin()
        back = accidents.kill(proxy)
        stage.go_on()
        outage.wait(back, lambda: answered(stage))
        ended(stage, finish(child))


def answered(stage: Stage) -> bool:
    """Tell whether somebody answers; between two releases, recreate has the proxy do it."""
    honest = {200, 503} if stage.shape == SHAPES["recreate"] else {200}
    return load.get(stage.address, "/health")[0] in honest


@pytest.mark.one_shape
def test_a_new_replica_dies_in_the_stability_window(stage: Stage, shape: Shape, outage: Outage):
    with stage.playing(f"killed: new replica, {shape}", shape, forgives=outage.covers):
        child = stage.start_deploy("pause before watch", PIPELINE_STABILITY_WINDOW=WINDOW)
        stage.wait_for_pause(child)
        replica, *_ = stage.containers(stage.other)
        outage.begin()
        stage.go_on()
        accidents.kill(replica)
        ran = finish(child).refused(3)
        outage.wait(lambda: True, lambda: answered(stage))
        assert ran.json["outcome"] == "rolled-back"
        aftermath.serves(stage, stage.live)
        assert aftermath.tells_the_truth(stage)["drift"] == []


@pytest.mark.one_shape
def test_a_serving_replica_dies(stage: Stage, shape: Shape, outage: Outage):
    with stage.playing(
        f"killed: serving replica, {shape}", shape, forgives=outage.covers
    ) as running:
        # Recreate takes it away itself soon afterwards.
        child = stage.start_deploy(
            "pause before services" if shape.strategy == "recreate" else "pause before healthy"
        )
        stage.wait_for_pause(child)
        replica, *_ = stage.containers(stage.live)
        outage.begin()
        outage.wait(accidents.kill(replica), lambda: answered(stage))
        stage.go_on()
        ended(stage, finish(child))
    if shape.replicas > 1:
        assert len(running.lost) <= running.connections, "the others serve"


def ended(stage: Stage, ran: Ran) -> None:
    """Make sure that a deployment went through or was taken back, and that its code says which."""
    assert ran.code in {0, 3}, ran.text
    aftermath.serves(stage, stage.live if ran.code else stage.other)
    aftermath.tells_the_truth(stage)


@pytest.mark.engine
@pytest.mark.whole
@pytest.mark.parametrize("shape", [SHAPES["blue-green"], SHAPES["rolling"]], ids=str)
@pytest.mark.parametrize(
    "accident", ["KILL before start", "KILL before watch", "TERM before drain"]
)
def test_the_engine_is_restarted(stage: Stage, shape: Shape, outage: Outage, accident: str):
    assert machine.docker("info", "--format", "{{.LiveRestoreEnabled}}") == "true", (
        "containers would not outlive their engine; `invoke host` turns live-restore on"
    )
    signal, where = accident.split(maxsplit=1)
    with stage.playing(f"killed: engine, {shape}", shape, forgives=outage.covers):
        child = stage.start_deploy(f"pause {where}")
        stage.wait_for_pause(child)
        outage.begin()
        accidents.end_engine(signal)
        stage.go_on()
        # What it starts inherits its environment, and would look like a part of this app.
        CommandLine(root=stage.site.invoke.root, environ=clean_environment())("host", "--yes").ok()
        outage.wait(accidents.engine_answers, lambda: answered(stage))
        assert "Traceback" not in finish(child).text
        aftermath.tells_the_truth(stage, interrupted=aftermath.ANYTHING)
