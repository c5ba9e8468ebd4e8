"""HAProxy over its runtime socket: health as it sees it, cutover, drain.

The configuration in `proxy/` is static. A cutover rewrites one line of `live.map`
(atomically, for the next start of the proxy) and sets the same line in the running
proxy's memory. Source of the commands: HAProxy 2.6 management guide, chapter 9.3.
"""

import csv
import io
import os
import shutil
import socket
from pathlib import Path
from typing import cast, get_args

from pipeline.errors import TrafficError, UsageError
from pipeline.ports import Colour, Server

__all__ = ["HAProxy", "install"]

CONFIG_DIR = Path(__file__).parent / "proxy"
MAP_IN_CONTAINER = "/usr/local/etc/haproxy/live.map"
SOCKET = "admin.sock"
SOCKET_PATH_LIMIT = 107  # bytes; Linux, unix(7)
NOBODY = "none"  # the backend that answers 503 while no release is live
SOCKET_TIMEOUT = 2.0  # seconds; the runtime socket answers within milliseconds
BACKEND_ROWS, SERVER_ROWS = "2", "4"  # the <type> argument of `show stat`


class HAProxy:
    """The proxy of one app, reached through two folders that its container mounts.

    Args:
        config: Folder with haproxy.cfg and live.map.
        run: Folder with the runtime socket.
    """

    def __init__(self, *, config: Path, run: Path) -> None:
        self._map = config / "live.map"
        self._socket = run / SOCKET

    def live(self) -> Colour | None:
        """Return the colour that gets new requests; None where there is none yet.

        A proxy that does not run is asked through its file: that is what it will do.

        Raises:
            TrafficError: The map has something in it that is no colour.
        """
        try:
            text = self._ask(f"show map {MAP_IN_CONTAINER}")
        except TrafficError:
            text = self._file()
        return _colour(text)

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        """Return the colour's resolved servers.

        Raises:
            TrafficError: The proxy does not answer.
        """
        return tuple(
            Server(
                address=row["addr"],
                # UP alone is not enough: a server that was just resolved counts as UP
                # until its first check.
                healthy=row["status"].startswith("UP") and _last_check(row) == "L7OK",
                # While the next check is under way the code reads 0, which is none.
                check=f"{_last_check(row)}/{row['check_code']}".removesuffix("/0").strip("/")
                or row["status"],
            )
            for row in self._stat(colour, SERVER_ROWS)
            if row["addr"] and not row["status"].startswith("MAINT")
        )

    def recheck(self, colour: Colour, address: str) -> None:
        """Take one server as unhealthy until its next check passes.

        Raises:
            TrafficError: The proxy does not answer.
        """
        for row in self._stat(colour, SERVER_ROWS):
            if row["addr"] == address:
                self._tell(f"set server {colour}/{row['svname']} health down")

    def sessions(self, colour: Colour) -> int:
        """Return how many requests of the colour are in flight or queued.

        Raises:
            TrafficError: The proxy does not answer.
        """
        return sum(
            int(row["scur"] or 0) + int(row["qcur"] or 0)
            for row in self._stat(colour, BACKEND_ROWS)
        )

    def switch(self, colour: Colour | None) -> Colour | None:
        """Send new requests to `colour`, durably; return the colour it replaced.

        The running proxy is switched first: where that fails, nothing has changed. Where
        its file cannot follow, it is switched back.

        Raises:
            TrafficError: The proxy does not answer or refused, or the disk did.
        """
        replaced = self.live()
        self._tell(f"set map {MAP_IN_CONTAINER} live {colour or NOBODY}")
        try:
            _write_map(self._map, colour)
        except TrafficError:
            self._tell(f"set map {MAP_IN_CONTAINER} live {replaced or NOBODY}")
            raise
        return replaced

    def forget(self) -> None:
        """Name no colour as live in the file; for when the proxy itself is gone.

        Raises:
            TrafficError: The disk refused.
        """
        if self._map.exists():
            _write_map(self._map, None)

    def _file(self) -> str:
        try:
            return self._map.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return f"live {NOBODY}"
        except OSError as exc:
            raise TrafficError(f"{self._map} cannot be read: {exc.strerror}.") from exc

    def _stat(self, colour: Colour, rows: str) -> list[dict[str, str]]:
        text = self._ask(f"show stat {colour} {rows} -1")
        if not text.startswith("# pxname,"):
            raise TrafficError(
                f"The proxy does not know {colour}: {text.strip()}",
                hint="It runs with another haproxy.cfg: `invoke down`, then deploy again.",
            )
        return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))

    def _tell(self, command: str) -> None:
        if answer := self._ask(command).strip():  # silence is consent
            raise TrafficError(f"The proxy refused `{command}`: {answer}")

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(SOCKET_TIMEOUT)
                connection.connect(str(self._socket))
                connection.sendall(f"{command}\n".encode())
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as exc:
            raise TrafficError(
                f"The proxy's runtime socket does not answer ({exc}).",
                hint="`docker ps` shows whether the proxy runs; the next deploy starts it.",
            ) from exc
        return b"".join(chunks).decode(errors="replace")


def _colour(text: str) -> Colour | None:
    """Return the colour that a map names, in its file or as the proxy shows it."""
    words = text.split()
    word = words[-1] if words[-2:-1] == ["live"] else ""
    if word == NOBODY:
        return None
    if word in get_args(Colour):
        return cast("Colour", word)
    raise TrafficError(
        f"live.map names no colour: {text.strip()!r}.",
        hint="Put `live blue` or `live green` into it, then restart the proxy.",
    )


def _last_check(row: dict[str, str]) -> str:
    # While the next check is under way, the last one's result stands behind a star.
    return row["check_status"].removeprefix("* ")


def install(*, config: Path, run: Path) -> str:
    """Lay out the proxy's two folders; return the `uid:gid` that its container runs as.

    The container gets the official image's user where we may give the folder away
    (root), else our own, so that we and nobody else can reach the socket.

    Raises:
        UsageError: Their path is too long for a socket.
        TrafficError: They cannot be written.
    """
    if len(os.fsencode(run / SOCKET)) > SOCKET_PATH_LIMIT:
        raise UsageError(
            f"{run / SOCKET} is too long for the path of a socket.",
            hint="Set state_dir in [tool.pipeline] or PIPELINE_STATE_DIR to a shorter one.",
        )
    uid, gid = (99, 99) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    try:
        for folder in (config, run):
            folder.mkdir(parents=True, exist_ok=True)
        os.chown(run, uid, gid)
        run.chmod(0o750)
        shutil.copyfile(CONFIG_DIR / "haproxy.cfg", config / "haproxy.cfg")
        if not (config / "live.map").exists():
            _write_map(config / "live.map", None)
        # The proxy's user reads them, whatever our umask is.
        config.chmod(0o755)
        (config / "haproxy.cfg").chmod(0o644)
    except OSError as exc:
        raise TrafficError(
            f"The proxy's folders {config} and {run} cannot be laid out: {exc}.",
            hint="Deploy as the user who did so before, or set another state_dir.",
        ) from exc
    return f"{uid}:{gid}"


def _write_map(path: Path, colour: Colour | None) -> None:
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(f"live {colour or NOBODY}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o644)  # the proxy's user reads it
        fresh.replace(path)
        _sync_names(path.parent)
    except OSError as exc:
        raise TrafficError(
            f"`live {colour or NOBODY}` could not be kept in {path}: {exc.strerror}.",
            hint="Look at free space and permissions there (`df -h`), then try again.",
        ) from exc


def _sync_names(folder: Path) -> None:
    # Else a power cut can bring the old file back, and with it a colour that is gone.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
