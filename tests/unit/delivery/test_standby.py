"""The old colour kept warm: for a rollback that starts nothing, and not for ever."""

from dataclasses import replace

import pytest

from pipeline.errors import EngineError, PipelineError, UsageError
from pipeline.release import lock
from pipeline.status import status
from tests.fakes import FakeEngine
from tests.unit.delivery.conftest import A, B, Host, reference


@pytest.fixture
def warm(host: Host) -> Host:
    """A host with B live and A as standby."""
    host.settings = replace(host.settings, standby=60.0)
    host.deploy(A)
    host.deploy(B)
    host.world.events.clear()
    return host


def test_the_old_colour_stays_and_somebody_sees_to_its_end(warm: Host):
    assert warm.world.references("blue") == {reference(A)}
    live = warm.delivery().ledger.live()[0]
    assert warm.retired == [live.id]
    found = status(warm.delivery())
    assert (found["standby"]["sha"], found["standby"]["colour"]) == (A, "blue")
    assert found["drift"] == []


def test_a_rollback_to_it_only_flips_traffic(warm: Host):
    before = warm.world.addresses("blue")
    outcome = warm.rollback()
    assert outcome.error is None
    assert warm.world.events == ["services", "switch blue"]
    assert warm.world.addresses("blue") == before
    assert warm.world.references("green") == {reference(B)}  # which stands by in its turn
    warm.world.events.clear()
    assert warm.rollback().release.sha == B
    assert warm.world.events == ["services", "switch green"]


def test_one_that_is_not_healthy_is_started_afresh(warm: Host):
    for each in warm.world.of("blue"):
        each.running = False
    outcome = warm.rollback()
    assert outcome.error is None
    assert "start blue" in warm.world.events


def test_a_deployment_takes_its_place(warm: Host):
    warm.env["KEY"] = "other"
    assert warm.deploy(A).error is None
    assert warm.world.events == ["services", "stop blue", "start blue", "switch blue"]


def test_it_goes_when_its_time_has_passed(warm: Host):
    live = warm.delivery().ledger.live()[0]
    warm.delivery().remove_standby(live.id)
    assert warm.world.seconds >= 60
    assert warm.world.runs() == ["green"]
    assert status(warm.delivery())["standby"] is None


def test_not_where_another_deployment_came_after(warm: Host):
    live = warm.delivery().ledger.live()[0]
    warm.rollback()
    warm.delivery().remove_standby(live.id)
    assert sorted(warm.world.runs()) == ["blue", "green"]
    assert warm.world.seconds < 60


def test_never_what_has_the_requests(warm: Host):
    live = warm.delivery().ledger.live()[0]
    warm.world.live = "blue"  # by hand
    with pytest.raises(PipelineError, match="nothing was removed"):
        warm.delivery().remove_standby(live.id)
    assert sorted(warm.world.runs()) == ["blue", "green"]


def test_a_deployment_waits_for_its_removal(warm: Host, monkeypatch: pytest.MonkeyPatch):
    naps = []
    state = warm.delivery().state
    removal = lock.hold(state.lock, command="retire")
    removal.__enter__()

    def nap(seconds: float) -> None:
        naps.append(seconds)
        removal.__exit__(None, None, None)

    monkeypatch.setattr(lock.time, "sleep", nap)
    assert warm.deploy(A).error is None
    assert len(naps) == 1


def test_the_replicas_of_then_come_back_with_it(host: Host):
    host.settings = replace(host.settings, replicas=3)
    host.deploy(A)
    host.settings = replace(host.settings, replicas=1)
    host.deploy(B)
    host.rollback()
    assert len(host.world.of("blue")) == 3


def test_a_release_whose_files_are_gone_is_refused(host: Host):
    first = host.deploy(A).release
    host.deploy(B)
    (host.delivery().state.folder / "releases" / first.id / "env").unlink()
    with pytest.raises(UsageError, match="its files are gone") as caught:
        host.rollback(A)
    assert B[:12] in caught.value.hint
    assert A[:12] not in caught.value.hint


def test_it_can_be_removed_at_once(warm: Host):
    before = warm.world.seconds
    warm.delivery().remove_standby()
    assert warm.world.runs() == ["green"]
    assert warm.world.seconds == before


def test_whoever_waits_ends_where_the_standby_is_gone(warm: Host):
    before = warm.world.seconds
    warm.world.containers["blue"] = []
    warm.delivery().remove_standby(warm.delivery().ledger.live()[0].id)
    assert warm.world.seconds - before < 60
    assert warm.world.runs() == ["green"]


def test_an_engine_that_is_away_for_a_while_does_not_keep_it(warm: Host):
    class Away(FakeEngine):
        failures = iter([EngineError("restarting")])

        def replicas(self, colour):
            for failure in self.failures:
                raise failure
            return super().replicas(colour)

    live = warm.delivery().ledger.live()[0]
    warm.delivery(engine=Away(warm.world)).remove_standby(live.id)
    assert warm.world.runs() == ["green"]


def test_its_last_requests_are_waited_for_before_its_place_is_taken(warm: Host):
    warm.world.sessions["blue"] = 3
    warm.env["KEY"] = "other"
    warm.deploy(A)
    assert warm.world.sessions["blue"] == 0
