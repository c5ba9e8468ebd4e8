"""Waiting for what has to become so, checking that it is, and the evidence where it is not."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pipeline.errors import PipelineError, ReleaseFailedError
from pipeline.ports import Answer, Bundle, Clock, Colour, Engine, Probe, Replica, Server, Traffic
from pipeline.release.release import Release

__all__ = ["POLL", "Deadlines", "Known", "Watching", "unlike"]

POLL = 0.02  # seconds between looks at the proxy, whose socket answers in under 1 ms
ENGINE_POLL = 0.1  # seconds between looks at the engine, which costs some of the machine
LOG_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds that each kind of step may take; `window` is what one of them does take.

    Attributes:
        answer: Until the public port must answer right after a switch.
        window: How long a release is watched after its cutover.
    """

    start: float
    migrate: float
    drain: float
    stop: float
    answer: float
    window: float


@dataclass(frozen=True, kw_only=True)
class Known:
    """A release, and what it takes to start and to recognise it.

    Attributes:
        env: Its environment; None where the snapshot is gone, which then cannot be compared.
    """

    release: Release
    bundle: Bundle
    env: Mapping[str, str] | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Looks at engine, proxy and service.

    Attributes:
        address: `host:port` of the public port.
    """

    engine: Engine
    traffic: Traffic
    probe: Probe
    clock: Clock
    deadlines: Deadlines
    address: str
    report: Callable[[str], None]

    def healthy(self, colour: Colour) -> int:
        """Return how many of the colour's servers pass the proxy's check."""
        return sum(each.healthy for each in self.traffic.servers(colour))

    def addresses(self, colour: Colour) -> set[str]:
        """Return the addresses of the servers that are replicas now."""
        replicas = {each.address for each in self.engine.replicas(colour)}
        servers = self.traffic.servers(colour)
        return {each.address for each in servers if _host(each) in replicas}

    def wait_healthy(self, colour: Colour, wanted: int, *, settled: int = 0) -> None:
        """Wait until the proxy's own check of every replica has passed.

        Args:
            colour: Whose replicas.
            wanted: How many there have to be.
            settled: So many of them, the oldest, have passed it before and have requests.

        Raises:
            ReleaseFailedError: One ended, or the deadline came first.
        """
        deadline = self.clock.monotonic() + self.deadlines.start
        looked = -ENGINE_POLL
        replicas: tuple[Replica, ...] = ()
        seen: set[str] = set()
        said: dict[str, str] = {}
        while True:
            if self.clock.monotonic() - looked >= ENGINE_POLL:
                replicas, looked = self.engine.replicas(colour), self.clock.monotonic()
            if ended := [each for each in replicas if _ended(each)]:
                raise self.failure(
                    colour, f"{ended[0].name} ended with exit code {ended[0].exit_code}."
                )
            servers = self.traffic.servers(colour)
            addresses = {each.address for each in replicas}
            fresh = {each.address for each in replicas if each.number > settled}
            healthy = {_host(each) for each in servers if each.healthy} & seen
            if len(replicas) == wanted and addresses <= healthy:
                return
            for server in servers:
                # The proxy drops the code of a check while the next is under way: keep it.
                if not said.get(server.address, "").startswith(server.check):
                    said[server.address] = server.check
                # The engine gives addresses again soon, and the proxy its places in the
                # backend: a check that passed may be that of a container of before.
                if _host(server) in addresses - seen:
                    if _host(server) in fresh:
                        self.traffic.recheck(colour, server.address)
                    seen.add(_host(server))
            if self.clock.monotonic() > deadline:
                checks = ", ".join(f"{each.address} {said.get(each.address)}" for each in servers)
                raise self.failure(
                    colour,
                    f"{colour} was not healthy within {self.deadlines.start:g} s"
                    f" (the proxy's last check: {checks or 'it sees no replica'}).",
                )
            self.clock.sleep(POLL)

    def wait_served(
        self, colour: Colour, wanted: int, *, settled: Collection[str] | None = None
    ) -> None:
        """Wait until the proxy's check of as many replicas passes, whatever they went through.

        Args:
            colour: Whose replicas.
            wanted: How many have to pass it.
            settled: Hosts whose checks count as they are; any other host is checked again, for
                a check that passed may be that of a container of before. Default: all.

        Raises:
            PipelineError: The deadline came first.
        """
        deadline = self.clock.monotonic() + self.deadlines.start
        trusted = set(settled or ())
        while True:
            hosts = {each.address for each in self.engine.replicas(colour)}
            servers = [each for each in self.traffic.servers(colour) if _host(each) in hosts]
            if settled is None:
                trusted |= hosts
            healthy = sum(each.healthy for each in servers if _host(each) in trusted)
            if healthy >= wanted:
                return
            for server in servers:
                if _host(server) not in trusted:
                    self.traffic.recheck(colour, server.address)
                    trusted.add(_host(server))
            if self.clock.monotonic() > deadline:
                raise PipelineError(
                    f"Only {healthy} of {wanted} replicas of {colour} serve after"
                    f" {self.deadlines.start:g} s."
                )
            self.clock.sleep(POLL)

    def verify(self, colour: Colour, known: Known, wanted: int) -> None:
        """Compare what runs with what was to run, and ask each replica who it is.

        Raises:
            ReleaseFailedError: Another image, release or environment, or a wrong answer.
        """
        replicas = self.engine.replicas(colour)
        if len(replicas) != wanted:
            raise self.failure(colour, f"{colour} has {len(replicas)} replicas, not {wanted}.")
        for replica in replicas:
            if odd := unlike(replica, known):
                raise self.failure(colour, f"{replica.name} runs {odd}.")
        for address in self.addresses(colour):
            answer = self.probe(address)
            if not answer.names(known.release.sha):
                raise self.failure(
                    colour,
                    f"{colour} does not answer as commit {known.release.sha}; it said {answer}",
                )

    def confirm(self, colour: Colour, known: Known, replicas: int) -> None:
        """Ask the public port until it has answered right, as often as there are replicas.

        Raises:
            ReleaseFailedError: The deadline came first.
        """
        deadline = self.clock.monotonic() + self.deadlines.answer
        right = 0
        while right < max(replicas, 1):
            answer = self.probe(self.address)
            if answer.names(known.release.sha):
                right += 1
                continue
            right = 0
            if self.clock.monotonic() > deadline:
                raise self._misses(colour, known, answer)
            self.clock.sleep(POLL)

    def watch(self, colour: Colour, known: Known, replicas: int) -> None:
        """Watch a release that has just got the requests: nothing ends, all answer right.

        Raises:
            ReleaseFailedError: A replica ended or was started again, or the port answers wrong.
        """
        end = self.clock.monotonic() + self.deadlines.window
        before = {each.id: each.restarts for each in self.engine.replicas(colour)}
        while True:
            now = self.engine.replicas(colour)
            for each in now:
                if each.state != "running" or each.restarts != before.get(each.id):
                    raise self.failure(
                        colour,
                        f"{each.name} ended with exit code {each.exit_code} after the cutover.",
                    )
            if len(now) != replicas:
                raise self.failure(colour, f"{colour} has {len(now)} replicas, not {replicas}.")
            if self.clock.monotonic() >= end:
                break
            self.clock.sleep(min(ENGINE_POLL, max(end - self.clock.monotonic(), 0)))
        self.wait_served(colour, replicas)
        self.confirm(colour, known, replicas)

    def drain(self, in_flight: Callable[[], int], colour: Colour) -> None:
        """Wait until no request is in flight, at most to the deadline; say so then."""
        deadline = self.clock.monotonic() + self.deadlines.drain
        while left := in_flight():
            if self.clock.monotonic() > deadline:
                self.report(
                    f"warning: {left} requests of {colour} were still in flight after"
                    f" {self.deadlines.drain:g} s and are cut off"
                )
                return
            self.clock.sleep(POLL)

    def failure(self, colour: Colour, message: str) -> ReleaseFailedError:
        """Return the error with all that tells why: last probe, exit codes, last log lines."""
        replicas = self.engine.replicas(colour)
        lines = [f"last probe of {each}: {self.probe(each)}" for each in self._some(colour)]
        lines += [
            f"{each.name}: {each.state}, exit code {each.exit_code}, {each.restarts} restarts"
            for each in replicas
        ]
        said = self.engine.logs(colour, lines=LOG_LINES)
        lines += [f"last {LOG_LINES} log lines of {colour}:", said or "(none)"]
        if _OTHER_PROCESSOR in said.lower():
            message += " Its image is for another processor; `invoke inspect` names its platforms."
        return ReleaseFailedError(
            message,
            hint="The release that was live before serves. Mend the commit, then deploy it.",
            details="\n".join(lines),
        )

    def _misses(self, colour: Colour, known: Known, answer: Answer) -> ReleaseFailedError:
        return self.failure(
            colour,
            f"After the cutover the public port {self.address} does not answer as commit"
            f" {known.release.sha}; it said {answer}",
        )

    def _some(self, colour: Colour) -> list[str]:
        return [each.address for each in self.traffic.servers(colour)][:1]


_OTHER_PROCESSOR = "exec format error"  # Linux, errno ENOEXEC


def _host(server: Server) -> str:
    return server.address.rpartition(":")[0]


def _ended(replica: Replica) -> bool:
    return replica.state in {"exited", "dead", "restarting"} or replica.restarts > 0


def unlike(replica: Replica, known: Known) -> str:
    """Return what the replica runs where it is not the release, "" where it is."""
    if replica.digest != known.release.image:
        return f"{replica.digest}, not {known.release.image}"
    if replica.release != known.release.id:
        return f"release {replica.release or 'of nobody'}, not {known.release.id}"
    env = known.env or {}
    differing = sorted(key for key, value in env.items() if replica.env.get(key) != value)
    return f"with other values of {', '.join(differing)} than its env file's" if differing else ""
