"""recreate, rolling, blue-green: what users, the machine and `status` see of each."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.e2e.support import machine
from tests.e2e.support.site import KEPT, Site
from tests.e2e.support.watch import Replicas, command_lines

LOOKS = 10  # fewer would say little


def in_order(wanted: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether all of `wanted` are in `kinds`, one after the other."""
    rest = iter(kinds)
    return all(kind in rest for kind in wanted)


def runs(site: Site, answer: dict[str, Any], *, replicas: int) -> None:
    """Fail unless the release of a deployment's answer is all that runs, and `status` says so."""
    (ids,) = site.colours().values()
    assert len(ids) == replicas
    for each in map(machine.inspect, ids):
        assert each["State"]["Running"]
        assert each["Config"]["Labels"]["pipeline.release"] == answer["release"]
        assert each["Config"]["Image"].endswith(answer["digest"])
    status = site.status()
    assert status["healthy"]
    assert status["live"]["release"] == answer["release"]
    assert status["live"]["replicas"] == replicas
    assert status["live"]["colour"] in site.colours()
    assert status["standby"] is None
    assert status["drift"] == []


def test_recreate_has_one_outage_which_it_announces(a_live: Site):
    with a_live.under_load(outage=True), Replicas(a_live.app) as replicas:
        answer = a_live.deploy("b", "--strategy", "recreate").ok().json
        assert a_live.served() == "b"
    assert answer["strategy"] == "recreate"
    assert in_order(["pause", "drain", "stop", "start", "cutover", "record"], [*answer["phases"]])
    assert max(replicas.running) == 1, "never both releases"
    runs(a_live, answer, replicas=1)


def test_rolling_never_has_fewer_than_asked_for_nor_more_than_one_in_addition(a_live: Site):
    a_live.deploy("b", "--replicas", "3").ok()
    with a_live.under_load(), Replicas(a_live.app) as replicas:
        ran = a_live.deploy("a", "--strategy", "rolling", "--replicas", "3").ok()
        assert a_live.served() == "a"
    answer = ran.json
    assert answer["strategy"] == "rolling"
    assert answer["requests"]["failed"] == 0
    assert {"join", "admit", "dismiss"} <= set(answer["phases"])
    assert len(replicas.ready) > LOOKS
    assert min(replicas.ready) >= 3
    assert max(replicas.running) <= 4
    runs(a_live, answer, replicas=3)


def test_blue_green_keeps_the_old_colour_warm(a_live: Site):
    before, live = a_live.colours(), a_live.status()["live"]
    with a_live.under_load():
        ran = a_live.deploy("b", **KEPT).ok()
        assert a_live.served() == "b"
    answer = ran.json
    assert answer["strategy"] == "blue-green"
    assert ran.seconds < answer["seconds"] + 5, "nobody waits for what it left behind"
    after, status = a_live.colours(), a_live.status()
    assert len(after) == 2
    assert after.items() >= before.items(), "the same containers as before"
    assert status["live"]["release"] == answer["release"]
    assert status["live"]["colour"] != live["colour"]
    known = ("release", "sha", "digest", "colour", "replicas")
    assert [status["standby"][name] for name in known] == [live[name] for name in known]
    assert status["drift"] == []
    assert live["sha"][:12] in a_live.invoke("status").ok().stdout
    assert a_live.history()[0]["strategy"] == "blue-green"


def test_the_next_deployment_ends_the_standby(b_over_a: Site):
    with b_over_a.under_load():
        answer = b_over_a.deploy("a").ok().json
    assert b_over_a.served() == "a"
    runs(b_over_a, answer, replicas=1)


def test_the_standby_goes_by_itself(a_live: Site):
    with a_live.under_load():
        answer = a_live.deploy("b", PIPELINE_STANDBY="1").ok().json
        machine.eventually(lambda: len(a_live.colours()) == 1, within=30, what="its end")
        machine.eventually(lambda: a_live.status()["lock"] is None, within=30, what="the lock")
    assert a_live.served() == "b"
    runs(a_live, answer, replicas=1)


def test_the_standby_can_be_removed_at_once(b_over_a: Site):
    live = b_over_a.history()[0]
    assert waiting(b_over_a)
    with b_over_a.under_load():
        b_over_a.invoke("retire").ok()
    assert b_over_a.served() == "b"
    runs(b_over_a, live, replicas=1)
    machine.eventually(lambda: not waiting(b_over_a), within=20, what="the end of who waits")


def waiting(site: Site) -> list[str]:
    """Return the command lines of the site's processes that wait to remove a standby."""
    return [line for line in command_lines() if f"{site.invoke.root}/tasks.py retire" in line]


def test_strategy_and_replicas_may_change_with_every_deployment(a_live: Site):
    # recreate is shown without load above: here it only has to be what the others start from.
    runs(a_live, a_live.deploy("b", "--strategy", "recreate").ok().json, replicas=1)
    with a_live.under_load():
        for name, strategy, replicas in (
            ("a", "rolling", 3),
            ("b", "blue-green", 2),
            ("b", "rolling", 1),  # nothing but the number
            ("a", "blue-green", 1),
        ):
            argv = ("--strategy", strategy, "--replicas", str(replicas))
            answer = a_live.deploy(name, *argv).ok().json
            assert a_live.served() == name
            assert answer["strategy"] == strategy
            runs(a_live, answer, replicas=replicas)


STEPS = {
    "recreate": ["pause", "drain", "stop", "start", "cutover", "record"],
    "rolling": ["start", "join", "admit", "start", "cutover", "record"],
    "blue-green": ["start", "healthy", "verify", "cutover", "confirm", "watch", "record"],
}
FINISH = {"recreate": [], "rolling": ["drain", "stop"], "blue-green": ["drain", "keep"]}


@pytest.mark.parametrize("strategy", STEPS)
def test_a_dry_run_prints_the_plan_of_the_strategy(a_live: Site, strategy: str):
    history = a_live.history()
    argv = ("--strategy", strategy, "--replicas", "2", "--dry-run")
    with a_live.untouched():
        ran = a_live.deploy("b", *argv, **KEPT).ok()
    assert a_live.history() == history
    plan = ran.json
    assert plan["strategy"] == strategy
    kinds = {part: [step["kind"] for step in plan[part]] for part in ("steps", "finish", "undo")}
    assert in_order(STEPS[strategy], kinds["steps"])
    assert kinds["steps"][-1] == "record", "the point of no return"
    assert kinds["finish"] == FINISH[strategy]
    assert {"back", "stop"} <= set(kinds["undo"])
    for step in [*plan["steps"], *plan["finish"], *plan["undo"]]:
        assert set(step) == {"kind", "about", "arguments"}
    for step in [*plan["steps"], *plan["finish"]]:
        assert step["about"] in ran.stdout.rpartition("\n{")[0], "people can read it"
