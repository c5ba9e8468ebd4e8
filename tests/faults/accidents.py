"""What happens to machines: processes die, disks fill up, files cannot be written."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.support import load, machine
from tests.e2e.support.load import Loss

ENGINE = Path("/var/run/docker.pid")
BACK = 2.0  # seconds after which all is well once what was killed is back
PAGE = 4096  # bytes; what a file takes at least


def privileged(*argv: str) -> None:
    """Run a command as root; fail where this user cannot."""
    sudo = () if os.geteuid() == 0 else ("sudo", "--non-interactive")
    ran = subprocess.run([*sudo, *argv], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, (
        f"{' '.join(argv)}: {ran.stderr.strip()}. It takes root: run this as root, or as"
        " somebody who may use sudo without a password."
    )


def kill(container: str) -> Callable[[], bool]:
    """Kill a container's process from outside, as the kernel would; the engine starts it again.

    Returns:
        Tells whether it has done so.
    """
    dead = machine.inspect(container)["State"]["Pid"]
    privileged("kill", "-KILL", str(dead))

    def back() -> bool:
        state = machine.inspect(container)["State"]
        return bool(state["Running"] and state["Pid"] not in {0, dead})

    return back


class Outage:
    """From the moment when something was killed to a short time after it is back."""

    def __init__(self) -> None:
        self.began = float("inf")
        self.back = float("inf")

    def begin(self) -> None:
        """It is about to be killed."""
        self.began = time.monotonic()

    def wait(self, back: Callable[[], object], answers: Callable[[], object]) -> None:
        """Wait until it is back, and make sure that requests are answered soon then."""
        machine.eventually(back, within=30, what="what was killed is back")
        self.back = time.monotonic()
        machine.eventually(answers, within=BACK, what="an answer")

    def covers(self, loss: Loss) -> bool:
        """Tell whether a request was sent then, or in flight when it began."""
        return self.began - load.TIMEOUT <= loss.started <= self.back + BACK


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 4) -> Iterator[None]:
    """Have a folder on a file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0700,uid={os.geteuid()},gid={os.getegid()}"
    privileged("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield
    finally:
        privileged("umount", "--lazy", str(folder))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Have no space left where a folder is."""
    ballast = folder / "ballast"
    try:
        with pytest.raises(OSError, match="No space"):
            _write_for_ever(ballast)
        yield
    finally:
        ballast.unlink()


def _write_for_ever(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(PAGE))


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Have a file that nobody can write, root neither."""
    privileged("mount", "--bind", str(file), str(file))
    try:
        privileged("mount", "-o", "remount,bind,ro", str(file))
        yield
    finally:
        privileged("umount", str(file))


def end_engine(signal: str) -> None:
    """End dockerd; `invoke host` starts it again, or systemd has done so already."""
    pid = ENGINE.read_text(encoding="ascii").strip()
    privileged("kill", f"-{signal}", pid)
    process = Path("/proc") / pid
    machine.eventually(lambda: not process.exists(), within=30, what="the engine's end")


def engine_runs() -> bool:
    """Tell whether there is a process of the engine, whatever it does yet."""
    try:
        pid = ENGINE.read_text(encoding="ascii").strip()
        return (Path("/proc") / pid / "comm").read_text(encoding="ascii").strip() == "dockerd"
    except OSError:
        return False


def engine_answers() -> bool:
    """Tell whether there is an engine to talk to."""
    return bool(machine.docker("version", "--format", "{{.Server.Version}}", check=False))
