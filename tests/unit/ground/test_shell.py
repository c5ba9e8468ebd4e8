import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline import shell
from pipeline.errors import CommandError
from pipeline.settings import Secret

SENTINEL = "sentinel-secret"
IGNORES_SIGTERM = "trap '' TERM; echo $$; while :; do sleep 0.05; done"


def sh(script, **options):
    return shell.run(["sh", "-c", script], **{"timeout": 10, **options})


@pytest.fixture
def late(monkeypatch):
    """Let the deadline pass when the child has said so many lines, neither sooner nor later."""
    now, missing, skipped = time.monotonic, [], []

    def hear(_line):
        missing.pop()
        if not missing:
            skipped.append(1e6)

    def after(lines):
        missing.extend(range(lines))
        return {"on_line": hear, "timeout": 1e5}

    monkeypatch.setattr(shell.time, "monotonic", lambda: now() + sum(skipped))
    return after


def refused(script, **options):
    with pytest.raises(CommandError) as caught:
        sh(script, **options)
    return caught.value


def runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid):
    """Tell whether the process ends within a moment; signals take one."""
    deadline = time.monotonic() + 30
    while runs(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not runs(pid)


def held():
    """Return our descriptors, with what they are open for, and our threads."""
    found = set(threading.enumerate())
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one of this loop
            found.add((path.name, path.readlink()))
    return found


@pytest.fixture(autouse=True)
def nothing_leaks():
    before = held()
    yield
    assert held() <= before  # what tests before this one have left may end meanwhile


def test_a_result_says_what_happened():
    result = sh("echo out; echo err >&2")
    assert result.argv == ("sh", "-c", "echo out; echo err >&2")
    assert result.code == 0
    assert result.stdout == "out\n"
    assert sorted(result.tail.splitlines()) == ["err", "out"]
    assert 0 < result.seconds < 10


def test_arguments_are_no_shell_text():
    assert shell.run(["printf", "%s|", "$HOME; id", "*"], timeout=5).stdout == "$HOME; id|*|"


def test_a_failure_carries_code_and_last_lines():
    error = refused("seq 100; echo why >&2; exit 3")
    assert error.code == 3
    assert error.exit_code == 1
    assert "failed with exit code 3" in error.message
    assert "why" in error.details
    assert "100" in error.details.splitlines()
    assert len(error.details.splitlines()) == shell.TAIL_LINES


def test_a_failure_that_was_expected():
    assert sh("exit 3", check=False).code == 3
    assert sh("kill -9 $$", check=False).code == -signal.SIGKILL


def test_lines_come_as_they_are_written():
    seen = []
    sh("echo a; echo; printf 'b\\r\\nc\\rd'; printf '\\303' >&2", on_line=seen.append)
    assert sorted(seen) == ["a", "b", "c", "d", "\ufffd"]


def test_output_is_kept_as_it_is():
    assert sh("printf 'a\\r\\n\\n b \\377'").stdout == "a\r\n\n b \ufffd"


def test_much_output_on_both_streams():
    result = sh("seq 50000; seq 50000 >&2")
    assert result.stdout.count("\n") == 50000


def test_there_is_nothing_to_read_by_default():
    assert sh("cat").stdout == ""
    assert sh("cat", stdin="").stdout == ""


@pytest.mark.parametrize("stdin", ["zoë\n", Secret("zoë\n")])
def test_text_for_standard_input(stdin):
    assert sh("cat", stdin=stdin).stdout == "zoë\n"


def test_much_text_for_standard_input():
    text = "line\n" * 100_000
    assert sh("cat", stdin=text).stdout == text


def test_text_that_nobody_reads():
    assert sh("exec <&-; echo done", stdin="x" * 1_000_000).stdout == "done\n"


def test_a_child_that_neither_reads_nor_ends_is_ended():
    error = refused("sleep 30", stdin="x" * 1_000_000, timeout=0.05)
    assert "did not finish within 0.05 s" in error.message


def test_a_child_that_closes_its_streams_and_goes_on_is_ended():
    assert refused("exec >&- 2>&-; sleep 30", timeout=0.05).code is None


def test_a_deadline_ends_the_whole_group(late):
    error = refused("echo begun; sleep 30 & echo $!; echo $$; wait", **late(3))
    begun, grandchild, child = error.details.splitlines()
    assert begun == "begun"
    assert gone(child)
    assert gone(grandchild)
    assert error.code is None


def test_a_child_that_will_not_end_is_killed(late, monkeypatch):
    kill = os.killpg

    def patient(pid, sign):
        # What is killed takes as long as it takes where the machine is busy.
        monkeypatch.setattr(shell, "KILL_GRACE", 30 if sign == signal.SIGKILL else 0.05)
        kill(pid, sign)

    monkeypatch.setattr(shell.os, "killpg", patient)
    assert gone(refused(IGNORES_SIGTERM, **late(1)).details)


def test_a_grandchild_that_will_not_end_is_killed(late):
    script = f'sh -c "{IGNORES_SIGTERM.replace("$", chr(92) + "$")}" & wait'
    assert gone(refused(script, **late(1)).details)


def test_a_cancel_leaves_no_child_behind():
    pids = []

    def cancel(line):
        pids.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sh("echo $$; sleep 30", on_line=cancel)
    assert gone(pids[0])


def test_a_cancel_while_a_child_is_ended_still_kills_it(monkeypatch):
    def cancelled(*_):
        raise KeyboardInterrupt

    killed = []
    monkeypatch.setattr(shell.os, "killpg", lambda _pid, sign: killed.append(sign))
    child = type("Child", (), {"pid": 0, "wait": cancelled})()
    with pytest.raises(KeyboardInterrupt):
        shell._end(child)
    assert killed == [signal.SIGTERM, signal.SIGKILL]


def test_what_a_child_leaves_behind_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(shell, "LINGER", 0.02)
    result = sh("sleep 30 & echo $!")
    os.kill(int(result.stdout), signal.SIGKILL)
    assert result.code == 0
    assert result.seconds < 25


def test_secrets_are_hidden_wherever_something_is_shown(late):
    seen = []
    error = refused(
        f"echo out {SENTINEL}; echo err {SENTINEL} >&2; exit 1",
        secrets=(Secret(SENTINEL),),
        on_line=seen.append,
    )
    assert SENTINEL not in f"{error.as_dict()} {seen}"
    assert sorted(seen) == ["err ***", "out ***"]
    ended = refused(f"echo {SENTINEL}; sleep 30", secrets=(Secret(SENTINEL),), **late(1))
    assert "did not finish" in ended.message
    assert SENTINEL not in str(ended.as_dict())


def test_a_secret_of_several_lines_is_hidden_line_by_line():
    secret = Secret("first-half\nother-half")
    assert sh("cat", stdin=secret, secrets=(secret,)).tail == "***\n***"


def test_standard_output_is_what_the_child_said():
    assert sh(f"echo {SENTINEL}", secrets=(Secret(SENTINEL),)).stdout == f"{SENTINEL}\n"


def test_a_child_does_not_see_the_pipeline_s_secrets(monkeypatch):
    for name in ("ENV_FILE", "CODECOV_TOKEN", "PIPELINE_REGISTRY_PASSWORD"):
        monkeypatch.setenv(name, SENTINEL)
    monkeypatch.setenv("PIPELINE_PORT", "1")
    environment = sh("env", env={"MORE": "2"}).stdout
    assert SENTINEL not in environment
    assert {"PIPELINE_PORT=1", "MORE=2"} <= set(environment.splitlines())


def test_a_child_inherits_at_most_what_is_named(monkeypatch):
    monkeypatch.setenv("POSTGRES_PASSWORD", SENTINEL)
    lines = sh("env", env={"MORE": "2"}, inherit=re.compile("PATH|MORE")).stdout.splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "MORE"} <= names <= {"PATH", "MORE", "PWD", "SHLVL", "_", "OLDPWD"}


def test_a_secret_that_is_handed_over_on_purpose(monkeypatch):
    monkeypatch.setenv("CODECOV_TOKEN", SENTINEL)
    assert sh("echo $CODECOV_TOKEN", env={"CODECOV_TOKEN": "t"}).stdout == "t\n"


def test_a_working_directory(tmp_path):
    assert sh("pwd -P", cwd=tmp_path).stdout == f"{tmp_path.resolve()}\n"


def test_what_is_not_installed():
    with pytest.raises(CommandError, match="`nix-da` is not installed or not on PATH") as caught:
        shell.run(["nix-da", "x"], timeout=1)
    assert caught.value.code is None


def test_what_may_not_be_run(tmp_path):
    (tmp_path / "file").write_text("#!/bin/sh\n")
    with pytest.raises(CommandError, match="file` may not be run by this user"):
        shell.run([str(tmp_path / "file")], timeout=1)


def test_what_is_no_program(tmp_path):
    program = tmp_path / "program"
    program.write_text("not a program")
    program.chmod(0o755)
    with pytest.raises(CommandError, match=r"could not be started: .*Exec format error"):
        shell.run([str(program)], timeout=1)


def test_a_working_directory_that_is_not_there(tmp_path):
    with pytest.raises(CommandError, match=r"`sh` could not be started: .*nix"):
        sh("true", cwd=tmp_path / "nix")


def test_a_daemon_outlives_the_call_in_a_session_of_its_own(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    pid = shell.spawn(["sleep", "30"], log=log)
    try:
        assert runs(pid)
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert log.read_text() == "before\n"


def test_a_daemon_writes_both_streams_to_the_log(tmp_path):
    pid = shell.spawn(["sh", "-c", "echo out; echo err >&2; env"], log=tmp_path / "log")
    os.waitpid(pid, 0)
    assert {"out", "err"} <= set((tmp_path / "log").read_text().splitlines())


def test_a_daemon_that_is_not_installed(tmp_path):
    with pytest.raises(CommandError, match="`nix-da` is not installed"):
        shell.spawn(["nix-da"], log=tmp_path / "log")


def test_a_daemon_whose_log_cannot_be_written(tmp_path):
    with pytest.raises(CommandError, match=r"`sh` could not be started: .*nix/log"):
        shell.spawn(["sh"], log=tmp_path / "nix/log")
