"""One deployment at a time: a kernel lock, which dies with the process that holds it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import LockedError, UnavailableError

__all__ = ["hold", "holder"]

KERNEL_TABLE = Path("/proc/locks")


@contextmanager
def hold(path: Path, *, command: str) -> Iterator[None]:
    """Hold the deploy lock.

    Args:
        path: The lock file; it stays, being held is what counts.
        command: What the holder does, for whoever has to wait.

    Raises:
        LockedError: Another process holds it; the message names it.
        UnavailableError: The lock file cannot be opened or written.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a+b", buffering=0))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            file.truncate(0)
            file.write(
                json.dumps({"pid": os.getpid(), "command": command, "since": since}).encode()
            )
        except BlockingIOError as exc:
            who = _written(path)
            raise LockedError(
                f"Another deployment holds the lock: `{who.get('command', 'unknown')}`, "
                f"process {who.get('pid', '?')}, since {who.get('since', '?')}.",
                hint="Wait for it to end, then try again; the lock goes with that process.",
            ) from exc
        except OSError as exc:
            raise UnavailableError(
                f"The lock {path} cannot be used: {exc.strerror}.",
                hint="Look at owner, permissions and free space of the state folder.",
            ) from exc
        stack.callback(file.truncate, 0)
        yield


def holder(path: Path) -> dict[str, Any] | None:
    """Return who holds the lock now (pid, command, since); None where nobody does.

    Asks the kernel's table instead of trying the lock: a try would, for that instant,
    turn away a deployment that starts. Source: proc(5), /proc/locks.
    """
    try:
        inode = f":{path.stat().st_ino}"
    except FileNotFoundError:
        return None
    who = _written(path)
    for line in KERNEL_TABLE.read_text(encoding="ascii").splitlines():
        # By process and inode: some file systems show another device there than to stat().
        _, kind, _, _, pid, file, *_ = line.replace("->", "").split()
        if kind == "FLOCK" and file.endswith(inode) and pid == str(who.get("pid")):
            return who
    return None


def _written(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}  # its holder has only just got it
