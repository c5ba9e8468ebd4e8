"""Deployments over the fakes: what serves, what is recorded, which exit code."""

from dataclasses import replace

import pytest

from pipeline.errors import (
    EngineError,
    LockedError,
    RegistryError,
    ReleaseFailedError,
    UndoFailedError,
    UsageError,
)
from pipeline.ports import Answer
from pipeline.release import lock
from pipeline.release.ledger import Deployment
from pipeline.settings import Secret
from tests.fakes import Container, FakeEngine, FakeTraffic
from tests.unit.delivery.conftest import A, B, Host, reference


def outcomes(host: Host) -> list[str]:
    return [row["outcome"] for row in host.delivery().ledger.history()]


def test_the_first_deployment_makes_its_release_live(host: Host):
    outcome = host.deploy(A)
    assert outcome.as_dict()["outcome"] == "live"
    assert outcome.as_dict()["digest"] == "sha256:" + "a" * 64
    assert host.world.live == "blue"
    assert host.world.events == ["services", "migrate", "start blue", "switch blue"]
    deployment, release = host.delivery().ledger.live()
    assert (deployment.colour, release.sha, release.image) == ("blue", A, reference(A))


def test_the_second_goes_to_the_other_colour_and_removes_the_old(host: Host):
    host.deploy(A)
    host.world.events.clear()
    outcome = host.deploy(B)
    assert host.world.live == "green"
    assert host.world.events == ["services", "start green", "switch green", "stop blue"]
    assert host.world.runs() == ["green"]
    assert list(outcome.deployment.phases) == [
        *("pull", "services", "clear", "start", "healthy", "verify", "cutover", "confirm"),
        *("watch", "record", "drain", "stop"),
    ]


def test_new_migrations_run_before_the_new_colour_starts(host: Host):
    host.deploy(A)
    host.migrations[B] = "m2"
    host.world.events.clear()
    host.deploy(B)
    assert host.world.events[:3] == ["services", "migrate", "start green"]


def test_the_same_release_again_does_nothing(host: Host):
    host.deploy(A)
    host.world.events.clear()
    outcome = host.deploy(A)
    assert host.world.events == []
    assert outcome.as_dict()["outcome"] == "live"
    assert len(outcomes(host)) == 1


@pytest.mark.parametrize("what", ["env", "replicas", "unhealthy"])
def test_whatever_differs_is_a_deployment(host: Host, what: str):
    host.deploy(A)
    if what == "env":
        host.env["KEY"] = "other"
    elif what == "replicas":
        host.settings = replace(host.settings, replicas=3)
    else:
        host.world.containers.clear()
    host.deploy(A)
    assert outcomes(host) == ["live", "live"]
    assert host.world.live == "green"


def test_replicas_are_all_waited_for(host: Host):
    host.settings = replace(host.settings, replicas=4)
    host.deploy(A)
    assert len(host.world.containers["blue"]) == 4


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"exits": 3, "log": "boom"}, "exit code 3"),
        ({"healthy": False}, "was not healthy within"),
        ({"sha": "c" * 40}, "does not answer as commit"),
    ],
)
def test_a_broken_image_leaves_the_old_release_serving(host: Host, broken: dict, says: str):
    host.deploy(A)
    host.break_image(B, **broken)
    outcome = host.deploy(B)
    assert isinstance(outcome.error, ReleaseFailedError)
    assert outcome.error.exit_code == 3
    assert says in outcome.error.message
    assert host.world.live == "blue"
    assert host.world.runs() == ["blue"]
    assert outcomes(host) == ["failed", "live"]
    assert host.delivery().ledger.live()[1].sha == A


def test_a_check_under_way_does_not_hide_what_the_last_one_said(host: Host):
    class Checking(FakeTraffic):
        codes = iter(["L7STS/503"])

        def servers(self, colour):
            check = next(self.codes, "L7STS")
            return tuple(replace(each, check=check) for each in super().servers(colour))

    host.break_image(A, healthy=False)
    assert (
        "172.30.0.2:8000 L7STS/503)" in host.deploy(A, traffic=Checking(host.world)).error.message
    )


def test_a_failure_shows_the_last_log_lines_without_secrets(host: Host):
    host.break_image(A, exits=1, log="cannot connect with sentinel-secret")
    outcome = host.deploy(A)
    assert "cannot connect with ***" in outcome.error.details
    assert "sentinel-secret" not in str(outcome.as_dict())


def test_an_image_for_another_processor_is_said(host: Host):
    host.break_image(A, exits=255, log="exec /usr/local/bin/python: Exec format error")
    assert "for another processor; `invoke inspect`" in host.deploy(A).error.message


def test_a_failing_migration_is_a_failed_release(host: Host):
    host.deploy(A)
    host.migrations[B] = "m2"
    host.world.fail_at = "migrate"
    outcome = host.deploy(B)
    assert outcome.error.exit_code == 3
    assert "start green" not in host.world.events


def test_services_that_do_not_start_are_trouble_of_the_engine(host: Host):
    host.world.fail_at = "services"
    outcome = host.deploy(A)
    assert isinstance(outcome.error, EngineError)
    assert outcome.error.exit_code == 1


def test_a_public_port_that_answers_otherwise_reverts_the_cutover(host: Host):
    host.deploy(A)

    def stale(address: str) -> Answer:
        sha = A if address == host.settings.address else B
        return Answer(status=200, sha=sha, text="...")

    outcome = host.deploy(B, probe=stale)
    assert outcome.deployment.outcome == "rolled-back"
    assert outcome.error.exit_code == 3
    assert host.world.live == "blue"
    assert host.world.runs() == ["blue"]


def test_an_image_other_than_the_one_asked_for_is_not_cut_over_to(host: Host):
    class Stale(FakeEngine):
        def replicas(self, colour):
            return tuple(replace(each, digest="old@sha256:0") for each in super().replicas(colour))

    outcome = host.deploy(A, engine=Stale(host.world))
    assert "runs old@sha256:0" in outcome.error.message
    assert host.world.live is None


def test_requests_in_flight_are_waited_for(host: Host):
    host.deploy(A)
    host.world.sessions["blue"] = 5
    host.deploy(B)
    assert host.world.sessions["blue"] == 0


def test_what_does_not_drain_in_time_is_said_and_cut_off(host: Host):
    host.deploy(A)

    class Stuck(FakeTraffic):
        def sessions(self, colour):
            return 1

    outcome = host.deploy(B, traffic=Stuck(host.world))
    assert outcome.error is None
    assert any("still in flight" in line for line in host.said)
    assert host.world.runs() == ["green"]


def test_an_old_colour_that_cannot_be_stopped_is_said_and_the_new_one_serves(host: Host):
    host.deploy(A)
    host.world.fail_at = "stop blue"
    outcome = host.deploy(B)
    assert outcome.error is None
    assert any("planned failure of stop blue" in line for line in host.said)
    assert host.world.live == "green"


def test_undo_that_fails_needs_a_person(host: Host):
    host.deploy(A)
    host.break_image(B, healthy=False)
    host.world.fail_at = "stop green"
    outcome = host.deploy(B)
    assert isinstance(outcome.error, UndoFailedError)
    assert outcome.error.exit_code == 5


def test_a_registry_that_is_down_changes_nothing(host: Host):
    def down(_sha: str):
        raise RegistryError("no answer")

    (host.folder / "env").write_text("KEY=1\n")
    with pytest.raises(RegistryError):
        host.delivery().deploy(sha=A, pull=down, compose="")
    assert host.world.events == []
    assert outcomes(host) == []


def test_a_missing_key_changes_nothing(host: Host):
    host.env = {"OTHER": "x"}
    with pytest.raises(UsageError, match="lacks a value for KEY"):
        host.deploy(A)
    assert host.world.events == []


def test_the_env_of_the_ci_secret_comes_before_the_file(host: Host):
    host.settings = replace(host.settings, env_content=Secret("KEY=secret\n"))
    outcome = host.deploy(A)
    assert host.delivery().state.env(outcome.release.id) == 'KEY="secret"\n'


@pytest.mark.parametrize("down", [False, True])
def test_without_an_env_file_the_service_keeps_what_it_had(host: Host, down: bool):
    host.env["ODD"] = r"pa$$w\ord-$HOME"
    before = host.deploy(A).release
    if down:
        stopped = Deployment(kind="down", release=None, colour=None, outcome="stopped")
        host.delivery().ledger.record(stopped)
    host.settings = replace(host.settings, env_file=host.folder / "gone")
    delivery = host.delivery()
    outcome = delivery.deploy(sha=B, pull=host.on_host, compose="services: {}")
    assert outcome.release.env_hash == before.env_hash
    assert delivery.state.env(outcome.release.id) == delivery.state.env(before.id)
    assert any("keys from release" in line for line in host.said)


def test_a_second_deployment_at_once_is_refused_and_told_who_holds_the_lock(host: Host):
    delivery = host.delivery()
    delivery.state.create()
    with (
        lock.hold(delivery.state.lock, command="deploy --sha x"),
        pytest.raises(LockedError, match="deploy --sha x"),
    ):
        host.deploy(A)
    assert host.world.events == []


def test_a_dry_run_touches_nothing(host: Host):
    host.deploy(A)
    host.world.events.clear()
    outcome = host.deploy(B, dry_run=True)
    assert [step.kind for step in outcome.plan.steps][:3] == ["services", "clear", "start"]
    assert host.world.events == []
    assert outcomes(host) == ["live"]


def test_a_cancel_undoes_and_is_recorded(host: Host):
    host.deploy(A)

    class Cancelled(FakeTraffic):
        def switch(self, route):
            if route == "green":
                raise KeyboardInterrupt
            return super().switch(route)

    outcome = host.deploy(B, traffic=Cancelled(host.world))
    assert outcome.error.exit_code == 1
    assert "undone" in outcome.error.message
    assert host.world.runs() == ["blue"]
    assert outcomes(host) == ["failed", "live"]


def test_a_cancel_after_the_record_leaves_the_new_release_live(host: Host):
    host.deploy(A)

    class Cancelled(FakeTraffic):
        cancels = iter([KeyboardInterrupt()])

        def sessions(self, colour):
            if colour == "blue":  # what is left to do is to drain and stop it
                for cancel in self.cancels:
                    raise cancel
            return super().sessions(colour)

    outcome = host.deploy(B, traffic=Cancelled(host.world))
    assert (outcome.deployment.outcome, outcome.error.exit_code) == ("live", 1)
    assert host.delivery().ledger.live()[1].sha == B
    assert host.world.live == "green"
    assert host.world.runs() == ["green"]


def test_leftovers_of_a_killed_deployment_are_no_obstacle(host: Host):
    host.deploy(A)
    host.world.containers["green"] = [Container(n, reference(B), f"172.31.0.{n}") for n in (1, 2)]
    host.deploy(B)
    assert host.world.runs() == ["green"]
    assert len(host.world.of("green")) == 1


def test_a_lost_ledger_does_not_restart_what_serves(host: Host):
    host.deploy(A)
    host.delivery().state.ledger.unlink()
    host.world.events.clear()
    host.deploy(B)
    assert host.world.live == "green"
    assert "start blue" not in host.world.events
