"""How the tasks of daily work take their words, and what they show."""

import json
import signal
import sys
from types import SimpleNamespace

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

import day_tasks
from pipeline.day import Wanted
from pipeline.engine.attached import Container, Said
from pipeline.view import program
from tests.unit.delivery.conftest import A, Host


@pytest.fixture(autouse=True)
def handlers():
    """Tasks take the signals; give them back."""
    before = {each: signal.getsignal(each) for each in (*program._cancels(), signal.SIGHUP)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def line(service, text, number=1):
    container = Container(
        id=service, service=service, number=number, running=True, release="", env={}
    )
    return Said(container=container, time="", text=text)


@pytest.fixture
def day(monkeypatch):
    """What the tasks call; it notes that, and answers as it is told."""

    class Day:
        code, lines, ends = 0, (), None

        def __init__(self):
            self.asked = []

        def logs(self, wanted, *, follow):
            self.asked.append((wanted, follow))
            yield from self.lines
            if self.ends:
                raise self.ends

        def execute(self, command, *, service, terminal):
            self.asked.append((command, service, terminal))
            return self.code

        def run(self, command, *, terminal):
            self.asked.append((command, terminal))
            return self.code

    day = Day()
    monkeypatch.setattr(day_tasks, "_day", lambda: day)
    return day


@pytest.fixture
def typed(monkeypatch):
    """Type a command line; standard streams are a terminal or not."""

    def typed(*words, terminal=False):
        monkeypatch.setattr(sys, "argv", ["tasks.py", *words])
        monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)

    return typed


def ended(task, **flags):
    with pytest.raises(Exit) as caught:
        task.body(Context(), **flags)
    return caught.value.code


def test_lines_are_shown_with_who_says_them(day, capsys):
    day.lines = [line("db", "one"), line("green", "two", 2), line("db", "three")]
    day_tasks.logs.body(Context(), since="1h", service="db")
    assert capsys.readouterr().out == "db-1 | one\ngreen-2 | two\ndb-1    | three\n"
    assert day.asked == [(Wanted(since="1h", service="db"), False)]


def test_lines_as_they_are(day, capsys):
    day.lines = [line("db", "one")]
    day_tasks.logs.body(Context(), no_prefix=True)
    assert capsys.readouterr().out == "one\n"


def test_a_terminal_gets_colours_of_the_name_alone(day, capsys, typed):
    typed("logs", terminal=True)
    day.lines = [line("green", "one"), line("other", "two")]
    day_tasks.logs.body(Context())
    assert capsys.readouterr().out == "\x1b[32mgreen-1 | \x1b[0mone\n\x1b[33mother-1 | \x1b[0mtwo\n"


def test_ctrl_c_is_how_one_ends_to_follow(day):
    day.ends = KeyboardInterrupt()
    day_tasks.logs.body(Context(), follow=True)
    assert ended(day_tasks.logs) == 1


def test_a_reader_who_has_seen_enough_is_no_error(day, monkeypatch, tmp_path):
    day.ends = BrokenPipeError()
    closed = []
    monkeypatch.setattr(day_tasks.os, "dup2", lambda *descriptors: closed.append(descriptors))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=lambda: 1, isatty=lambda: False))
    day_tasks.logs.body(Context(), follow=True)
    assert closed[0][1] == 1


def test_a_command_is_what_follows_word_by_word(day, typed):
    typed("exec", "--service", "db", "--", "sh", "-c", "a  b", "--", "c")
    day_tasks.exec_.body(Context(), service="db")
    typed("run")
    day_tasks.run_.body(Context())
    assert day.asked == [(["sh", "-c", "a  b", "--", "c"], "db", False), ([], False)]


def test_a_terminal_is_passed_on_unless_it_is_not_wanted(day, typed):
    typed("exec", terminal=True)
    day_tasks.exec_.body(Context())
    day_tasks.exec_.body(Context(), no_tty=True)
    day_tasks.run_.body(Context())
    day_tasks.run_.body(Context(), no_tty=True)
    assert [each[-1] for each in day.asked] == [True, False, True, False]


@pytest.mark.parametrize("code", [1, 3, 127, 137])
def test_the_exit_code_is_the_command_s(day, typed, code):
    typed("exec", "--", "x")
    day.code = code
    assert ended(day_tasks.exec_) == code
    assert ended(day_tasks.run_) == code


@pytest.fixture
def live(host: Host, monkeypatch):
    host.deploy(A)
    host.env["MORE"] = ""
    host.deploy(A)
    monkeypatch.setattr(day_tasks, "_day", lambda: SimpleNamespace(parts=host.delivery()))
    return host


def test_keys_are_shown_and_values_are_not(live, capsys):
    day_tasks.env.body(Context(), json=True)
    first, *keys, last = capsys.readouterr().out.splitlines()
    assert first.startswith("release aaaaaaa-")
    assert [each.split() for each in keys] == [
        ["DB_PASSWORD", "set"],
        ["KEY", "set"],
        ["MORE", "empty"],
    ]
    assert json.loads(last)["sha"] == A


def test_changes_are_shown_by_their_keys(live, capsys):
    first = live.delivery().ledger.lives()[1][1]
    day_tasks.env.body(Context(), diff=first.id)
    assert capsys.readouterr().out.splitlines()[1] == "  added    MORE"
    day_tasks.env.body(Context(), diff=first.id, to=first.id)
    assert capsys.readouterr().out.splitlines()[1] == "  no difference"


def test_a_file_is_good(live, capsys, tmp_path):
    path = tmp_path / "new.env"
    path.write_text("KEY=value\nDB_PASSWORD=another\nKEY=value\n")
    path.chmod(0o600)
    day_tasks.env.body(Context(), check=str(path))
    assert capsys.readouterr().out.splitlines() == [
        "warn  line 3: KEY is also at line 1; this one counts",
        f"compared with the live release {live.delivery().ledger.live()[1].id}:",
        "  removed  MORE",
        "  changed  DB_PASSWORD",
        f"ok    {path}: 2 keys",
    ]


def test_a_file_that_cannot_be_used_is_told_as_every_error(live, capsys, tmp_path):
    path = tmp_path / "new.env"
    path.write_text("bad line\n")
    assert ended(day_tasks.env, check=str(path), json=True) == 2
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["problems"][0].startswith("line 1: ")
    *evidence, error, hint = said.err.splitlines()
    assert any("line 1: that is not KEY=value" in each for each in evidence)
    assert error == f"error: {path} cannot be used as it is."
    assert hint.startswith("next:  ")


@pytest.mark.parametrize(
    "flags", [{"to": "abcd"}, {"check": "x", "diff": "abcd"}, {"check": "x", "to": "abcd"}]
)
def test_flags_that_do_not_go_together(live, flags, capsys):
    assert ended(day_tasks.env, **flags) == 2
    assert "invoke env --diff A --to B" in capsys.readouterr().err


def test_the_real_work_is_wired_from_the_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path))
    assert day_tasks._day().parts.state.folder == tmp_path
