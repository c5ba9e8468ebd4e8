import io
import json
import os
import signal
import time

import pytest
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from pipeline.errors import (
    LockedError,
    PipelineError,
    ReleaseFailedError,
    UndoFailedError,
    UsageError,
)
from pipeline.view import program, terminal
from pipeline.view.program import Program, command, confirm, interactive, process_started


@pytest.fixture(autouse=True)
def handlers():
    """Tasks take the signals; give them back."""
    before = {each: signal.getsignal(each) for each in (*program._cancels(), signal.SIGHUP)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@task
@command
def deploy(context, *, sha="HEAD", replicas=1, json=False):
    terminal.result(f"{sha} x {replicas}")


def invoke(*argv, does=deploy):
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        Program(namespace=Collection(deploy=does), version="1").run(["invoke", *argv])
    return ended.value.code


def raising(failure):
    @command
    def body(context, *, json=False):
        terminal.result("begun")
        raise failure

    return body


def run(body, **flags):
    with pytest.raises(Exit) as ended:
        body(Context(), **flags)
    return ended.value.code


def test_a_task_gets_its_flags(capsys):
    Program(namespace=Collection(deploy)).run(
        ["invoke", "deploy", "--sha", "x", "--replicas", "2"], exit=False
    )
    assert capsys.readouterr().out == "x x 2\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("nix",), "No idea what 'nix' is"),
        (("deploy", "--nix"), "No idea what '--nix' is"),
        (("--nix",), "No idea what '--nix' is"),
        (("deploy", "--sha"), "needed value"),
        (("deploy", "--replicas", "two"), "'two'"),
        (("deploy", "--replicas="), "''"),
        (("-T", "soon", "deploy"), "'soon'"),
    ],
)
def test_bad_usage_is_exit_2_with_a_next_step_and_no_traceback(argv, says, capsys):
    assert invoke(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert says in error
    assert hint.startswith("next:  `invoke --list`")


@pytest.mark.parametrize(
    "kind", [PipelineError, UsageError, ReleaseFailedError, LockedError, UndoFailedError]
)
def test_an_error_ends_with_its_exit_code_its_cause_and_the_next_step(kind, capsys):
    failure = kind("It broke.", hint="Mend it.", details="one\ntwo")
    assert invoke("deploy", does=task(raising(failure))) == kind.exit_code
    out, err = capsys.readouterr()
    assert out == "begun\n"
    assert err == "  evidence:\n  | one\n  | two\nerror: It broke.\nnext:  Mend it.\n"


def test_an_error_is_the_last_line_of_json(capsys):
    failure = LockedError("It is held.", hint="Wait.")
    assert run(raising(failure), json=True) == 4
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1]) == {"outcome": "failed", "error": failure.as_dict()}
    assert "error: It is held." in err


def test_a_bug_is_not_dressed_up():
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())(Context())


def test_what_goes_well_ends_well():
    assert command(lambda context: None)(Context()) is None


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_cancel_is_exit_1(sign, capsys):
    signal.signal(sign, signal.SIG_DFL)  # whatever we were started by, nohup say

    @command
    def body(context, *, json=False):
        os.kill(os.getpid(), sign)
        pytest.fail("it went on")

    assert run(body, json=True) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "error: Cancelled; nothing was changed.",
        "next:  `invoke status` shows what serves.",
    ]
    assert json.loads(out)["error"]["exit_code"] == 1


def test_what_nohup_asks_for_is_done():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert command(lambda context: os.kill(os.getpid(), signal.SIGHUP))(Context()) is None


def test_a_cancel_is_one_also_in_the_background():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with `command &`
    assert run(command(lambda context: os.kill(os.getpid(), signal.SIGINT))) == 1


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_undoing_is_not_interrupted_by_a_second_signal(second):
    undone = []

    @command
    def body(context):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), second)
            undone.append(second)

    assert run(body) == 1
    assert undone == [second]
    assert signal.getsignal(second) is not signal.SIG_IGN  # which commands would inherit


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ("y\n", True),
        (" YES \n", True),
        ("\n", False),
        ("", False),
        ("n\n", False),
        ("yep\n", False),
    ],
)
def test_a_question(answer, means, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert confirm("Install it?") is means
    assert capsys.readouterr().err == "Install it? [y/N] "


@pytest.mark.parametrize(
    ("stdin", "stderr"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_somebody_is_there_who_sees_the_question_and_can_answer(stdin, stderr, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: stdin, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: stderr, raising=False)
    assert interactive() is (stdin and stderr)


def test_the_process_started_a_while_ago_and_always_at_the_same_time():
    first, second = process_started(), process_started()
    assert 0 < time.monotonic() - first < 3600
    assert abs(first - second) < 0.01
