"""Who listens on a port of this machine, as far as this user may see. Source: proc(5)."""

import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listener", "listener"]

PROC = Path("/proc")
LISTENS = "0A"  # the state of a socket, in its table
_UNIT = re.compile(r"/system\.slice/(?:[^/]+/)*([A-Za-z0-9@_.:\\-]+\.service)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A process that listens.

    Attributes:
        pid: Its process id; None where this user may not see it.
        program: Its name.
        unit: systemd's name for the service that it belongs to; "" where it belongs to none.
    """

    pid: int | None = None
    program: str = ""
    unit: str = ""


def listener(address: str, port: int) -> Listener | None:
    """Return who keeps others from listening on `address`:`port` (IPv4); None where nobody does."""
    inodes = {
        inode
        for table in ("tcp", "tcp6")
        for bound, taken, inode in _listening(table)
        if taken == port and (address == "0.0.0.0" or bound in {"", address})  # noqa: S104
    }
    if not inodes:
        return None
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for process in PROC.iterdir():
        if process.name.isdecimal() and _has(process, sockets):
            return Listener(
                pid=int(process.name),
                program=_text(process / "comm").strip(),
                unit=next(iter(_UNIT.findall(_text(process / "cgroup"))), ""),
            )
    return Listener()


def _listening(table: str) -> list[tuple[str, int, str]]:
    """Return address ("" for all), port and inode of each socket that listens."""
    found = []
    for line in _text(PROC / "net" / table).splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == LISTENS:  # noqa: PLR2004 - the inode's column
            address, _, port = words[1].partition(":")
            found.append((_readable(address), int(port, 16), words[9]))
    return found


def _readable(address: str) -> str:
    """Return a table's address (words of four bytes in the machine's order) as people write it."""
    if not int(address, 16):
        return ""
    packed = b"".join(
        struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)
    )
    mapped = packed.removeprefix(bytes(10) + b"\xff\xff")  # IPv4 inside of IPv6
    return socket.inet_ntop(socket.AF_INET if len(mapped) == 4 else socket.AF_INET6, mapped)  # noqa: PLR2004


def _has(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in (process / "fd").iterdir())
    except OSError:  # gone, or another user's
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
