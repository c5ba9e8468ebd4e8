"""One deployment at a time: a kernel lock, which dies with the process that holds it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import LockedError

__all__ = ["hold", "holder"]


@contextmanager
def hold(path: Path, *, command: str) -> Iterator[None]:
    """Hold the deploy lock.

    Args:
        path: The lock file; it stays, being held is what counts.
        command: What the holder does, for whoever has to wait.

    Raises:
        LockedError: Another process holds it; the message names it.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            who = holder(path) or {}
            raise LockedError(
                f"Another deployment holds the lock: `{who.get('command', 'unknown')}`, "
                f"process {who.get('pid', '?')}, since {who.get('since', '?')}.",
                hint="Wait for it to end, then try again; the lock goes with that process.",
            ) from exc
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"pid": os.getpid(), "command": command, "since": since}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(path: Path) -> dict[str, str | int] | None:
    """Return who holds the lock now (pid, command, since); None where nobody does.

    Asks the kernel's table instead of trying the lock: a try would, for that instant,
    turn away a deployment that starts.
    """
    try:
        stat = path.stat()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    device = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    table = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    if any("FLOCK" in line and device in line.split() for line in table):
        return dict(json.loads(text or "{}"))
    return None
