"""Whatever fails, and wherever it is killed: the old release is live, or the new one is.

Random deployments over the fakes, whose world ends at a random event (`kill -9`), or in which
one fails, or a cancel comes. Afterwards `resume` must lead to one of two ends, and nothing else.
"""

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.plan.strategies import STRATEGIES
from pipeline.release.ledger import Ledger
from tests.fakes import FakeTraffic, Killed
from tests.unit.delivery.conftest import A, B, Host, new_host

ENDS = {A, B}
LONGEST = {  # events of the longest deployment, by strategy and whether what is new is broken
    ("blue-green", False): 7,
    ("blue-green", True): 6,
    ("rolling", False): 21,
    ("rolling", True): 6,
    ("recreate", False): 8,
    ("recreate", True): 10,
}
MANY = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@dataclass(frozen=True)
class Case:
    """A deployment of B beside A; or a rollback to A, where B is live."""

    strategy: str
    before: int  # containers of what is live
    replicas: int
    standby: bool
    rollback: bool
    broken: bool

    @property
    def was(self) -> str:
        return B if self.rollback else A

    @property
    def new(self) -> str:
        return A if self.rollback else B

    def event(self, moment: int) -> int:
        """Return the number of an event that this case very likely has."""
        return 1 + moment % LONGEST[self.strategy, self.broken]


cases = st.builds(
    Case,
    strategy=st.sampled_from(STRATEGIES),
    before=st.integers(1, 3),
    replicas=st.integers(1, 3),
    standby=st.booleans(),
    rollback=st.booleans(),
    broken=st.booleans(),
)
moments = st.integers(0, 359)  # a multiple of each number in LONGEST: fair to every event
sides = st.sampled_from(["before", "after"])


class Hosts:
    """Hosts for any number of cases: each is made once, and brought back to how it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready: dict[tuple, tuple[Host, dict[Path, bytes]]] = {}

    def host(self, case: Case) -> Host:
        """Return a host on which A is live (and, for a rollback to it, B)."""
        key = (case.before, case.standby, case.rollback)
        if key not in self.ready:
            made = self._make(*key)
            self.ready[key] = made, {path: path.read_bytes() for path in files(made.folder)}
        made, contents = self.ready[key]
        for path in set(files(made.folder)) - contents.keys():
            path.unlink()
        for path, content in contents.items():
            path.write_bytes(content)
        settings = replace(made.settings, replicas=case.replicas, strategy=case.strategy)
        host = Host(world=deepcopy(made.world), folder=made.folder, settings=settings)
        if case.broken:
            host.break_image(case.new, sha=case.new, exits=1)
        return host

    def _make(self, before: int, standby: bool, rollback: bool) -> Host:
        host = new_host(self.folder / f"{before}-{standby}-{rollback}")
        host.folder.mkdir()
        host.settings = replace(
            host.settings,
            replicas=before,
            strategy="blue-green",
            standby=3600.0 if standby else 0.0,
            stability_window=0.0,
        )
        assert host.deploy(A).error is None
        if rollback:
            assert host.deploy(B).error is None
        host.world.events.clear()
        host.world.outages = []
        return host


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def all_hosts(tmp_path_factory):
    return Hosts(tmp_path_factory.mktemp("hosts"))


@pytest.fixture
def hosts(all_hosts, lenient):
    return all_hosts


def go(host: Host, case: Case, **changes):
    parts = {
        "ledger": MortalLedger(host.delivery().state.ledger, host.world),
        "traffic": Watched(host.world),
    } | changes
    return host.rollback(**parts) if case.rollback else host.deploy(B, **parts)


def revive(host: Host) -> None:
    host.world.dead, host.world.killed_at, host.world.fails_number = False, None, None
    host.world.fail_at = ""


def check(host: Host, case: Case, *, recorded: bool = False) -> None:
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
        assert release.sha != case.was
    other = "green" if deployment.colour == "blue" else "blue"
    for each in host.world.of(other):  # only ever a standby
        assert case.standby
        assert delivery.ledger.release(each.release) is not None
    if case.strategy != "recreate":
        assert host.world.outages == []


@pytest.mark.parametrize(("strategy", "broken"), LONGEST)
def test_every_event_can_be_the_one(hosts, strategy, broken):
    case = Case(strategy, 3, 3, standby=broken, rollback=True, broken=broken)
    host = hosts.host(case)
    go(host, case)
    assert len(host.world.events) == LONGEST[strategy, broken]


@given(case=cases, kill=st.tuples(sides, moments))
@MANY
def test_killed_anywhere_it_can_be_resumed(hosts, case, kill):
    host = hosts.host(case)
    host.world.killed_at = (kill[0], case.event(kill[1]))
    with suppress(Killed):
        go(host, case)
    revive(host)
    found = host.delivery().ledger.unfinished()
    recorded = bool(found and found[0].outcome == "live")
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case, recorded=recorded)
    once = (host.world.live, host.world.runs(), len(host.world.events))
    assert host.delivery().resume() is None  # and again: nothing
    assert (host.world.live, host.world.runs(), len(host.world.events)) == once


@given(
    case=cases,
    first=st.tuples(sides, moments),
    second=st.tuples(sides, st.integers(1, 5)),  # no resume here has more events
)
@MANY
def test_a_resume_that_is_killed_can_be_resumed(hosts, case, first, second):
    host = hosts.host(case)
    first = (first[0], case.event(first[1]))
    for kill, begin in ((first, lambda: go(host, case)), (second, lambda: mortal_resume(host))):
        host.world.events.clear()
        host.world.killed_at = kill
        with suppress(Killed):
            begin()
        revive(host)
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case)


def mortal_resume(host: Host):
    ledger = MortalLedger(host.delivery().state.ledger, host.world)
    return host.delivery(ledger=ledger, traffic=Watched(host.world)).resume()


@given(case=cases, moment=moments)
@MANY
def test_whatever_fails_it_ends_as_old_or_new(hosts, case, moment):
    host = hosts.host(case)
    host.world.fails_number = case.event(moment)
    try:
        outcome = go(host, case)
        failed = outcome.error is not None
    except PipelineError:
        failed = True
    revive(host)
    host.delivery(traffic=Watched(host.world)).resume()
    check(host, case)
    if not case.broken:
        assert (host.delivery().ledger.live()[1].sha == case.was) is failed
    if case.broken and not (case.rollback and case.standby):
        assert host.delivery().ledger.live()[1].sha == case.was


@given(case=cases, moment=moments)
@MANY
def test_a_cancel_anywhere_ends_as_old_or_new(hosts, case, moment):
    host = hosts.host(case)
    event = case.event(moment)
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
    check(host, case)
    if outcome and outcome.error and not case.broken:
        live = outcome.deployment.outcome == "live"
        assert (host.delivery().ledger.live()[1].sha != case.was) is live
