"""What a killed deployment leaves, and who ends it."""

from dataclasses import replace
from typing import ClassVar

import pytest

from pipeline.errors import ReleaseFailedError, UnavailableError, UndoFailedError
from pipeline.ports import Answer
from pipeline.release.ledger import Deployment, Ledger
from pipeline.status import status
from tests.fakes import FakeProbe, FakeTraffic, Killed
from tests.unit.delivery.conftest import A, B, Host, reference


def kill(host: Host, event: str, *, when: str = "after") -> None:
    """Deploy B and kill it at that event."""
    host.world.events.clear()
    happen, happened = host.world.happen, host.world.happened

    def dying(what: str) -> None:
        happen(what)
        if what == event and when == "before":
            host.world.die()

    def dead() -> None:
        happened()
        if host.world.events[-1] == event and when == "after":
            host.world.die()

    host.world.happen, host.world.happened = dying, dead
    with pytest.raises(Killed):
        host.deploy(B)
    host.world.happen, host.world.happened = happen, happened
    host.world.dead = False


def test_before_the_record_the_next_deployment_undoes_it_and_says_so(host: Host):
    host.deploy(A)
    kill(host, "switch green")
    assert host.world.live == "green"
    assert status(host.delivery())["interrupted"]["sha"] == B
    outcome = host.deploy(B)
    assert outcome.error is None
    assert host.world.events[-6:] == [
        *("switch blue", "stop green", "services", "start green", "switch green", "stop blue"),
    ]
    assert "deploy of bbbbbbbbbbbb is undone: the release before serves" in host.said
    assert [row["outcome"] for row in host.delivery().ledger.history()] == [
        *("live", "failed", "live"),
    ]


def test_after_the_record_it_is_finished(host: Host):
    host.deploy(A)
    kill(host, "stop blue", when="before")
    outcome = host.delivery().resume()
    assert outcome.deployment.outcome == "live"
    assert host.world.runs() == ["green"]
    assert host.delivery().ledger.live()[1].sha == B
    assert status(host.delivery())["interrupted"] is None


def test_a_rollback_of_an_interrupted_deployment_is_its_undoing(host: Host):
    host.deploy(B)
    host.deploy(A)
    kill_at = "switch blue"
    host.world.events.clear()
    kill(host, kill_at)
    outcome = host.rollback()
    assert outcome.error is None
    assert outcome.release.sha == A
    assert host.delivery().ledger.live()[1].sha == A


def test_recorded_but_the_proxy_says_otherwise_is_undone(host: Host):
    host.deploy(A)
    kill(host, "stop blue", when="before")
    host.world.live = "blue"  # somebody has helped himself
    assert host.delivery().resume().deployment.outcome == "failed"
    assert host.world.live == "blue"
    assert host.world.runs() == ["blue"]
    assert host.delivery().ledger.live()[1].sha == A


def test_what_cannot_be_undone_stays_interrupted_until_it_can(host: Host):
    host.deploy(A)
    kill(host, "switch green")
    host.world.fail_at = "stop green"
    with pytest.raises(UndoFailedError, match="planned failure of stop green"):
        host.delivery().resume()
    assert status(host.delivery())["interrupted"]["sha"] == B
    host.world.fail_at = ""
    assert host.delivery().resume() is not None
    assert host.world.runs() == ["blue"]


def test_a_new_deployment_is_not_stopped_by_what_cannot_be_undone(host: Host):
    host.deploy(A)
    kill(host, "switch green")
    del host.world.images[next(ref for ref in host.world.images if "sha256:a" in ref)]
    host.world.containers["blue"] = []  # the old release is gone for good
    outcome = host.deploy(B)
    assert outcome.error is None
    assert host.delivery().ledger.unfinished() is None
    assert {host.world.image(each).sha for each in host.world.serving()} == {B}


def test_a_journal_of_a_version_without_one_is_ended(host: Host):
    host.deploy(A)
    release = host.delivery().ledger.live()[1].id
    host.delivery().ledger.record(
        Deployment(kind="deploy", release=release, colour=None, outcome="running")
    )
    assert host.delivery().resume().deployment.outcome == "failed"
    assert host.world.live == "blue"


def test_down_ends_it_too(host: Host):
    host.deploy(A)
    kill(host, "start green")
    host.delivery().ledger.record(
        Deployment(kind="down", release=None, colour=None, outcome="stopped")
    )
    assert host.delivery().ledger.unfinished() is None


def test_nothing_to_resume(host: Host):
    assert host.delivery().resume() is None
    host.deploy(A)
    assert host.delivery().resume() is None


def test_a_dry_run_ends_nothing(host: Host):
    host.deploy(A)
    kill(host, "switch green")
    events = list(host.world.events)
    host.deploy(B, dry_run=True)
    assert host.world.events == events
    assert any("interrupted: it would be ended first" in line for line in host.said)


def test_a_replica_that_ends_while_it_is_watched_is_reverted(host: Host):
    host.deploy(A)
    # The engine has started it again before anybody looks.
    outcome = host.deploy(B, clock=Crashing(host.world))
    assert isinstance(outcome.error, ReleaseFailedError)
    assert "after the cutover" in outcome.error.message
    assert outcome.deployment.outcome == "rolled-back"
    assert host.world.live == "blue"


class Crashing:
    """A clock in whose window a replica of green ends and is started again."""

    def __init__(self, world) -> None:
        self.world = world

    def monotonic(self) -> float:
        return self.world.seconds

    def sleep(self, seconds: float) -> None:
        self.world.seconds += seconds
        if self.world.live == "green":
            for each in self.world.of("green"):
                each.restarts += 1


def test_where_its_files_are_gone_a_deployment_goes_on_and_resume_says_so(host: Host):
    host.deploy(A)
    kill(host, "switch green")
    release = host.delivery().ledger.unfinished()[1]
    (host.delivery().state.folder / "releases" / release.id / "env").unlink()
    with pytest.raises(UndoFailedError, match="files of release"):
        host.delivery().resume()
    assert host.deploy(B).error is None
    assert host.delivery().ledger.unfinished() is None


def test_an_old_colour_that_cannot_serve_gets_no_requests_back(host: Host):
    host.deploy(A)

    class Misled(FakeProbe):
        """The public port answers as nobody we know, and the old colour has died meanwhile."""

        def __call__(self, address: str) -> Answer:
            if address == host.settings.address and host.world.live == "green":
                host.world.images[reference(A)].healthy = False
                return Answer(status=200, sha="0" * 40, text="")
            return super().__call__(address)

    outcome = host.deploy(B, probe=Misled(host.world))
    assert isinstance(outcome.error, UndoFailedError)
    assert "No replica of blue is healthy" in outcome.error.message
    assert host.world.live == "green"
    assert "green" in host.world.runs()  # what has the requests is not stopped


def test_what_is_started_again_is_checked_again_before_it_gets_requests_back(host: Host):
    """The place in the proxy may still show the check of the container of before."""
    host.settings = replace(host.settings, strategy="recreate")
    host.deploy(A)
    kill(host, "start green")

    class Stale(FakeTraffic):
        rechecked: ClassVar[list[str]] = []

        def recheck(self, colour, address):
            self.rechecked.append(address)

    host.delivery(traffic=Stale(host.world)).resume()
    assert Stale.rechecked == [f"{each}:8000" for each in host.world.addresses("blue")]
    assert host.world.live == "blue"


def test_what_has_requests_is_not_checked_again(host: Host):
    host.settings = replace(host.settings, strategy="rolling", replicas=2)
    host.deploy(A)
    kill(host, "start green")

    class Careful(FakeTraffic):
        def recheck(self, colour, address):
            pytest.fail("it would lose its requests until then")

    host.delivery(traffic=Careful(host.world)).resume()
    assert host.world.live == "blue"


class Failing(Ledger):
    """Cannot write that a deployment has ended: after the journal, and that it is live."""

    def __init__(self, host: Host, error: BaseException) -> None:
        super().__init__(host.delivery().state.ledger)
        self.error, self.records = error, 0

    def record(self, deployment: Deployment) -> int:
        self.records += 1
        if self.records == 3:
            raise self.error
        return super().record(deployment)


def test_a_cancel_while_the_end_is_recorded_comes_too_late(host: Host):
    ledger = Failing(host, KeyboardInterrupt())
    assert host.deploy(A, ledger=ledger).error is None
    assert ledger.records == 4
    assert ledger.unfinished() is None
    assert ledger.live()[1].sha == A


def test_an_end_that_cannot_be_recorded_is_said_and_is_for_the_next_command(host: Host):
    ledger = Failing(host, UnavailableError("disk full"))
    assert host.deploy(A, ledger=ledger).error is None
    assert "warning: disk full" in host.said
    assert ledger.unfinished()[0].outcome == "live"
    host.delivery().resume()
    assert ledger.unfinished() is None
    assert ledger.live()[1].sha == A


def test_a_killed_deployment_is_interrupted_also_while_what_it_started_works(
    host: Host, monkeypatch: pytest.MonkeyPatch
):
    host.deploy(A)
    kill(host, "switch green")
    monkeypatch.setattr("pipeline.status.lock.holder", lambda _: {"pid": "of-nobody"})
    assert status(host.delivery())["interrupted"]["sha"] == B
