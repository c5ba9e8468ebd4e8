"""The proxy's two folders on the host: its configuration and its runtime socket."""

import errno
import os
from pathlib import Path

from pipeline.errors import TrafficError, UnavailableError, UsageError
from pipeline.ports import Route

__all__ = ["NOBODY", "SOCKET", "install", "owner", "write_map"]

CONFIG = Path(__file__).parent / "proxy"
FILES = ("gate.lua", "haproxy.cfg")  # what names another one comes after it
SOCKET = "admin.sock"
SOCKET_PATH_LIMIT = 107  # bytes; Linux, unix(7)
NOBODY = "none"  # the backend that answers 503 while no release is live


def owner() -> tuple[int, int]:
    """Return user and group that the proxy's container runs as.

    The official image's where we may give a folder away (root), else our own, so that we
    and nobody else can reach the socket.
    """
    return (99, 99) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def install(*, config: Path, run: Path) -> None:
    """Lay out the proxy's two folders.

    Raises:
        UsageError: Their path is too long for a socket.
        TrafficError: They cannot be written.
    """
    if len(os.fsencode(run / SOCKET)) > SOCKET_PATH_LIMIT:
        raise UsageError(
            f"{run / SOCKET} is too long for the path of a socket.",
            hint="Set state_dir in [tool.pipeline] or PIPELINE_STATE_DIR to a shorter one.",
        )
    try:
        for folder in (config, run):
            folder.mkdir(parents=True, exist_ok=True)
        os.chown(run, *owner())
        run.chmod(0o750)
        config.chmod(0o755)  # the proxy's user reads it, whatever our umask is
        for name in FILES:
            wanted, there = (CONFIG / name).read_bytes(), config / name
            if not there.exists() or there.read_bytes() != wanted:
                _write(there, wanted)
        if not (config / "live.map").exists():
            write_map(config / "live.map", None)
    except OSError as exc:
        raise TrafficError(
            f"The proxy's folders {config} and {run} cannot be laid out: {exc}.",
            hint="Deploy as the user who did so before, or set another state_dir.",
        ) from exc


def write_map(path: Path, route: Route | None) -> None:
    """Keep where requests go for the next start of the proxy.

    On a full disk there is room for what is there already: the file is written over, so that
    a way back is never shut.

    Raises:
        UnavailableError: The disk refused.
    """
    content = f"live {route or NOBODY}\n".encode()
    try:
        try:
            _write(path, content)
        except OSError as exc:
            if exc.errno != errno.ENOSPC or not path.exists():
                raise
            _write_over(path, content)
    except OSError as exc:
        raise UnavailableError(
            f"`live {route or NOBODY}` could not be kept in {path}: {exc.strerror}.",
            hint="Look at free space and permissions there (`df -h`), then try again.",
        ) from exc


def _write(path: Path, content: bytes) -> None:
    """Write a file that the proxy's user reads, all of it or nothing."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o644)
    fresh.replace(path)
    # Else a power cut can bring the old file back, and with it a colour that is gone.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_over(path: Path, content: bytes) -> None:
    before = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        try:
            file.write(content)
            file.truncate()
            os.fsync(file.fileno())
        except OSError:
            file.seek(0)
            file.write(before)
            file.truncate()
            raise
