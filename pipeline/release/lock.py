"""One deployment at a time: a kernel lock, which dies with the process that holds it."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import LockedError, UnavailableError

__all__ = ["alive", "hold", "holder"]

POLL = 0.05  # seconds
SHORT_WAIT = 30.0  # seconds; the removal of a standby takes less
KERNEL_TABLE = Path("/proc/locks")


@contextmanager
def hold(
    path: Path,
    *,
    command: str,
    wait: float = 0.0,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the deploy lock; the commands that we run hold it with us.

    Args:
        path: The lock file; it stays, being held is what counts.
        command: What the holder does, for whoever has to wait.
        wait: Seconds to wait for it; one that removes a standby is always waited for.
        report: Told whom we wait for.

    Raises:
        LockedError: Another process holds it; the message names it.
        UnavailableError: The lock file cannot be opened or written.
    """
    deadline, told = time.monotonic() + wait, False
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a+b", buffering=0))
            while not _try(file):
                who = _written(path)
                patience = max(SHORT_WAIT - wait, 0.0) if _is_short(who) else 0.0
                if time.monotonic() > deadline + patience:
                    raise _locked(who)
                if not told and wait:
                    report(f"waiting for `{who.get('command')}`, process {who.get('pid')}")
                    told = True
                time.sleep(POLL)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            file.truncate(0)
            file.write(
                json.dumps({"pid": os.getpid(), "command": command, "since": since}).encode()
            )
        except OSError as exc:
            raise UnavailableError(
                f"The lock {path} cannot be used: {exc.strerror}.",
                hint="Look at owner, permissions and free space of the state folder.",
            ) from exc
        stack.callback(file.truncate, 0)
        stack.enter_context(shell.lend(file.fileno()))
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


def _try(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_short(who: dict[str, Any]) -> bool:
    return str(who.get("command", "")).startswith(("retire", "prune", "pin"))


def _locked(who: dict[str, Any]) -> LockedError:
    pid = who.get("pid", "?")
    gone = "" if alive(who) else ", which has ended; what it started still works"
    return LockedError(
        f"Another deployment holds the lock: `{who.get('command', 'unknown')}`,"
        f" process {pid}, since {who.get('since', '?')}{gone}.",
        hint="`--wait SECONDS` waits for it; the lock goes with its process.",
    )


def alive(who: Mapping[str, Any]) -> bool:
    """Tell whether a holder lives; where not, what it started still works and holds the lock."""
    return Path(f"/proc/{who.get('pid')}").exists()


def _written(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}  # its holder has only just got it
