"""The machine starts again: the same release serves, by itself, registry or none."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.support import load, machine
from tests.e2e.support.command import CommandLine, clean_environment, finish
from tests.faults import accidents, aftermath
from tests.faults.cells import SHAPES
from tests.faults.stage import Stage
from tests.faults.wire import Wire

GRACE = 3.0  # seconds on top of the app's own start
LONGEST = 30.0  # seconds


def start_of_the_app(stage: Stage) -> float:
    """Return the seconds from the start of the app's container until it serves."""
    (container,) = stage.containers(stage.live)
    machine.docker("kill", container)
    began = time.monotonic()
    machine.docker("start", container)
    return within(began, lambda: serves(stage))


def within(began: float, so: Callable[[], bool]) -> float:
    """Return the seconds until something is so."""
    machine.eventually(so, within=LONGEST, what="that it serves")
    return round(time.monotonic() - began, 3)


def serves(stage: Stage) -> bool:
    """Tell whether the live release answers what takes the database."""
    answers = load.get(stage.address, f"{load.TASKS}?limit=1")[0] == 200
    return answers and load.served(stage.address) == stage.sha(stage.live)


@pytest.mark.engine
def test_after_a_power_cut_the_release_serves_by_itself(stage: Stage, wire: Wire):
    stage.prepare(SHAPES["blue-green"])
    before = load.total(stage.address)
    own = start_of_the_app(stage)
    processes = [
        machine.inspect(each)["State"]["Pid"] for each in machine.containers(stage.site.app)
    ]
    host = CommandLine(root=stage.site.invoke.root, environ=clean_environment())
    accidents.end_engine("KILL")
    # With live-restore they would outlive it; a power cut takes all.
    accidents.privileged("kill", "-KILL", *(str(pid) for pid in processes if pid))
    with wire.cut_off(), load.Load(stage.address) as running:
        child = host.start("host", "--yes", "--engine")
        machine.eventually(accidents.engine_runs, within=LONGEST, what="the engine's process")
        began = time.monotonic()
        engine = within(began, accidents.engine_answers)
        took = within(began, lambda: serves(stage))
        finish(child).ok()
    # From the start of the engine's process on; it starts containers before it answers.
    stage.tally.figures["reboot"] = {"app_start": own, "engine_answers": engine, "serves": took}
    # The service answers in JSON, the proxy on its own does not.
    assert not [loss for loss in running.lost if "{" in loss.what]
    assert took <= engine + own + GRACE
    assert load.total(stage.address) >= before
    assert aftermath.tells_the_truth(stage)["drift"] == []
