"""Logs come by the frame, are followed through restarts; commands get our streams and signals."""

import threading
import time
from pathlib import Path

import pytest
from docker.errors import APIError, NotFound
from requests.exceptions import ConnectionError as NoConnection

from pipeline import shell
from pipeline.engine import attached
from pipeline.engine.attached import Attached, Container
from pipeline.errors import CommandError, EngineError
from tests.unit.engine.conftest import COMPOSE, Api, container

BLUE = Container(id="1", service="blue", number=1, running=True, release="r", env={})
T = "2026-01-01T00:00:0{}.000000000Z "


def frames(*texts):
    """Return frames as the engine sends them, one second after the other."""
    return [f"{T.format(second)}{text}".encode() for second, text in enumerate(texts)]


def inspected(number, *, running=True):
    labels = {
        "com.docker.compose.service": "blue",
        "com.docker.compose.container-number": number,
        "pipeline.release": "abc-1",
    }
    return {
        "Id": number,
        "State": {"Running": running},
        "Config": {"Labels": labels, "Env": ["KEY=a=b", "EMPTY="]},
    }


def of(api):
    engine = Attached("app")
    engine._connected = api
    return engine


def said(*texts, **asked):
    api = Api(container("1", "blue"), logs=lambda _: frames(*texts))
    found = of(api).said([BLUE], **{"lines": None, "since": None, **asked})
    return [each.text for each in found], api.calls


def test_containers_by_service_and_number():
    api = Api(
        container("2", "blue"),
        container("1", "blue"),
        container("3", "green"),
        container("4", "blue", **{"com.docker.compose.oneoff": "True"}),
        inspect_container=inspected,
    )
    found = of(api).containers("blue")
    assert [each.name for each in found] == ["blue-1", "blue-2"]
    assert found[0].release == "abc-1"
    assert found[0].env == {"KEY": "a=b", "EMPTY": ""}
    assert "a=b" not in repr(found[0])


def test_a_container_that_is_gone_meanwhile_is_none():
    api = Api(container("1", "blue"), inspect_container=lambda _: NotFound("gone"))
    assert of(api).containers("blue") == []


def test_services_that_have_containers():
    api = Api(container("1", "blue"), container("2", "db"), container("3", "blue"))
    assert of(api).services() == {"blue", "db"}


def test_lines_are_without_the_engine_s_time():
    texts, calls = said("one\n", "two  \r\n", "\n", "last")
    assert texts == ["one", "two  ", "", "last"]
    asked = {"stream": True, "follow": False, "timestamps": True, "tail": "all", "since": None}
    assert calls == [("logs", "1", asked)]


def test_what_is_asked_of_the_engine():
    _, calls = said(lines=0, since=5.5)
    assert calls[0][2]["tail"] == 0
    assert calls[0][2]["since"] == 5.5


def test_a_long_line_comes_in_several_frames():
    assert said("be", "g", "un\n", "next\n")[0] == ["begun", "next"]


def test_a_line_without_an_end_is_cut(monkeypatch):
    monkeypatch.setattr(attached, "LONGEST", 3)
    assert said("aaaa", "bb", "bb", "c")[0] == ["aaaa", "bbbb", "c"]


def test_bytes_that_are_no_text():
    api = Api(container("1", "blue"), logs=lambda _: [T.format(1).encode() + b"\xff\n"])
    (line,) = of(api).said([BLUE], lines=None, since=None)
    assert line.text == "\ufffd"


def test_several_containers_speak_in_the_order_of_time():
    texts = {"1": frames("first\n", "third\n"), "2": frames("second\n")}
    texts["2"] = [b"2026-01-01T00:00:00.500000000Z second\n"]
    api = Api(logs=lambda each: texts[each])
    two = Container(**{**vars(BLUE), "id": "2", "number": 2})
    found = of(api).said([two, BLUE], lines=None, since=None)
    assert [each.text for each in found] == ["first", "second", "third"]


def test_logs_that_the_engine_does_not_have():
    refusal = APIError("the logging driver does not support reading")
    with pytest.raises(EngineError, match="does not support reading"):
        of(Api(logs=lambda _: refusal)).said([BLUE], lines=None, since=None)
    assert of(Api(logs=lambda _: NotFound("gone"))).said([BLUE], lines=1, since=None) == []


class Live:
    """An engine whose containers speak when a test says so."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(attached, "LOOK", 0.01)
        self.log, self.running, self.there, self.asked = [], True, ["1"], []
        self.ended, self.trouble = threading.Event(), None

    @property
    def api(self):
        return self

    def containers(self, **_):
        return [container(each, "blue") for each in self.there]

    def inspect_container(self, number):
        return inspected(number, running=self.running)

    def logs(self, number, *, follow, since, **_):
        self.asked.append((number, follow, since))
        if self.trouble and follow:
            raise self.trouble
        sent = [] if follow else list(self.log)
        yield from sent
        while follow and not self.ended.is_set():
            for each in self.log[len(sent) :]:
                sent.append(each)
                yield each
            time.sleep(0.001)


@pytest.fixture
def live(monkeypatch):
    live = Live(monkeypatch)
    yield live
    live.ended.set()
    for each in threading.enumerate():
        if each.daemon and each is not threading.current_thread() and each.name.endswith("listen)"):
            each.join(5)


def follow(live, wanted=lambda: ("blue",)):
    return of(live).follow(wanted, lines=10, since=None)


def test_what_was_said_comes_first_and_once(live):
    live.log = frames("one\n", "two\n")
    lines = follow(live)
    assert [next(lines).text for _ in range(2)] == ["one", "two"]
    live.log = frames("one\n", "two\n", "three\n")
    assert next(lines).text == "three"
    assert live.asked[0] == ("1", False, None)
    assert live.asked[1] == ("1", True, 1767225601.0)  # from the last line on


def test_a_container_that_was_started_again_is_heard_again(live):
    lines = follow(live)
    live.log = frames("one\n")
    assert next(lines).text == "one"
    ended, live.ended = live.ended, threading.Event()
    ended.set()
    live.log = frames("one\n", "two\n")
    assert next(lines).text == "two"


def test_one_that_has_ended_is_heard_to_its_end_and_left_alone(live):
    live.log, live.running = frames("last\n"), False
    live.ended.set()
    lines = follow(live)
    assert next(lines).text == "last"
    wants = iter([("blue",), ("blue",), ("blue",), KeyboardInterrupt])
    asked = len(live.asked)

    def wanted():
        want = next(wants)
        if want is KeyboardInterrupt:
            raise KeyboardInterrupt
        return want

    with pytest.raises(KeyboardInterrupt):
        list(follow(live, wanted))
    assert len(live.asked) == asked + 2  # what was said, and once what is


def test_an_engine_that_is_away_for_a_while_is_listened_to_again(live):
    live.log = frames("before\n")
    lines = follow(live)
    assert next(lines).text == "before"
    live.trouble = NoConnection("it restarts")
    live.log = frames("before\n", "back\n")
    threading.Timer(0.05, lambda: setattr(live, "trouble", None)).start()
    assert next(lines).text == "back"
    assert len(live.asked) > 2


@pytest.fixture
def attaches(monkeypatch):
    """What is attached, and what the engine is told meanwhile; `code` is how that ends."""

    class Attaches:
        code, told_code, signals = 0, 0, ()

        def __init__(self):
            self.argv, self.how, self.told, self.delivered = (), {}, [], []

        def attach(self, argv, *, deliver, **how):
            self.argv, self.how = tuple(argv), how
            self.delivered = [deliver(number) for number in self.signals]
            return self.code

        def run(self, argv, *, timeout, inherit, check):
            self.told.append(tuple(argv))
            if isinstance(self.told_code, Exception):
                raise self.told_code
            return shell.Result(argv=argv, code=self.told_code, stdout="", tail="", seconds=0)

    attaches = Attaches()
    monkeypatch.setattr(shell, "attach", attaches.attach)
    monkeypatch.setattr(shell, "run", attaches.run)
    return attaches


def test_a_command_in_a_container(attaches):
    attaches.code = 3
    assert Attached("app").execute(BLUE, ["ls", "-l", "a b"], terminal=False) == 3
    mark = attaches.argv[4]
    assert attaches.argv == (
        "docker",
        "exec",
        "--interactive",
        "--env",
        mark,
        "1",
        "ls",
        "-l",
        "a b",
    )
    assert mark.startswith("PIPELINE_EXEC=")
    assert attaches.how["apart"]
    assert attaches.told == []


def test_with_a_terminal_keys_are_the_command_s(attaches):
    Attached("app").execute(BLUE, ["sh"], terminal=True)
    assert attaches.argv[:4] == ("docker", "exec", "--interactive", "--tty")
    assert not attaches.how["apart"]


def test_what_talks_to_people_sees_their_terminal_and_nothing_else(attaches, a_bundle):
    Attached("app").once(a_bundle, "blue", ["id"], terminal=True)
    inherit = attaches.how["inherit"]
    assert all(map(inherit.fullmatch, ("PATH", "DOCKER_HOST", "TERM", "LC_ALL")))
    assert not any(map(inherit.fullmatch, ("POSTGRES_PASSWORD", "COMPOSE_FILE", "ENV_FILE")))


def test_a_signal_reaches_what_was_started_in_the_container(attaches):
    attaches.signals = (15,)
    Attached("app").execute(BLUE, ["sleep", "9"], terminal=False)
    assert attaches.delivered == [True]
    ((*start, script, name, mark, number),) = attaches.told
    assert start == ["docker", "exec", "1", "sh", "-c"]
    assert (name, mark, number) == ("sh", attaches.argv[4], "15")
    assert "environ" in script


@pytest.mark.parametrize("trouble", [1, CommandError("docker does not answer")])
def test_a_signal_that_cannot_be_delivered_is_docker_s(attaches, trouble, a_bundle):
    attaches.signals, attaches.told_code = (2,), trouble
    Attached("app").execute(BLUE, ["sleep", "9"], terminal=False)
    assert attaches.delivered == [False]
    Attached("app").once(a_bundle, "blue", ["sleep", "9"], terminal=False)
    assert attaches.delivered == [False]


def test_a_container_for_one_command(attaches, a_bundle):
    attaches.code, attaches.signals = 4, (15,)
    code = Attached("app").once(a_bundle, "green", ["manage", "a b"], terminal=False)
    assert code == 4
    name = attaches.argv[attaches.argv.index("--name") + 1]
    assert name.startswith("app-run-")
    assert attaches.argv == (
        *COMPOSE,
        *("--progress", "quiet", "run", "--rm", "--no-deps", "--no-TTY", "--name", name),
        *("--label", "pipeline.run=true", "green", "manage", "a b"),
    )
    assert attaches.how["env"] == a_bundle.variables
    assert attaches.how["apart"]
    assert attaches.told == [
        ("docker", "kill", "--signal", "15", name),
        ("docker", "rm", "--force", "--volumes", name),
    ]


def test_with_a_terminal_compose_makes_one(attaches, a_bundle):
    Attached("app").once(a_bundle, "green", ["sh"], terminal=True)
    assert "--no-TTY" not in attaches.argv
    assert not attaches.how["apart"]


def test_the_signal_finds_what_has_the_mark_and_what_that_has_started(tmp_path: Path):
    """The script that Docker is given, in processes of this machine's."""
    mark = "PIPELINE_EXEC=0123456789"
    ours = shell.spawn(
        ["sh", "-c", "trap 'echo ended; exit' TERM; sleep 60 & echo ready; wait"],
        log=tmp_path / "log",
        env={"PIPELINE_EXEC": "0123456789"},
    )
    others = shell.spawn(["sleep", "60"], log=tmp_path / "other")
    deadline = time.monotonic() + 10
    while "ready" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    result = shell.run(["sh", "-c", attached._SIGNAL, "sh", mark, "15"], timeout=10)
    assert result.code == 0
    while "ended" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "ended" in (tmp_path / "log").read_text()
    assert Path(f"/proc/{others}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    shell.run(["kill", str(others)], timeout=10)
    assert ours != others
