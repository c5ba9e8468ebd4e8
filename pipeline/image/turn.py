"""One build at a time: this user's builds on this machine take turns.

BuildKit before 0.19 (Docker 28) can end with the whole engine where two builds with provenance
have steps in common. Source: moby/buildkit pull request 5606.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import shell
from pipeline.errors import EngineError

__all__ = ["turn"]

POLL = 0.05  # seconds


@contextmanager
def turn(*, wait: float, report: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other build goes on; ours does while the `with` block runs.

    The kernel gives it back when we end, or the builder that outlives us has.

    Args:
        wait: Seconds.
        report: Told that we wait.

    Raises:
        EngineError: It was not our turn in time, or the lock cannot be used.
    """
    path = Path(tempfile.gettempdir()) / f"pipeline-build-{os.getuid()}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise EngineError(
            f"The lock {path}, by which builds take turns, cannot be used: {exc.strerror}.",
            hint="Remove it if it is not this user's, or set TMPDIR to a folder of this user's.",
        ) from exc
    try:
        _take(descriptor, wait, report)
        with shell.lend(descriptor):
            yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, wait: float, report: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + wait, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                report("Another build goes on here; this one waits for its turn.")
                told = True
            if time.monotonic() > deadline:
                raise EngineError(
                    f"Another build has not ended within {wait:g} s.",
                    hint="`ps -ef | grep buildx` names it; end it, or wait for it.",
                ) from None
            time.sleep(POLL)
        else:
            return
