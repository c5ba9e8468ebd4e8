"""What the deployment machinery asks of the outside: Protocols and the values they pass.

`plan/` knows only these. `engine/compose.py` and `traffic/haproxy.py` are the real
ones; tests/contract runs the same tests against them and against the fakes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

__all__ = ["Bundle", "Clock", "Colour", "Engine", "Replica", "Server", "Traffic", "other"]

Colour = Literal["blue", "green"]


def other(colour: Colour | None) -> Colour:
    """Return the colour a new release takes where `colour` is live."""
    return "green" if colour == "blue" else "blue"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All that Compose needs to run one release.

    Attributes:
        compose_file: The release's own copy.
        variables: What the file interpolates; no secrets (those are in the env file).
    """

    compose_file: Path
    variables: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One container of a colour, as the engine sees it now.

    Attributes:
        id: Full container id.
        name: Container name.
        state: Docker's word: created, running, exited, ...
        exit_code: Of the last end; 0 while running.
        restarts: How often the engine has restarted it.
        address: IP on the project's network, "" while it has none.
        digest: `repository@sha256:...` that it was created from.
        revision: Commit that its image is labelled with.
    """

    id: str
    name: str
    state: str
    exit_code: int
    restarts: int
    address: str
    digest: str
    revision: str


class Engine(Protocol):
    """Starts, stops and inspects the containers of a colour; knows no strategy, no traffic."""

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> None:
        """Start what every release shares (database, proxy) where it does not run; never restart it."""

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        """Run the release's pending migrations, once, in a container of its own."""

    def start(self, colour: Colour, bundle: Bundle, *, replicas: int, timeout: float) -> None:
        """Start `replicas` fresh containers of the release as `colour`; returns before they are healthy."""

    def stop(self, colour: Colour, *, timeout: float) -> None:
        """Stop and remove the colour's containers: SIGTERM, then SIGKILL after `timeout` seconds."""

    def replicas(self, colour: Colour) -> tuple[Replica, ...]:
        """Return the colour's containers, running or not."""

    def logs(self, colour: Colour, *, lines: int) -> str:
        """Return the last lines of the colour's containers."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One replica as the proxy sees it.

    Attributes:
        address: IP:port.
        healthy: A layer-7 check has passed; merely resolved does not count.
        check: What the last check said, for messages (`L7OK/200`, `L4CON`, ...).
    """

    address: str
    healthy: bool
    check: str


class Traffic(Protocol):
    """Health as the proxy sees it, cutover and drain; knows no containers."""

    def live(self) -> Colour | None:
        """Return the colour that gets new requests; None where there is none yet."""

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        """Return the colour's resolved servers."""

    def sessions(self, colour: Colour) -> int:
        """Return how many requests of the colour are in flight."""

    def switch(self, colour: Colour | None) -> Colour | None:
        """Send new requests to `colour`, durably; return the colour it replaced."""


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
