"""What the deployment machinery asks of the outside: Protocols and the values they pass.

`plan/` knows only these. `engine/compose.py` and `traffic/haproxy.py` are the real
ones; tests/contract runs the same tests against them and against the fakes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

__all__ = [
    "Answer",
    "Bundle",
    "Clock",
    "Colour",
    "Engine",
    "Probe",
    "Replica",
    "Route",
    "Server",
    "Traffic",
    "other",
]

Colour = Literal["blue", "green"]
# Where the proxy sends requests: to a colour, or while replicas are exchanged one by one, to both.
Route = Literal["blue", "green", "both"]


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
        exit_code: Of the last end; 0 where there was none.
        restarts: How often the engine has restarted it.
        address: IP on the project's network, "" while it has none.
        digest: `repository@sha256:...` that it was created from.
        revision: Commit that its image is labelled with.
        number: Compose's number of it within the colour, from 1.
        release: Id of the release that it was started for, "" if it was not by us.
        env: The environment it was created with; never shown.
    """

    id: str
    name: str
    state: str
    exit_code: int
    restarts: int
    address: str
    digest: str
    revision: str
    number: int
    release: str
    env: Mapping[str, str] = field(repr=False)


class Engine(Protocol):
    """Starts, stops and inspects the containers of a colour; knows no strategy, no traffic."""

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> tuple[str, ...]:
        """Start what every release shares (database, proxy); never restart what runs."""

    def missing(self) -> tuple[str, ...]:
        """Say what is not there of the services that every release uses, and of their data."""

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        """Run the release's pending migrations, once, in a container of its own."""

    def start(
        self,
        colour: Colour,
        bundle: Bundle,
        *,
        replicas: int,
        timeout: float,
        keep: bool = False,
    ) -> None:
        """Start containers of the release as `colour`; do not wait for their health.

        Fresh ones; with `keep`, those that are there stay, and only missing ones are made.
        """

    def stop(self, colour: Colour, *, timeout: float, only: Collection[str] | None = None) -> None:
        """Stop and remove the colour's containers, or `only` those of these ids.

        SIGKILL after `timeout` seconds; at once where that is 0.
        """

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

    def live(self) -> Route | None:
        """Return where new requests go; None where nothing is live yet."""

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        """Return the colour's resolved servers."""

    def recheck(self, colour: Colour, address: str) -> None:
        """Take one server as unhealthy until its next check passes."""

    def sessions(self, colour: Colour) -> int:
        """Return how many requests of the colour are in flight."""

    def switch(self, route: Route | None) -> Route | None:
        """Send new requests there, durably; return what it replaced."""

    def hold(self, colour: Colour) -> None:
        """Make `both` send nothing to `colour` before `admit`, all to what the other has now."""

    def admit(self, colour: Colour, address: str) -> bool:
        """Let `both` send requests to that server of `colour`; False before its check there."""

    def dismiss(self, address: str) -> None:
        """Let `both` send no new request to that server."""

    def in_flight(self, address: str) -> int:
        """Return how many requests `both` has in flight at that server."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one health probe got.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        sha: Commit that the answer names, "" if none.
        text: Start of the body, or why there was no answer.
    """

    status: int
    sha: str
    text: str

    def names(self, sha: str) -> bool:
        """Tell whether the service is healthy and runs that commit."""
        return self.status == 200 and self.sha == sha  # noqa: PLR2004 - HTTP's own word for OK

    def __str__(self) -> str:
        return f"{self.status or 'no answer'}: {self.text}"


class Probe(Protocol):
    """Asks the service itself who it is."""

    def __call__(self, address: str) -> Answer:
        """Ask the health path at `host:port`; never raises for what the network does."""


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
