"""Blue-green as a pure function."""

import pytest

from pipeline.plan.plan import RECORD
from pipeline.plan.strategies import Observed, blue_green
from pipeline.release.release import release

TARGET = release(
    sha="b" * 40, image="r/p@sha256:" + "1" * 64, compose="x", env_hash="e", migrations="m2"
)


def kinds(observed: Observed) -> list[str]:
    return [step.kind for step in blue_green(observed, TARGET, replicas=2).steps]


def observed(**changes) -> Observed:
    return Observed(**({"live": "blue", "live_healthy": True, "live_migrations": "m2"} | changes))


def test_the_first_release_has_nothing_to_drain():
    found = kinds(observed(live=None, live_healthy=False, live_migrations=""))
    assert found == [
        *("services", "migrate", "start", "healthy", "verify"),
        *("cutover", "confirm", "record"),
    ]


def test_the_old_colour_is_touched_only_after_the_record():
    plan = blue_green(observed(), TARGET, replicas=2)
    recorded = [step.kind for step in plan.steps].index(RECORD)
    touching_old = [
        n for n, step in enumerate(plan.steps) if step.arguments.get("colour") == "blue"
    ]
    assert touching_old
    assert min(touching_old) > recorded


@pytest.mark.parametrize(("live", "new"), [(None, "green"), ("blue", "green"), ("green", "blue")])
def test_a_release_never_starts_in_the_live_colour(live, new):
    expected = "blue" if live is None else new
    steps = blue_green(observed(live=live), TARGET, replicas=1).steps
    started = next(step for step in steps if step.kind == "start")
    assert started.arguments["colour"] == expected


def test_the_same_migrations_under_a_healthy_release_need_no_container():
    assert "migrate" not in kinds(observed())


@pytest.mark.parametrize(
    "changes", [{"live_migrations": "m1"}, {"live_migrations": ""}, {"live_healthy": False}]
)
def test_anything_else_migrates(changes):
    assert "migrate" in kinds(observed(**changes))


def test_an_image_that_does_not_name_its_migrations_always_migrates():
    unnamed = release(sha="b" * 40, image=TARGET.image, compose="x", env_hash="e", migrations="")
    plan = blue_green(observed(live_migrations=""), unnamed, replicas=1)
    assert "migrate" in [step.kind for step in plan.steps]


def test_the_plan_can_be_printed_as_data():
    data = blue_green(observed(), TARGET, replicas=2).as_dict()
    assert data["steps"][1]["kind"] == "start"
    assert data["steps"][1]["arguments"] == {"colour": "green", "replicas": 2}
