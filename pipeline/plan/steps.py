"""What each kind of step does, over the ports alone; each may be done twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.errors import PipelineError, TrafficError
from pipeline.plan.plan import Step
from pipeline.plan.watching import POLL, Known, Watching
from pipeline.ports import Bundle, Colour, other
from pipeline.settings import Secret

__all__ = ["Steps"]


@dataclass(frozen=True, kw_only=True)
class Steps(Watching):
    """Does the steps of one deployment.

    Attributes:
        target: Id of the release that is to be live.
        known: Returns what there is of a release, by id.
        record: Called with the colour at the point of no return.
        is_recorded: Tells whether that has happened.
        keep: Called with the colour that stays as standby.
        secrets: What must not be in text that will be shown.
    """

    target: str
    known: Callable[[str], Known]
    record: Callable[[Colour], None]
    is_recorded: Callable[[], bool]
    keep: Callable[[Colour], None]
    secrets: Sequence[Secret] = ()

    def do(self, step: Step) -> None:
        """Do the step.

        Raises:
            PipelineError: It failed; no secret is in what it says.
        """
        try:
            # The kind names the method, the arguments are its own.
            getattr(self, f"_{step.kind}")(**step.arguments)
        except PipelineError as exc:
            exc.message, exc.details = self._conceal(exc.message), self._conceal(exc.details)
            raise

    def recorded(self) -> bool:
        """Tell whether the point of no return is behind us."""
        return self.is_recorded()

    def _services(self, migrate: int = 0) -> None:
        missing = self.engine.ensure_services(self._bundle, timeout=self.deadlines.start)
        if missing and migrate:
            for each in missing:
                self.report(f"warning: {each}")
            self._migrate()  # the database may be another one than it was

    def _migrate(self) -> None:
        self.engine.migrate(self._bundle, timeout=self.deadlines.migrate)

    def _clear(self, colour: Colour) -> None:
        self._drain(colour)  # it may have had requests until just now
        self._end(colour, timeout=0)

    def _start(self, colour: Colour, release: str, replicas: int, keep: int) -> None:
        self.engine.start(
            colour,
            self.known(release).bundle,
            replicas=replicas,
            timeout=self.deadlines.start,
            keep=bool(keep),
        )

    def _healthy(self, colour: Colour, replicas: int, settled: int) -> None:
        self.wait_healthy(colour, replicas, settled=settled)

    def _verify(self, colour: Colour, release: str, replicas: int) -> None:
        self.verify(colour, self.known(release), replicas)

    def _pause(self) -> None:
        self.traffic.switch(None)

    def _join(self, colour: Colour) -> None:
        self.traffic.hold(colour)
        # `both` has checks of its own: it gets no request before all who serve have passed them.
        old = other(colour)
        healthy = {each.address for each in self.traffic.servers(old) if each.healthy}
        serving = healthy & self.addresses(old)
        self._let_in(old, serving, len(serving))
        self.traffic.switch("both")

    def _admit(self, colour: Colour, replicas: int) -> None:
        self._let_in(colour, self.addresses(colour), replicas)

    def _let_in(self, colour: Colour, waiting: set[str], wanted: int) -> None:
        deadline = self.clock.monotonic() + self.deadlines.start
        while waiting := {each for each in waiting if not self.traffic.admit(colour, each)}:
            if self.clock.monotonic() > deadline:
                raise self.failure(
                    colour,
                    f"Not all {wanted} replicas of {colour} passed the proxy's check within"
                    f" {self.deadlines.start:g} s ({', '.join(sorted(waiting))}).",
                )
            self.clock.sleep(POLL)

    def _dismiss(self, colour: Colour, left: int) -> None:
        surplus = sorted(self.engine.replicas(colour), key=lambda each: each.number)[left:]
        hosts = {each.address for each in surplus}
        leaving = [each for each in self.addresses(colour) if each.rpartition(":")[0] in hosts]
        for address in leaving:
            self.traffic.dismiss(address)
        self.drain(lambda: sum(map(self.traffic.in_flight, leaving)), colour)
        only = [each.id for each in surplus]
        self.engine.stop(colour, timeout=self.deadlines.stop, only=only)

    def _cutover(self, colour: Colour) -> None:
        self.traffic.switch(colour)

    def _confirm(self, colour: Colour, release: str, replicas: int) -> None:
        self.confirm(colour, self.known(release), replicas)

    def _watch(self, colour: Colour, release: str, replicas: int) -> None:
        self.watch(colour, self.known(release), replicas)

    def _record(self, colour: Colour) -> None:
        self.record(colour)

    def _drain(self, colour: Colour) -> None:
        with suppress(TrafficError):  # a proxy that is gone has nothing in flight
            self.drain(lambda: self.traffic.sessions(colour), colour)

    def _keep(self, colour: Colour) -> None:
        self.keep(colour)

    def _stop(self, colour: Colour) -> None:
        self._end(colour, timeout=self.deadlines.stop)

    def _restore(self, colour: Colour, release: str, replicas: int, healthy: int) -> None:
        there = self.engine.replicas(colour)
        intact = all(each.release == release for each in there)
        running = sum(each.state == "running" for each in there)
        if not intact or running < replicas:
            self.engine.start(
                colour,
                self.known(release).bundle,
                replicas=replicas,
                timeout=self.deadlines.start,
                keep=intact,
            )
        if healthy:
            # Those that have requests are not to lose them to a check that is yet to come.
            serves = self.traffic.live() in {colour, "both"}
            kept = {each.address for each in there if serves and each.state == "running"}
            self.wait_served(colour, replicas, settled=kept)

    def _back(self, colour: Colour | None, release: str, replicas: int, healthy: int) -> None:
        if colour and healthy and not self.healthy(colour):
            raise PipelineError(f"No replica of {colour} is healthy: it was not given requests.")
        if self.traffic.live() != colour:
            self.traffic.switch(colour)
        if colour and healthy and release:
            self.confirm(colour, self.known(release), replicas)

    @property
    def _bundle(self) -> Bundle:
        return self.known(self.target).bundle

    def _end(self, colour: Colour, *, timeout: float) -> None:
        if self.traffic.live() in {colour, "both"}:
            raise PipelineError(
                f"{colour} was not stopped: the proxy sends requests to it.",
                hint="`invoke status` shows what serves.",
            )
        self.engine.stop(colour, timeout=timeout)

    def _conceal(self, text: str) -> str:
        for secret in self.secrets:
            text = secret.hide_in(text)
        return text
