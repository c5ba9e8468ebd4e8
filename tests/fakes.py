"""An engine, a proxy and a clock in memory, over one small world.

They refuse what nobody planned. tests/contract runs the same tests against them and
against the real ones, so that what they teach stays true.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import EngineError, TrafficError
from pipeline.ports import Answer, Bundle, Colour, Replica, Route, Server, other
from pipeline.release import env

PUBLIC = "127.0.0.1:8000"


class Killed(BaseException):
    """What nobody can catch in time: `kill -9`."""


@dataclass
class Image:
    """How an image behaves once it is started."""

    sha: str
    exits: int | None = None
    healthy: bool = True
    log: str = "started"


@dataclass
class Container:
    """One container of a colour."""

    number: int
    reference: str
    address: str
    release: str = ""
    env: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    running: bool = True


@dataclass
class World:
    """What is so: images by reference, containers by colour, where requests go.

    Attributes:
        fail_at: The event that starts so fails.
        killed_at: What is killed (before or after that event, by its number) never acts again.
    """

    images: dict[str, Image] = field(default_factory=dict)
    containers: dict[Colour, list[Container]] = field(default_factory=dict)
    live: Route | None = None
    proxy_runs: bool = False
    open: set[str] = field(default_factory=set)
    sessions: dict[Colour, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    fail_at: str = ""
    fails_number: int | None = None
    killed_at: tuple[str, int] | None = None
    dead: bool = False
    seconds: float = 0.0
    made: int = 0
    outages: list[Route | None] = field(default_factory=list)

    def happen(self, event: str) -> None:
        """Let something be about to happen; it does unless this raises."""
        self.breathe()
        self.events.append(event)
        if self.killed_at == ("before", len(self.events)):
            self.die()
        if self.fails_number == len(self.events):
            raise EngineError(f"planned failure of {event}")
        if self.fail_at and event.startswith(self.fail_at):
            raise EngineError(f"planned failure of {event}")

    def happened(self) -> None:
        if self.killed_at == ("after", len(self.events)):
            self.die()

    def breathe(self) -> None:
        if self.dead:
            raise Killed

    def die(self) -> None:
        self.dead = True
        raise Killed

    def of(self, colour: Colour) -> list[Container]:
        return self.containers.get(colour, [])

    def runs(self) -> list[Colour]:
        """Return the colours that have containers."""
        return [colour for colour, there in self.containers.items() if there]

    def addresses(self, colour: Colour) -> list[str]:
        return [each.address for each in self.of(colour)]

    def references(self, colour: Colour) -> set[str]:
        return {each.reference for each in self.of(colour)}

    def image(self, container: Container) -> Image:
        return self.images[container.reference]

    def passes(self, container: Container) -> bool:
        image = self.image(container)
        return container.running and image.healthy and image.exits is None

    def serving(self) -> list[Container]:
        """Return the containers that requests are sent to now."""
        self_open = self.open
        if self.live is None:
            return []
        if self.live == "both":
            there = [each for colour in self.containers for each in self.of(colour)]
            return [each for each in there if self.passes(each) and each.address in self_open]
        return [each for each in self.of(self.live) if self.passes(each)]


@dataclass
class FakeEngine:
    world: World

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> tuple[str, ...]:
        self.world.happen("services")
        missing = self.missing()
        self.world.proxy_runs = True
        self.world.happened()
        return missing

    def missing(self) -> tuple[str, ...]:
        return () if self.world.proxy_runs else ("There is no container of proxy.",)

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        self.world.happen("migrate")
        self.world.happened()

    def start(
        self,
        colour: Colour,
        bundle: Bundle,
        *,
        replicas: int,
        timeout: float,
        keep: bool = False,
    ) -> None:
        reference = bundle.variables["PIPELINE_IMAGE"]
        if reference not in self.world.images:
            raise EngineError(f"no such image: {reference}")
        self.world.happen(f"start {colour}")
        there = self.world.of(colour) if keep else []
        there = there[:replicas]
        for each in there:
            each.running = True
        snapshot = Path(bundle.variables["PIPELINE_ENV_FILE"])
        values = env.restore(snapshot.read_text(), name="env") if snapshot.exists() else {}
        taken = {each.number for each in there}
        for number in sorted(set(range(1, replicas + 1)) - taken):
            self.world.made += 1
            there.append(
                Container(
                    number=number,
                    reference=reference,
                    address=f"172.30.{self.world.made // 250}.{self.world.made % 250 + 1}",
                    release=bundle.variables.get("PIPELINE_RELEASE", ""),
                    env=values,
                )
            )
        self.world.containers[colour] = sorted(there, key=lambda each: each.number)
        self.world.happened()

    def stop(self, colour: Colour, *, timeout: float, only: Collection[str] | None = None) -> None:
        if not self.world.of(colour):
            return
        self.world.happen(f"stop {colour}")
        there = self.world.of(colour)
        left = [each for each in there if only is not None and _id(colour, each) not in only]
        self.world.containers[colour] = left
        self.world.happened()

    def replicas(self, colour: Colour) -> tuple[Replica, ...]:
        self.world.breathe()
        return tuple(self._replica(colour, each) for each in self.world.of(colour))

    def _replica(self, colour: Colour, container: Container) -> Replica:
        image = self.world.image(container)
        ended = image.exits is not None
        return Replica(
            id=_id(colour, container),
            name=f"panager-{colour}-{container.number}",
            state="restarting" if ended else "running" if container.running else "exited",
            exit_code=image.exits or 0,
            restarts=container.restarts + ended,
            address=container.address if container.running and not ended else "",
            digest=container.reference,
            revision=image.sha,
            number=container.number,
            release=container.release,
            env=container.env,
        )

    def logs(self, colour: Colour, *, lines: int) -> str:
        self.world.breathe()
        return "\n".join(self.world.image(each).log for each in self.world.of(colour))


@dataclass
class FakeTraffic:
    world: World

    def live(self) -> Route | None:
        self.world.breathe()
        return self.world.live

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        self._must_run()
        return tuple(
            Server(
                address=f"{each.address}:8000",
                healthy=self.world.passes(each),
                check="L7OK/200" if self.world.image(each).healthy else "L7STS/503",
            )
            for each in self.world.of(colour)
        )

    def recheck(self, colour: Colour, address: str) -> None:
        self._must_run()  # checks are never late here

    def sessions(self, colour: Colour) -> int:
        self._must_run()
        left = self.world.sessions.get(colour, 0)
        self.world.sessions[colour] = max(0, left - 1)
        return left

    def switch(self, route: Route | None) -> Route | None:
        self._must_run()
        self.world.happen(f"switch {route}")
        replaced, self.world.live = self.world.live, route
        self.world.happened()
        return replaced

    def hold(self, colour: Colour) -> None:
        self._must_run()
        self.world.happen(f"hold {colour}")
        self.world.open = {
            each.address for each in self.world.of(other(colour)) if self.world.passes(each)
        }
        self.world.happened()

    def admit(self, colour: Colour, address: str) -> bool:
        self._must_run()
        self.world.happen("admit")
        host = address.rpartition(":")[0]
        there = self.world.of(colour)
        passes = any(each.address == host and self.world.passes(each) for each in there)
        if passes:
            self.world.open.add(host)
        self.world.happened()
        return passes

    def dismiss(self, address: str) -> None:
        self._must_run()
        self.world.happen("dismiss")
        self.world.open.discard(address.rpartition(":")[0])
        self.world.happened()

    def in_flight(self, address: str) -> int:
        self._must_run()
        return 0

    def _must_run(self) -> None:
        self.world.breathe()
        if not self.world.proxy_runs:
            raise TrafficError("the proxy does not run")


@dataclass
class FakeProbe:
    world: World

    def __call__(self, address: str) -> Answer:
        self.world.breathe()
        there = self.world.serving() if address == PUBLIC else self._at(address)
        if not there:
            return Answer(status=0, sha="", text="connection refused")
        sha = self.world.image(there[0]).sha
        return Answer(status=200, sha=sha, text=f'{{"sha": "{sha}"}}')

    def _at(self, address: str) -> list[Container]:
        host = address.rpartition(":")[0]
        everyone = [each for colour in self.world.containers for each in self.world.of(colour)]
        return [each for each in everyone if each.address == host]


@dataclass
class FakeClock:
    world: World

    def monotonic(self) -> float:
        return self.world.seconds

    def sleep(self, seconds: float) -> None:
        self.world.breathe()
        self.world.seconds += seconds


def bundle(reference: str, folder: Path) -> Bundle:
    return Bundle(
        compose_file=folder / "docker-compose.yml",
        variables={
            "PIPELINE_IMAGE": reference,
            "PIPELINE_RELEASE": "of-the-lab",
            "PIPELINE_ENV_FILE": str(folder / "env"),
        },
    )


def _id(colour: Colour, container: Container) -> str:
    return f"{colour}{container.number}at{container.address}"
