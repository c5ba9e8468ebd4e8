"""The other end by itself: checkouts that come and go, and commands that nobody waits for."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from pipeline.ssh.connection import LOADER, _line
from tests.unit.remote.conftest import APP, git

ROOT = Path(__file__).resolve().parents[3]
WAITS = """#!/bin/sh
trap 'echo undone; echo undone >"$HOME/undone"; exit 3' TERM
echo started >"$HOME/started"
while :; do echo tick; sleep 0.05; done
"""


@pytest.fixture
def there(monkeypatch):
    """Return bin/there as a module."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("there", str(ROOT / "bin/there"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("there", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def base(tmp_path, server):
    """A server's folder, with a repository of the checkout's commits."""
    made = tmp_path / "base"
    (made / "checkouts").mkdir(parents=True)
    git(tmp_path, "clone", "--quiet", "--bare", str(server.root), str(made / "repository.git"))
    return made


def eventually(path):
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


@pytest.fixture
def task():
    """What runs there."""
    return "deploy"


@pytest.fixture
def waiting(server, task):
    """A command there that goes on, and shows so, until it is cancelled."""
    server.run()
    program = next((server.base / "checkouts").glob("*/bin/invoke"))
    program.write_text(WAITS, encoding="utf-8")
    home = server.folder / "home"
    child = subprocess.Popen(
        ["python3", "-I", "-c", LOADER],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    request = {"do": "command", "app": APP, "sha": program.parents[1].name}
    child.stdin.write(_line({**request, "argv": [task], "env": {}, "files": []}).encode())
    child.stdin.flush()
    eventually(home / "started")
    yield child, home / "undone"
    child.stdin.close()
    child.stdout.close()
    child.wait(10)


def test_a_command_is_cancelled_where_its_caller_is_gone(waiting):
    child, undone = waiting
    child.stdout.close()  # nobody listens any more, either
    child.stdin.close()
    assert child.wait(10) == 3
    assert undone.exists()


def test_what_does_something_goes_on_although_nobody_listens(waiting):
    child, _ = waiting
    child.stdout.close()
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)


@pytest.mark.parametrize("task", ["logs"])
def test_what_only_shows_something_ends_where_nobody_listens(waiting):
    child, _ = waiting
    child.stdout.close()
    assert child.wait(10) == 3


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_command_is_cancelled_by_a_signal(waiting, number):
    child, undone = waiting
    child.send_signal(number)
    assert child.wait(10) == 3
    assert child.stdout.read().endswith(b"undone\n")
    assert undone.exists()


def test_what_ends_by_a_signal_has_the_code_that_a_shell_gives(there, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    script.chmod(0o755)
    run = f"import runpy; there = runpy.run_path({str(ROOT / 'bin/there')!r})\n"
    run += f"raise SystemExit(there['accompany']([{str(script)!r}], {{}}))"
    with subprocess.Popen([sys.executable, "-c", run], stdin=subprocess.PIPE) as child:
        assert child.wait(10) == 137


def test_an_interrupted_checkout_is_made_again(there, base, server):
    sha = git(server.root, "rev-parse", "HEAD")
    there.check_out(base, sha)
    (base / "checkouts" / f"{sha}.used").unlink()
    (base / "checkouts" / sha / "docker-compose.yml").unlink()
    there.check_out(base, sha)
    assert (base / "checkouts" / sha / "docker-compose.yml").exists()


def test_a_checkout_takes_the_packages_of_one_with_the_same_lock(there, base, server):
    first = git(server.root, "rev-parse", "HEAD")
    there.check_out(base, first)
    made = base / "checkouts" / first / ".venv"
    made.mkdir()
    (made / "poetry.lock").write_text("# the lock\n", encoding="utf-8")
    second = server.commit()
    git(server.root, "push", "--quiet", str(base / "repository.git"), "main")
    there.check_out(base, second)
    taken = base / "checkouts" / second / ".venv/poetry.lock"
    assert taken.stat().st_ino == (made / "poetry.lock").stat().st_ino
    (server.root / "poetry.lock").write_text("# another\n", encoding="utf-8")
    third = server.commit()
    git(server.root, "push", "--quiet", str(base / "repository.git"), "main")
    there.check_out(base, third)
    assert not (base / "checkouts" / third / ".venv").exists()


def test_old_checkouts_go_unless_something_runs_in_them(there, base):
    names = [f"{number}" * 40 for number in range(6)]
    for age, name in enumerate(names):
        (base / "checkouts" / name).mkdir()
        mark = base / "checkouts" / f"{name}.used"
        mark.touch()
        os.utime(mark, (time.time() - age * 1000, time.time() - age * 1000))
    path = base / "checkouts" / names[4] / "tasks.py"
    argv = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()  # before that, its arguments may not be seen yet
        there.tidy(base, names[5])
    kept = {each.name for each in (base / "checkouts").iterdir() if each.is_dir()}
    assert kept == {*names[:3], names[4], names[5]}
    assert len(list((base / "checkouts").glob("*.used"))) == 5


def test_checkouts_of_the_last_minutes_stay(there, base):
    for number in range(6):
        (base / "checkouts" / f"{number}.used").touch()
    there.tidy(base, "0")
    assert len(list((base / "checkouts").glob("*.used"))) == 6


def test_the_request_is_one_line_and_brings_the_code():
    line = _line({"do": "prepare", "text": "a\nb"})
    assert line.count("\n") == 1
    assert json.loads(line)["code"] == (ROOT / "bin/there").read_text(encoding="utf-8")
