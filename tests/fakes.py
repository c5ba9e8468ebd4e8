"""An engine, a proxy and a clock in memory, over one small world.

They refuse what nobody planned. tests/contract runs the same tests against them and
against the real ones, so that what they teach stays true.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import EngineError, TrafficError
from pipeline.ports import Answer, Bundle, Colour, Replica, Server

PUBLIC = "127.0.0.1:8000"


@dataclass
class Image:
    """How an image behaves once it is started."""

    sha: str
    exits: int | None = None
    healthy: bool = True
    log: str = "started"


@dataclass
class World:
    """What is so: images by reference, containers by colour, where requests go."""

    images: dict[str, Image] = field(default_factory=dict)
    containers: dict[Colour, list[str]] = field(default_factory=dict)
    running: dict[Colour, str] = field(default_factory=dict)
    live: Colour | None = None
    proxy_runs: bool = False
    sessions: dict[Colour, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    fail_at: str = ""
    seconds: float = 0.0

    def happen(self, event: str) -> None:
        self.events.append(event)
        if self.fail_at and event.startswith(self.fail_at):
            raise EngineError(f"planned failure of {event}")

    def image_of(self, colour: Colour) -> Image:
        return self.images[self.running[colour]]


@dataclass
class FakeEngine:
    world: World

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> None:
        self.world.happen("services")
        self.world.proxy_runs = True

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        self.world.happen("migrate")

    def start(self, colour: Colour, bundle: Bundle, *, replicas: int, timeout: float) -> None:
        reference = bundle.variables["PIPELINE_IMAGE"]
        if reference not in self.world.images:
            raise EngineError(f"no such image: {reference}")
        self.world.running[colour] = reference
        host = 10 if colour == "blue" else 20
        self.world.containers[colour] = [f"172.30.0.{host + n}" for n in range(replicas)]
        self.world.happen(f"start {colour}")

    def stop(self, colour: Colour, *, timeout: float) -> None:
        self.world.happen(f"stop {colour}")
        self.world.containers.pop(colour, None)
        self.world.running.pop(colour, None)

    def replicas(self, colour: Colour) -> tuple[Replica, ...]:
        if colour not in self.world.running:
            return ()
        image = self.world.image_of(colour)
        ended = image.exits is not None
        return tuple(
            Replica(
                id=f"{colour}{n}",
                name=f"panager-{colour}-{n}",
                state="restarting" if ended else "running",
                exit_code=image.exits or 0,
                restarts=1 if ended else 0,
                address="" if ended else address,
                digest=self.world.running[colour],
                revision=image.sha,
            )
            for n, address in enumerate(self.world.containers[colour], 1)
        )

    def logs(self, colour: Colour, *, lines: int) -> str:
        return self.world.image_of(colour).log if colour in self.world.running else ""


@dataclass
class FakeTraffic:
    world: World

    def live(self) -> Colour | None:
        return self.world.live

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        self._must_run()
        if colour not in self.world.running:
            return ()
        image = self.world.image_of(colour)
        return tuple(
            Server(
                address=f"{address}:8000",
                healthy=image.healthy and image.exits is None,
                check="L7OK/200" if image.healthy else "L7STS/503",
            )
            for address in self.world.containers[colour]
        )

    def recheck(self, colour: Colour, address: str) -> None:
        self._must_run()  # checks are never late here

    def sessions(self, colour: Colour) -> int:
        self._must_run()
        left = self.world.sessions.get(colour, 0)
        self.world.sessions[colour] = max(0, left - 1)
        return left

    def switch(self, colour: Colour | None) -> Colour | None:
        self._must_run()
        self.world.happen(f"switch {colour}")
        replaced, self.world.live = self.world.live, colour
        return replaced

    def _must_run(self) -> None:
        if not self.world.proxy_runs:
            raise TrafficError("the proxy does not run")


@dataclass
class FakeProbe:
    world: World

    def __call__(self, address: str) -> Answer:
        colour = self.world.live if address == PUBLIC else self._colour_at(address)
        if colour is None or colour not in self.world.running:
            return Answer(status=0, sha="", text="connection refused")
        sha = self.world.image_of(colour).sha
        return Answer(status=200, sha=sha, text=f'{{"sha": "{sha}"}}')

    def _colour_at(self, address: str) -> Colour | None:
        host = address.rpartition(":")[0]
        return next((c for c, hosts in self.world.containers.items() if host in hosts), None)


@dataclass
class FakeClock:
    world: World

    def monotonic(self) -> float:
        return self.world.seconds

    def sleep(self, seconds: float) -> None:
        self.world.seconds += seconds


def bundle(reference: str, folder: Path) -> Bundle:
    return Bundle(
        compose_file=folder / "docker-compose.yml",
        variables={"PIPELINE_IMAGE": reference, "PIPELINE_ENV_FILE": str(folder / "env")},
    )
