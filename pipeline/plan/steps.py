"""What each kind of step does, over the ports alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from pipeline.errors import PipelineError, ReleaseFailedError
from pipeline.plan.plan import Step
from pipeline.ports import Bundle, Clock, Colour, Engine, Probe, Replica, Server, Traffic
from pipeline.release.release import Release
from pipeline.settings import Secret

__all__ = ["Deadlines", "Steps"]

POLL = 0.02  # seconds between looks at the proxy, whose socket answers in under 1 ms
LOG_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds that each kind of step may take."""

    start: float
    migrate: float
    drain: float
    stop: float


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Does and undoes the steps of one deployment.

    Attributes:
        address: `host:port` of the public port.
        record: Called with the colour at the point of no return.
        secrets: What must not be in text that will be shown.
    """

    engine: Engine
    traffic: Traffic
    probe: Probe
    clock: Clock
    release: Release
    bundle: Bundle
    deadlines: Deadlines
    address: str
    record: Callable[[Colour], None]
    secrets: Sequence[Secret] = ()

    def do(self, step: Step) -> None:
        """Do the step.

        Raises:
            PipelineError: It failed; no secret is in what it says.
        """
        try:
            self._do(step)
        except PipelineError as exc:
            exc.message, exc.details = self._conceal(exc.message), self._conceal(exc.details)
            raise

    def _do(self, step: Step) -> None:
        colour = cast("Colour", step.arguments.get("colour"))
        match step.kind:
            case "services":
                self.engine.ensure_services(self.bundle, timeout=self.deadlines.start)
            case "migrate":
                self.engine.migrate(self.bundle, timeout=self.deadlines.migrate)
            case "start":
                replicas = cast("int", step.arguments["replicas"])
                self.engine.start(
                    colour, self.bundle, replicas=replicas, timeout=self.deadlines.start
                )
            case "healthy":
                self._wait_healthy(colour, cast("int", step.arguments["replicas"]))
            case "verify":
                self._verify(colour)
            case "cutover":
                self.traffic.switch(colour)
            case "confirm":
                self._confirm()
            case "record":
                self.record(colour)
            case "drain":
                self._drain(colour)
            case "stop":
                self.engine.stop(colour, timeout=self.deadlines.stop)
            case _:
                raise AssertionError(f"no such step: {step.kind}")

    def undo(self, step: Step) -> None:
        """Take the step back.

        Raises:
            PipelineError: It could not be taken back.
        """
        colour = cast("Colour", step.arguments.get("colour"))
        if step.kind == "cutover" and self.traffic.live() == colour:
            self.traffic.switch(cast("Colour | None", step.arguments["replaces"]))
        elif step.kind == "start":
            self.engine.stop(colour, timeout=self.deadlines.stop)

    def _wait_healthy(self, colour: Colour, wanted: int) -> None:
        deadline = self.clock.monotonic() + self.deadlines.start
        seen: set[str] = set()
        said: dict[str, str] = {}
        while True:
            replicas = self.engine.replicas(colour)
            if ended := [each for each in replicas if _ended(each)]:
                raise self._failure(
                    colour, f"{ended[0].name} ended with exit code {ended[0].exit_code}."
                )
            servers = self.traffic.servers(colour)
            healthy = {_host(each) for each in servers if each.healthy} & seen
            addresses = {each.address for each in replicas}
            if len(replicas) == wanted and addresses <= healthy:
                return
            for server in servers:
                # The proxy drops the code of a check while the next is under way: keep it.
                if not said.get(server.address, "").startswith(server.check):
                    said[server.address] = server.check
                # The engine gives addresses again soon, and the proxy its places in the
                # backend: a check that passed may be that of a container of before.
                if _host(server) in addresses - seen:
                    self.traffic.recheck(colour, server.address)
                    seen.add(_host(server))
            if self.clock.monotonic() > deadline:
                checks = ", ".join(f"{each.address} {said.get(each.address)}" for each in servers)
                raise self._failure(
                    colour,
                    f"{colour} was not healthy within {self.deadlines.start:g} s"
                    f" (the proxy's last check: {checks or 'it sees no replica'}).",
                )
            self.clock.sleep(POLL)

    def _verify(self, colour: Colour) -> None:
        replicas = self.engine.replicas(colour)
        for replica in replicas:
            if replica.digest != self.release.image:
                raise self._failure(
                    colour, f"{replica.name} runs {replica.digest}, not {self.release.image}."
                )
        addresses = {each.address for each in replicas}
        for server in self.traffic.servers(colour):
            if _host(server) not in addresses:
                continue  # a container of before, which the proxy is about to forget
            answer = self.probe(server.address)
            if not answer.names(self.release.sha):
                raise self._failure(
                    colour,
                    f"{colour} does not answer as commit {self.release.sha}; it said {answer}",
                )

    def _confirm(self) -> None:
        answer = self.probe(self.address)
        if not answer.names(self.release.sha):
            raise ReleaseFailedError(
                f"After the cutover the public port {self.address} does not answer as commit"
                f" {self.release.sha}; it said {answer}",
                hint="Traffic went back to the release that was live before.",
            )

    def _drain(self, colour: Colour) -> None:
        deadline = self.clock.monotonic() + self.deadlines.drain
        while left := self.traffic.sessions(colour):
            if self.clock.monotonic() > deadline:
                raise PipelineError(
                    f"{left} requests of {colour} were still in flight after"
                    f" {self.deadlines.drain:g} s and are cut off."
                )
            self.clock.sleep(POLL)

    def _failure(self, colour: Colour, message: str) -> ReleaseFailedError:
        lines = [f"{self._last_probe(colour)}"] if self.traffic.servers(colour) else []
        lines += [f"last {LOG_LINES} log lines of {colour}:"]
        logs = self.engine.logs(colour, lines=LOG_LINES)
        return ReleaseFailedError(
            message,
            hint="The release that was live before still serves. Mend the commit, then deploy it.",
            details="\n".join([*lines, logs or "(none)"]),
        )

    def _conceal(self, text: str) -> str:
        for secret in self.secrets:
            text = secret.hide_in(text)
        return text

    def _last_probe(self, colour: Colour) -> str:
        server = self.traffic.servers(colour)[0]
        return f"last probe of {server.address}: {self.probe(server.address)}"


def _host(server: Server) -> str:
    return server.address.rpartition(":")[0]


def _ended(replica: Replica) -> bool:
    return replica.state in {"exited", "dead", "restarting"} or replica.restarts > 0
