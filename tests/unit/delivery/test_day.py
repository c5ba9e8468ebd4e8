"""Whose logs are shown, what is hidden in them, and in which container a command runs."""

import time
from dataclasses import dataclass, field

import pytest

from pipeline.day import Day, Wanted
from pipeline.engine.attached import Container, Said
from pipeline.errors import PipelineError, UsageError
from pipeline.ports import Bundle
from tests.unit.delivery.conftest import A, B, Host

NOW = 1_700_000_000.0


def container(service, number=1, *, running=True, **env):
    return Container(
        id=f"{service}{number}",
        service=service,
        number=number,
        running=running,
        release="",
        env=env,
    )


@dataclass
class Containers:
    """Stands for the engine; notes what it is asked."""

    there: list[Container]
    lines: list[str] = field(default_factory=list)
    asked: list[tuple] = field(default_factory=list)
    code: int = 0

    def services(self):
        return {each.service for each in self.there}

    def containers(self, *services):
        return [each for each in self.there if each.service in services]

    def said(self, containers, *, lines, since):
        self.asked.append((sorted(each.name for each in containers), lines, since))
        return [Said(container=containers[0], time="", text=line) for line in self.lines]

    def follow(self, wanted, *, lines, since):
        self.asked.append(("follow", lines, since))
        for line in self.lines:
            (service, *_) = wanted() or ("nobody",)
            yield Said(container=container(service), time="", text=line)

    def execute(self, container, command, *, terminal):
        self.asked.append((container.name, tuple(command), terminal))
        return self.code

    def once(self, bundle: Bundle, service, command, *, terminal):
        release = bundle.variables["PIPELINE_RELEASE"]
        self.asked.append((release[:7], service, tuple(command), terminal))
        return self.code


@pytest.fixture
def containers():
    return Containers(
        [container("blue"), container("blue", 2), container("db"), container("proxy")]
    )


@pytest.fixture
def day(host: Host, containers, monkeypatch):
    """A is live, as blue, with two replicas."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    host.deploy(A)
    return Day(parts=host.delivery(), containers=containers)


def texts(said):
    return [each.text for each in said]


def refused(call, code=2):
    with pytest.raises(PipelineError) as caught:
        call()
    assert caught.value.exit_code == code
    assert caught.value.hint
    return caught.value.message


def test_the_logs_of_what_is_live(day, containers):
    containers.lines = ["one", "two"]
    assert texts(day.logs(Wanted())) == ["one", "two"]
    assert containers.asked == [(["blue-1", "blue-2"], 100, None)]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"colour": "both"}, ["blue-1", "blue-2"]),
        ({"service": "db"}, ["db-1"]),
        ({"service": "blue"}, ["blue-1", "blue-2"]),
    ],
)
def test_the_logs_of_somebody_else(day, containers, wanted, names):
    day.logs(Wanted(**wanted))
    assert containers.asked[0][0] == names


@pytest.mark.parametrize(
    ("wanted", "lines", "since"),
    [
        ({"lines": "0"}, 0, None),
        ({"since": "90s"}, None, NOW - 90),
        ({"since": "1h30m", "lines": "5"}, 5, NOW - 5400),
        ({"since": "2w1d"}, None, NOW - 15 * 86400),
        ({"since": "999999999w"}, None, 1.0),
        ({"since": "2023-11-14T22:13:00Z"}, None, 1_699_999_980.0),
        ({"since": "2023-11-14T23:13:00.5+01:00"}, None, 1_699_999_980.5),
        ({"since": "0001-01-02T00:00:00Z"}, None, 1.0),
        ({"grep": "x"}, None, None),
        ({"grep": "x", "lines": "7"}, 7, None),
    ],
)
def test_how_much_is_shown(day, containers, wanted, lines, since):
    day.logs(Wanted(**wanted))
    assert containers.asked[0][1:] == (lines, since)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"colour": "red"}, "'red' is no colour"),
        ({"colour": ""}, "'' is no colour"),
        ({"service": "nix"}, "no service 'nix'"),
        ({"service": "-v"}, "no service '-v'"),
        ({"service": "db", "colour": "blue"}, "--colour and --service"),
        ({"grep": "("}, "no regular expression"),
        ({"since": "yesterday"}, "neither an age nor a time"),
        ({"since": "10"}, "neither an age nor a time"),
        ({"since": ""}, "neither an age nor a time"),
        ({"lines": "-1"}, "is not between"),
        ({"lines": "many"}, "is not a whole number"),
    ],
)
@pytest.mark.parametrize("follow", [False, True])
def test_what_is_malformed_is_refused_before_anything_is_asked(
    host, containers, wanted, message, follow
):
    day = Day(parts=host.delivery(), containers=containers)  # not even whether something is live
    assert message in refused(lambda: day.logs(Wanted(**wanted), follow=follow))


def test_the_services_that_there_are_are_named(day):
    with pytest.raises(UsageError) as caught:
        day.logs(Wanted(service="nix"))
    assert caught.value.hint == "These have containers: blue, db, proxy."


def test_a_colour_without_containers(day):
    assert "No container of green is there" in refused(
        lambda: day.logs(Wanted(colour="green")), code=1
    )


def test_secrets_are_hidden_before_anybody_searches(day, containers):
    containers.there = [container("blue", API_TOKEN="of-the-container", PLAIN="plain")]
    containers.lines = [
        "of-the-container",
        "DB_PASSWORD is sentinel-secret",
        "plain text",
    ]
    assert texts(day.logs(Wanted())) == ["***", "DB_PASSWORD is ***", "plain text"]
    assert texts(day.logs(Wanted(grep="sentinel"))) == []
    assert texts(day.logs(Wanted(grep=r"is \*+$"))) == ["DB_PASSWORD is ***"]


def test_a_release_that_nobody_knows_hides_what_its_container_tells(day, containers):
    (stranger,) = [container("blue", MY_KEY="own-secret")]
    containers.there = [Container(**{**vars(stranger), "release": "fffffff-00000000"})]
    containers.lines = ["own-secret"]
    assert texts(day.logs(Wanted())) == ["***"]


def test_whoever_follows_goes_along_with_a_cutover(day, containers, host):
    containers.lines = ["one", "two"]
    said = day.logs(Wanted(lines="3"), follow=True)
    assert next(said).container.service == "blue"
    host.deploy(B)
    assert next(said).container.service == "green"
    assert containers.asked == [("follow", 3, None)]


def test_while_replicas_are_exchanged_both_colours_are_live(day, containers, host):
    host.world.live = "both"
    containers.there.append(container("green"))
    day.logs(Wanted())
    assert containers.asked[0][0] == ["blue-1", "blue-2", "green-1"]


@pytest.mark.parametrize(
    "call",
    [
        lambda day: day.logs(Wanted()),
        lambda day: day.logs(Wanted(), follow=True),
        lambda day: day.execute([], service=None, terminal=False),
        lambda day: day.run([], terminal=False),
    ],
)
def test_nothing_is_live(host, containers, call):
    day = Day(parts=host.delivery(), containers=containers)
    assert refused(lambda: call(day), code=1) == "Nothing is live."


def test_a_command_runs_in_the_first_replica_that_runs(day, containers):
    containers.code = 3
    assert day.execute(["ls", "a b"], service=None, terminal=True) == 3
    containers.there[0] = container("blue", running=False)
    day.execute([], service=None, terminal=False)
    day.execute(["id"], service="db", terminal=False)
    assert containers.asked == [
        ("blue-1", ("ls", "a b"), True),
        ("blue-2", ("sh",), False),
        ("db-1", ("id",), False),
    ]


def test_a_command_needs_a_container_that_runs(day, containers):
    containers.there = [container("blue", running=False)]
    message = refused(lambda: day.execute(["id"], service=None, terminal=False), code=1)
    assert message == "No container of blue runs."
    assert "no service 'db'" in refused(lambda: day.execute(["id"], service="db", terminal=False))


def test_a_container_for_one_command_is_the_live_release_s(day, containers, host):
    containers.code = 4
    assert day.run(["manage", "x"], terminal=False) == 4
    host.deploy(B)
    day.run([], terminal=True)
    assert containers.asked == [
        (A[:7], "blue", ("manage", "x"), False),
        (B[:7], "green", ("sh",), True),
    ]


def test_where_no_replica_tells_the_ledger_does(day, containers, host):
    host.world.containers["blue"] = []
    day.run(["id"], terminal=False)
    assert containers.asked == [(A[:7], "blue", ("id",), False)]


def test_the_real_parts_are_wired_from_the_settings(host):
    day = Day.of(host.settings, report=host.said.append, started=0.0)
    assert refused(lambda: day.run([], terminal=False), code=1) == "Nothing is live."
