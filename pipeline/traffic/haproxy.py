"""HAProxy over its runtime socket: health as it sees it, cutover, drain.

The configuration in `proxy/` is static. A cutover rewrites one line of `live.map`
(atomically, for the next start of the proxy) and sets the same line in the running
proxy's memory. Source of the commands: HAProxy 2.6 management guide, chapter 9.3.
"""

import csv
import io
import socket
import time
from pathlib import Path
from typing import cast, get_args

from pipeline.errors import TrafficError, UnavailableError
from pipeline.ports import Colour, Route, Server, other
from pipeline.traffic.folders import NOBODY, SOCKET, write_map

__all__ = ["HAProxy"]

MAP_IN_CONTAINER = "/usr/local/etc/haproxy/live.map"
BOTH = "both"  # the backend with the servers of both colours
PATIENCE = 5.0  # seconds that a proxy may be away while it restarts
POLL = 0.02  # seconds
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
        self._answered = False

    def live(self) -> Route | None:
        """Return where new requests go; None where nothing is live yet.

        A proxy that does not run is asked through its file: that is what it will do.

        Raises:
            TrafficError: The map has something in it that is no route.
        """
        try:
            text = self._ask(f"show map {MAP_IN_CONTAINER}")
        except TrafficError:
            text = self._file()
        return _route(text)

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        """Return the colour's resolved servers; one that passes is healthy once it is let in.

        Raises:
            TrafficError: The proxy does not answer.
        """
        return tuple(
            Server(
                address=row["addr"],
                healthy=_passed(row) and not row["status"].startswith("DRAIN"),
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
        for row in self._stat(colour, SERVER_ROWS) + self._both():
            if row["addr"] == address:
                self._tell(f"set server {row['pxname']}/{row['svname']} health down")

    def sessions(self, colour: Colour) -> int:
        """Return how many requests of the colour are in flight or queued.

        Raises:
            TrafficError: The proxy does not answer.
        """
        rows = self._stat(colour, BACKEND_ROWS)
        rows += [row for row in self._both() if row["svname"].startswith(colour)]
        return sum(map(_sessions, rows))

    def switch(self, route: Route | None) -> Route | None:
        """Send new requests there, durably; return what it replaced.

        The running proxy is switched first: where that fails, nothing has changed. Where
        its file cannot follow, it is switched back.

        Raises:
            TrafficError: The proxy does not answer or refused.
            UnavailableError: The disk did.
        """
        replaced = self.live()
        self._tell(f"set map {MAP_IN_CONTAINER} live {route or NOBODY}")
        try:
            write_map(self._map, route)
        except UnavailableError:
            self._tell(f"set map {MAP_IN_CONTAINER} live {replaced or NOBODY}")
            raise
        return replaced

    def hold(self, colour: Colour) -> None:
        """Make `both` send nothing to `colour` before `admit`, all to what the other has now.

        A place without a server is closed, too: whoever is resolved into it has not passed
        a check yet.

        Raises:
            TrafficError: The proxy does not answer.
        """
        for row in self._stat(BOTH, SERVER_ROWS):
            serves = row["svname"].startswith(other(colour)) and _passed(row)
            self._state(row, "ready" if serves else "drain")

    def admit(self, colour: Colour, address: str) -> bool:
        """Let `both` send requests to that server; False while its check has not passed there.

        A place of the other colour may have had the same address before, and would pass the
        check with it: whoever is resolved into that place next is not to find it open.

        Raises:
            TrafficError: The proxy does not answer.
        """
        places = [row for row in self._both() if row["svname"].startswith(colour)]
        passed = [row for row in places if row["addr"] == address and _passed(row)]
        for row in passed:
            self._state(row, "ready")
        return bool(passed)

    def dismiss(self, address: str) -> None:
        """Let `both` send no new request to that server.

        Raises:
            TrafficError: The proxy does not answer.
        """
        for row in self._both():
            if row["addr"] == address:
                self._state(row, "drain")

    def in_flight(self, address: str) -> int:
        """Return how many requests `both` has in flight at that server.

        Raises:
            TrafficError: The proxy does not answer.
        """
        return sum(_sessions(row) for row in self._both() if row["addr"] == address)

    def forget(self) -> None:
        """Name no colour as live in the file; for when the proxy itself is gone.

        Raises:
            UnavailableError: The disk refused.
        """
        if self._map.exists():
            write_map(self._map, None)

    def _file(self) -> str:
        try:
            return self._map.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return f"live {NOBODY}"
        except OSError as exc:
            raise TrafficError(f"{self._map} cannot be read: {exc.strerror}.") from exc

    def _both(self) -> list[dict[str, str]]:
        """Return the servers of `both`; none where the proxy runs with an older haproxy.cfg."""
        return _table(self._ask(f"show stat {BOTH} {SERVER_ROWS} -1")) or []

    def _state(self, row: dict[str, str], state: str) -> None:
        self._tell(f"set server {BOTH}/{row['svname']} state {state}")

    def _stat(self, backend: str, rows: str) -> list[dict[str, str]]:
        text = self._ask(f"show stat {backend} {rows} -1")
        table = _table(text)
        if table is None:
            raise TrafficError(
                f"The proxy does not know {backend}: {text.strip()}",
                hint="It runs with another haproxy.cfg: `invoke down`, then deploy again.",
            )
        return table

    def _tell(self, command: str) -> None:
        if answer := self._ask(command).strip():  # silence is consent
            raise TrafficError(f"The proxy refused `{command}`: {answer}")

    def _ask(self, command: str) -> str:
        """Ask the proxy; one that answered before and is away is waited for: it restarts."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._say(command)
            except OSError as exc:
                if self._answered and time.monotonic() < deadline:
                    time.sleep(POLL)
                    continue
                self._answered = False
                raise TrafficError(
                    f"The proxy's runtime socket does not answer ({exc}).",
                    hint="`docker ps` shows whether the proxy runs; the next deploy starts it.",
                ) from exc
            self._answered = True
            return answer

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(SOCKET_TIMEOUT)
            connection.connect(str(self._socket))
            connection.sendall(f"{command}\n".encode())
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks).decode()


def _route(text: str) -> Route | None:
    """Return the route that a map names, in its file or as the proxy shows it."""
    words = text.split()
    word = words[-1] if words[-2:-1] == ["live"] else ""
    if word == NOBODY:
        return None
    if word in get_args(Route):
        return cast("Route", word)
    raise TrafficError(
        f"live.map names no colour: {text.strip()!r}.",
        hint="Put `live blue` or `live green` into it, then restart the proxy.",
    )


def _table(text: str) -> list[dict[str, str]] | None:
    """Return the rows that the proxy shows; None where it shows something else."""
    if not text.startswith("# pxname,"):
        return None
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))


def _passed(row: dict[str, str]) -> bool:
    # UP alone is not enough: a server that was just resolved counts as UP until its first check.
    return row["status"].startswith(("UP", "DRAIN")) and _last_check(row) == "L7OK"


def _sessions(row: dict[str, str]) -> int:
    return int(row["scur"] or 0) + int(row["qcur"] or 0)


def _last_check(row: dict[str, str]) -> str:
    # While the next check is under way, the last one's result stands behind a star.
    return row["check_status"].removeprefix("* ")
