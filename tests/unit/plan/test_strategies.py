"""Strategies as pure functions."""

import pytest

from pipeline.errors import UsageError
from pipeline.plan.plan import Plan
from pipeline.plan.steps import Steps
from pipeline.plan.strategies import STRATEGIES, Observed, Wanted, plan
from pipeline.release.release import Release, release

TARGET = release(
    sha="b" * 40, image="r/p@sha256:" + "1" * 64, compose="x", env_hash="e", migrations="m2"
)
CUT_OVER = ["cutover", "confirm", "watch", "record"]
START = ["start", "healthy", "verify"]
LIVE = {
    "live": "blue",
    "live_release": "old",
    "live_replicas": 1,
    "live_healthy": True,
    "live_migrations": "m2",
}


def made(strategy: str = "blue-green", replicas: int = 1, *, target: Release = TARGET, **changes):
    how = {name: changes.pop(name) for name in ("standby", "warm") if name in changes}
    wanted = Wanted(
        release=target, strategy=strategy, replicas=replicas, **({"standby": True} | how)
    )
    return plan(Observed(**(LIVE | changes)), wanted)


def kinds(steps) -> list[str]:
    return [step.kind for step in steps]


def first(strategy: str) -> Plan:
    wanted = Wanted(release=TARGET, strategy=strategy, replicas=3, standby=True)
    return plan(Observed(), wanted)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_first_release_has_nothing_to_replace(strategy: str):
    found = first(strategy)
    assert kinds(found.steps) == ["services", "migrate", "clear", *START, *CUT_OVER]
    assert found.finish == []
    assert kinds(found.undo) == ["back", "drain", "stop"]
    assert found.undo[0].arguments["colour"] is None


def test_blue_green_keeps_the_old_colour_warm():
    found = made()
    assert kinds(found.steps) == ["services", "clear", *START, *CUT_OVER]
    assert kinds(found.finish) == ["drain", "keep"]
    assert kinds(made(standby=False).finish) == ["drain", "stop"]


def test_rolling_exchanges_replicas_one_by_one():
    found = made("rolling", 3, live_replicas=3)
    assert kinds(found.steps) == [
        *("services", "clear"),
        *START,
        *("join", "admit", "dismiss"),
        *START,
        *("admit", "dismiss"),
        *START,
        *CUT_OVER,
    ]
    assert kinds(found.finish) == ["drain", "stop"]


@pytest.mark.parametrize("old", range(1, 9))
@pytest.mark.parametrize("new", range(1, 9))
def test_rolling_never_has_fewer_serving_than_wanted(old: int, new: int):
    serving, fresh = old, 0
    for step in made("rolling", new, live_replicas=old).steps:
        if step.kind == "start":
            fresh = step.arguments["replicas"]
        elif step.kind == "dismiss":
            serving = step.arguments["left"]
        assert serving >= 1  # it is what undo starts from
        assert serving + fresh <= max(old, new) + 1
        assert serving + fresh - (step.kind == "start") >= min(old, new)


def test_rolling_one_replica_needs_no_mixed_traffic():
    assert "join" not in kinds(made("rolling", 1, live_replicas=4).steps)


def test_recreate_stops_the_old_before_it_starts_the_new():
    found = made("recreate", live_migrations="m1")
    assert kinds(found.steps) == [
        *("services", "pause", "drain", "stop", "migrate", "clear"),
        *START,
        *CUT_OVER,
    ]
    assert found.finish == ()


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_what_could_not_be_brought_back_is_not_taken_apart(strategy: str):
    with pytest.raises(UsageError, match="could not be brought back") as caught:
        made(strategy, live_release="")
    assert "--strategy blue-green" in caught.value.hint


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("replicas", [1, 3])
def test_undo_leads_back_to_all_of_what_was_live(strategy: str, replicas: int):
    found = made(strategy, 2, live_replicas=replicas)
    assert kinds(found.undo) == ["restore", "back", "drain", "stop"]
    restore, back, _, stop = found.undo
    assert restore.arguments == {
        "colour": "blue",
        "release": "old",
        "replicas": replicas,
        "healthy": 1,
    }
    assert back.arguments["colour"] == "blue"
    assert stop.arguments["colour"] == "green"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("live", "new"), [("blue", "green"), ("green", "blue")])
def test_a_release_never_starts_in_the_live_colour(strategy: str, live: str, new: str):
    steps = made(strategy, 2, live=live).steps
    assert {step.arguments["colour"] for step in steps if step.kind == "start"} == {new}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_kind_of_step_can_be_done(strategy: str):
    for found in (made(strategy, 3, live_replicas=3, live_migrations="m1"), first(strategy)):
        for step in (*found.steps, *found.finish, *found.undo):
            assert hasattr(Steps, f"_{step.kind}")


def test_a_warm_rollback_starts_nothing():
    found = made(warm=True, standby_release=TARGET.id, standby_replicas=1)
    assert kinds(found.steps) == ["services", "verify", *CUT_OVER]
    assert kinds(found.finish) == ["drain", "keep"]
    assert kinds(found.undo) == ["restore", "back"]  # the standby stays one


@pytest.mark.parametrize(
    "changes",
    [
        {"standby_release": "another"},
        {"standby_replicas": 2},
        {"warm": False},
        {"live": None, "live_release": ""},
    ],
)
def test_anything_but_the_wanted_standby_starts_fresh(changes: dict):
    warm = {"warm": True, "standby_release": TARGET.id, "standby_replicas": 1}
    assert "start" in kinds(made(**(warm | changes)).steps)


@pytest.mark.parametrize(
    ("changes", "migrates"),
    [
        ({}, False),
        ({"live_migrations": "m1"}, True),
        ({"live_migrations": ""}, True),
        ({"live_healthy": False}, True),
    ],
)
def test_only_the_same_migrations_under_a_healthy_release_need_no_container(changes, migrates):
    assert ("migrate" in kinds(made(**changes).steps)) is migrates


def test_an_image_that_does_not_name_its_migrations_always_migrates():
    unnamed = release(sha="b" * 40, image=TARGET.image, compose="x", env_hash="e", migrations="")
    assert "migrate" in kinds(made(target=unnamed, live_migrations="").steps)
