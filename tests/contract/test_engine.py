"""What every Engine does: the fake of the unit tests, and Compose on a real Docker Engine."""

import pytest

from pipeline.errors import EngineError
from tests.contract.labs import TIMEOUT, Lab, sha_of
from tests.e2e.support.machine import eventually


def test_a_colour_without_containers_is_empty(lab: Lab):
    assert lab.engine.replicas("blue") == ()
    assert lab.engine.logs("blue", lines=5) == ""


def test_replicas_run_the_image_they_were_started_with(lab: Lab):
    bundle = lab.bundle("good")
    lab.engine.start("blue", bundle, replicas=2, timeout=TIMEOUT)
    replicas = lab.engine.replicas("blue")
    assert [each.digest for each in replicas] == [bundle.variables["PIPELINE_IMAGE"]] * 2
    assert [each.revision for each in replicas] == [sha_of("good")] * 2
    assert [each.state for each in replicas] == ["running"] * 2
    assert len({each.id for each in replicas}) == 2
    assert len({each.address for each in replicas if each.address}) == 2


def test_the_colours_are_apart(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=1, timeout=TIMEOUT)
    lab.engine.start("green", lab.bundle("better"), replicas=1, timeout=TIMEOUT)
    lab.engine.stop("blue", timeout=2)
    assert lab.engine.replicas("blue") == ()
    assert [each.revision for each in lab.engine.replicas("green")] == [sha_of("better")]


def test_starting_again_replaces_what_was_there(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=2, timeout=TIMEOUT)
    lab.engine.start("blue", lab.bundle("better"), replicas=1, timeout=TIMEOUT)
    assert [each.revision for each in lab.engine.replicas("blue")] == [sha_of("better")]


def test_missing_replicas_are_added_beside_those_that_are_there(lab: Lab):
    bundle = lab.bundle("good")
    lab.engine.start("blue", bundle, replicas=1, timeout=TIMEOUT)
    (first,) = lab.engine.replicas("blue")
    lab.engine.start("blue", bundle, replicas=3, timeout=TIMEOUT, keep=True)
    found = lab.engine.replicas("blue")
    assert first.id in {each.id for each in found}
    assert sorted(each.number for each in found) == [1, 2, 3]


def test_some_replicas_can_be_stopped_and_the_others_stay(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=3, timeout=TIMEOUT)
    last = max(lab.engine.replicas("blue"), key=lambda each: each.number)
    lab.engine.stop("blue", timeout=2, only=[last.id])
    assert sorted(each.number for each in lab.engine.replicas("blue")) == [1, 2]
    lab.engine.stop("blue", timeout=0)
    assert lab.engine.replicas("blue") == ()


def test_a_replica_knows_its_release_and_its_environment(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=1, timeout=TIMEOUT)
    (found,) = lab.engine.replicas("blue")
    assert found.release == "of-the-lab"
    assert found.env["POSTGRES_PASSWORD"] == "of-no-use-elsewhere"
    assert "of-no-use-elsewhere" not in repr(found)


def test_stopping_twice_is_no_error(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=1, timeout=TIMEOUT)
    for _ in range(2):
        lab.engine.stop("blue", timeout=2)
        assert lab.engine.replicas("blue") == ()


def test_shared_services_can_be_made_sure_of_again(lab: Lab):
    lab.engine.start("blue", lab.bundle("good"), replicas=1, timeout=TIMEOUT)
    before = lab.engine.replicas("blue")
    lab.engine.ensure_services(lab.bundle("better"), timeout=TIMEOUT)
    assert lab.engine.replicas("blue") == before


def test_a_replica_that_ends_is_seen_with_its_exit_code_and_its_last_words(lab: Lab):
    lab.engine.start("blue", lab.bundle("exits"), replicas=1, timeout=TIMEOUT)
    eventually(
        lambda: any(each.restarts for each in lab.engine.replicas("blue")),
        within=10,
        what="the end of the replica",
    )
    # While it is down, and while it runs again.
    looks = [each for _ in range(20) for each in lab.engine.replicas("blue") if each.restarts]
    assert {each.exit_code for each in looks} == {3}
    assert f"started {sha_of('exits')}" in lab.engine.logs("blue", lines=5)


def test_an_image_that_is_not_there_cannot_be_started(lab: Lab):
    with pytest.raises(EngineError):
        lab.engine.start("blue", lab.unknown(), replicas=1, timeout=TIMEOUT)
    assert lab.engine.replicas("blue") == ()


def test_migrations_that_pass_leave_nothing_behind(lab: Lab):
    lab.engine.migrate(lab.bundle("good"), timeout=TIMEOUT)
    assert lab.engine.replicas("blue") == lab.engine.replicas("green") == ()


def test_a_migration_that_fails_is_an_error(lab: Lab):
    with pytest.raises(EngineError):
        lab.engine.migrate(lab.bundle("bad-migration"), timeout=TIMEOUT)
