"""Whatever fails, and wherever it is killed: the old release is live, or the new one is.

Random deployments over the fakes, whose world ends at a random event (`kill -9`), or in which
one fails, or a cancel comes. Afterwards `resume` must lead to one of two ends, and nothing else.
"""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.plan.strategies import STRATEGIES
from pipeline.release.ledger import Ledger
from tests.fakes import FakeTraffic, Killed
from tests.unit.delivery.conftest import A, B, Host, new_host

ENDS = {A, B}
EVENTS = 45  # more than any deployment here has


class MortalLedger(Ledger):
    """What is dead writes nothing; being killed can also come just before or after a write."""

    def __init__(self, path, world) -> None:
        super().__init__(path)
        self.world = world

    def record(self, deployment):
        self.world.happen("record")
        recorded = super().record(deployment)
        self.world.happened()
        return recorded


class Watched(FakeTraffic):
    """Notes whenever nobody serves users, or a release that is no end."""

    def switch(self, route):
        replaced = super().switch(route)
        served = {self.world.image(each).sha for each in self.world.serving()}
        if not served or not served <= ENDS:
            self.world.outages.append(route)
        return replaced


cases = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(STRATEGIES),
        "before": st.integers(1, 3),
        "replicas": st.integers(1, 3),
        "standby": st.booleans(),
        "rollback": st.booleans(),
        "broken": st.booleans(),
    }
)


@pytest.fixture
def hosts(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("pipeline.traffic.folders.os.chown", lambda *_: None)
    monkeypatch.setattr("pipeline.traffic.folders.os.fsync", lambda *_: None)
    monkeypatch.setattr("pipeline.release.store.os.fsync", lambda *_: None)
    return lambda: new_host(tmp_path_factory.mktemp("host"))


def prepare(host: Host, case: dict) -> str:
    """Make A live (and, for a rollback to it, B); return what serves."""
    host.settings = replace(
        host.settings,
        replicas=case["before"],
        strategy="blue-green",
        standby=3600.0 if case["standby"] else 0.0,
        stability_window=0.0,
    )
    assert host.deploy(A).error is None
    if case["rollback"]:
        assert host.deploy(B).error is None
    host.settings = replace(host.settings, replicas=case["replicas"], strategy=case["strategy"])
    if case["broken"]:
        host.break_image(A if case["rollback"] else B, sha=A if case["rollback"] else B, exits=1)
    host.world.events.clear()
    host.world.outages = []
    return B if case["rollback"] else A


def go(host: Host, case: dict, **changes):
    parts = {
        "ledger": MortalLedger(host.delivery().state.ledger, host.world),
        "traffic": Watched(host.world),
    } | changes
    return host.rollback(**parts) if case["rollback"] else host.deploy(B, **parts)


def revive(host: Host) -> None:
    host.world.dead, host.world.killed_at, host.world.fails_number = False, None, None
    host.world.fail_at = ""


def check(host: Host, case: dict, *, was: str, recorded: bool) -> None:
    """Old live or new live, all of it, nothing in between, and the ledger knows."""
    delivery = host.delivery()
    deployment, release = delivery.ledger.live()
    assert delivery.ledger.unfinished() is None
    assert release.sha in ENDS
    assert host.world.live == deployment.colour
    serving = host.world.serving()
    assert {host.world.image(each).sha for each in serving} == {release.sha}
    assert len(serving) == deployment.replicas
    if recorded:
        assert release.sha != was
    other = "green" if deployment.colour == "blue" else "blue"
    for each in host.world.of(other):  # only ever a standby
        assert case["standby"]
        assert delivery.ledger.release(each.release) is not None
    if case["strategy"] != "recreate":
        assert host.world.outages == []


@given(case=cases, kill=st.tuples(st.sampled_from(["before", "after"]), st.integers(1, EVENTS)))
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_killed_anywhere_it_can_be_resumed(hosts, case, kill):
    host = hosts()
    was = prepare(host, case)
    host.world.killed_at = kill
    with suppress(Killed):
        go(host, case)
    revive(host)
    found = host.delivery().ledger.unfinished()
    recorded = bool(found and found[0].outcome == "live")
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case, was=was, recorded=recorded)
    once = (host.world.live, host.world.runs(), len(host.world.events))
    assert host.delivery().resume() is None  # and again: nothing
    assert (host.world.live, host.world.runs(), len(host.world.events)) == once


@given(
    case=cases,
    first=st.tuples(st.sampled_from(["before", "after"]), st.integers(1, EVENTS)),
    second=st.tuples(st.sampled_from(["before", "after"]), st.integers(1, EVENTS)),
)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_resume_that_is_killed_can_be_resumed(hosts, case, first, second):
    host = hosts()
    was = prepare(host, case)
    for kill, begin in ((first, lambda: go(host, case)), (second, lambda: mortal_resume(host))):
        host.world.events.clear()
        host.world.killed_at = kill
        with suppress(Killed):
            begin()
        revive(host)
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case, was=was, recorded=False)


def mortal_resume(host: Host):
    ledger = MortalLedger(host.delivery().state.ledger, host.world)
    return host.delivery(ledger=ledger, traffic=Watched(host.world)).resume()


@given(case=cases, fails=st.integers(1, EVENTS))
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_fails_it_ends_as_old_or_new(hosts, case, fails):
    host = hosts()
    was = prepare(host, case)
    host.world.fails_number = fails
    try:
        outcome = go(host, case)
        failed = outcome.error is not None
    except PipelineError:
        failed = True
    revive(host)
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case, was=was, recorded=False)
    if not case["broken"]:
        assert (host.delivery().ledger.live()[1].sha == was) is failed
    if case["broken"] and not (case["rollback"] and case["standby"]):
        assert host.delivery().ledger.live()[1].sha == was


@given(case=cases, event=st.integers(1, EVENTS))
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_cancel_anywhere_ends_as_old_or_new(hosts, case, event):
    host = hosts()
    was = prepare(host, case)
    happen, cancels = host.world.happen, iter([KeyboardInterrupt()])

    def cancelled(what):
        happen(what)
        if len(host.world.events) >= event:
            for cancel in cancels:
                raise cancel

    host.world.happen = cancelled
    outcome = None
    with suppress(KeyboardInterrupt):  # before there was anything to undo
        outcome = go(host, case)
    host.world.happen = happen
    assert host.delivery().resume() is None  # it was ended at once
    check(host, case, was=was, recorded=False)
    if outcome and outcome.error and not case["broken"]:
        live = outcome.deployment.outcome == "live"
        assert (host.delivery().ledger.live()[1].sha != was) is live
