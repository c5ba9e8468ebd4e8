import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import LockedError, UnavailableError
from pipeline.release import lock

HOLD = """
import sys
from pathlib import Path
from pipeline.release import lock
with lock.hold(Path(sys.argv[1]), command="deploy --sha abc"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(path):
    """Hold the lock in another process; leaving the block ends it in good order."""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with child:
        assert child.stdout.readline() == "held\n"
        yield child


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_who_holds_it_is_known_while_it_is_held(path):
    with lock.hold(path, command="rollback"):
        found = lock.holder(path)
    assert (found["pid"], found["command"]) == (os.getpid(), "rollback")
    assert found["since"].endswith("+00:00")


def test_nobody_holds_it_afterwards(path):
    with lock.hold(path, command="first"):
        pass
    assert lock.holder(path) is None
    assert path.read_bytes() == b""
    with lock.hold(path, command="second"):
        assert lock.holder(path)["command"] == "second"


def test_a_failure_lets_go_of_it(path):
    with pytest.raises(OSError, match="of the body"), lock.hold(path, command="x"):
        raise OSError("of the body")
    with lock.hold(path, command="y"):
        pass


def test_looking_makes_no_file(path):
    assert lock.holder(path) is None
    assert not path.exists()


def test_another_process_is_turned_away_and_told_who_is_there(path):
    with another_process(path) as child:
        assert lock.holder(path)["pid"] == child.pid
        with pytest.raises(LockedError) as caught, lock.hold(path, command="mine"):
            pytest.fail("two at once")
        assert caught.value.exit_code == 4
        assert f"`deploy --sha abc`, process {child.pid}, since 20" in caught.value.message
        assert "--wait" in caught.value.hint
        assert lock.holder(path)["command"] == "deploy --sha abc"
    with lock.hold(path, command="mine"):
        assert lock.holder(path)["pid"] == os.getpid()


def test_a_killed_holder_leaves_nothing_to_clean_up(path):
    with another_process(path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert json.loads(path.read_bytes())["pid"] == child.pid
        assert lock.holder(path) is None
        with lock.hold(path, command="next"):
            assert lock.holder(path)["command"] == "next"


def test_children_of_the_holder_do_not_hold_it(path):
    with lock.hold(path, command="x"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with lock.hold(path, command="y"):
            pass
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"5", b"\xff"])
def test_a_holder_that_has_not_yet_written_who_it_is(content, path):
    with path.open("w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.write_bytes(content)
        assert lock.holder(path) is None
        with (
            pytest.raises(LockedError, match=r"`unknown`, process \?, since \?"),
            lock.hold(path, command="x"),
        ):
            pytest.fail("two at once")


def test_other_locks_are_not_ours(path, tmp_path, monkeypatch):
    path.write_text(json.dumps({"pid": 7, "command": "x", "since": "now"}))
    inode = path.stat().st_ino
    table = tmp_path / "locks"
    monkeypatch.setattr(lock, "KERNEL_TABLE", table)
    table.write_text(
        f"1: POSIX  ADVISORY  WRITE 7 fe:00:{inode} 0 EOF\n"
        f"1: -> FLOCK  ADVISORY  WRITE 8 fe:00:{inode} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 7 fe:00:1{inode} 0 EOF\n"
    )
    assert lock.holder(path) is None
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 7 00:2f:{inode} 0 EOF\n")
    assert lock.holder(path)["command"] == "x"


def test_a_folder_that_is_not_there(tmp_path):
    with (
        pytest.raises(UnavailableError, match="cannot be used: No such file") as caught,
        lock.hold(tmp_path / "nix/lock", command="x"),
    ):
        pytest.fail("held")
    assert caught.value.exit_code == 1


def test_a_full_disk_is_told_and_lets_go_of_it(path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock.json, "dumps", full)
    with (
        pytest.raises(UnavailableError, match="No space left on device"),
        lock.hold(path, command="x"),
    ):
        pytest.fail("held")
    monkeypatch.undo()
    with lock.hold(path, command="y"):
        pass


def test_it_is_waited_for_as_long_as_asked(path):
    with another_process(path) as child:
        told = []

        def report(text):
            told.append(text)
            child.stdin.close()  # which ends it

        with lock.hold(path, command="mine", wait=30, report=report):
            assert told == [f"waiting for `deploy --sha abc`, process {child.pid}"]
            assert lock.holder(path)["pid"] == os.getpid()


def test_a_wait_has_an_end(path):
    with (
        another_process(path),
        pytest.raises(LockedError),
        lock.hold(path, command="mine", wait=0.05),
    ):
        pytest.fail("two at once")


def test_a_command_that_outlives_its_killed_holder_keeps_others_out(path):
    """As a `docker compose` does after a `kill -9` of its deployment."""
    program = f"""
import os, signal
from pathlib import Path
from pipeline import shell
from pipeline.release import lock
with lock.hold(Path({str(path)!r}), command="deploy --sha abc"):
    shell.run(
        ["sh", "-c", "echo $$; exec sleep 60"],
        timeout=60,
        on_line=lambda pid: (print(pid, flush=True), os.kill(os.getpid(), signal.SIGKILL)),
    )
"""
    killed = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    orphan = int(killed.stdout)
    try:
        with (
            pytest.raises(LockedError, match="what it started still works"),
            lock.hold(path, command="mine"),
        ):
            pytest.fail("two at once")
    finally:
        os.kill(orphan, signal.SIGKILL)
    with lock.hold(path, command="mine", wait=5):
        pass
