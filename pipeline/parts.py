"""The parts of one app's delivery on this host, and what they show of it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline import shell
from pipeline.engine.compose import ComposeEngine
from pipeline.errors import PipelineError, UnavailableError
from pipeline.outcome import Report
from pipeline.plan.strategies import Observed
from pipeline.plan.watching import Deadlines, Known
from pipeline.ports import Clock, Colour, Engine, Probe, Replica, Server, Traffic, other
from pipeline.release import env
from pipeline.release.ledger import Ledger
from pipeline.release.release import Release
from pipeline.release.store import State
from pipeline.settings import Settings
from pipeline.traffic.folders import owner
from pipeline.traffic.haproxy import HAProxy
from pipeline.traffic.probe import HealthProbe, Prober

__all__ = ["Parts", "real_parts"]


class SystemClock:
    """The machine's own clock."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that a deployment is made with.

    Attributes:
        started: When the command started, on the clock's monotonic scale.
        prober: Makes what sends requests all through a deployment; None: nothing does.
        retire: Sees to it that the standby of that deployment goes in time.
    """

    settings: Settings
    state: State
    ledger: Ledger
    engine: Engine
    traffic: Traffic
    report: Report
    started: float
    probe: Probe
    retire: Callable[[int], None]
    clock: Clock = field(default_factory=SystemClock)
    prober: Callable[[], Prober] | None = None

    def known(self, release_id: str) -> Known:
        """Return a release with what it takes to start and to recognise it.

        Raises:
            UnavailableError: There is no such release, or its files are gone.
        """
        release = self.ledger.release(release_id)
        if release is None:
            raise UnavailableError(f"Release {release_id} is not in the ledger.")
        bundle = self.state.bundle(
            release,
            {
                "PIPELINE_PORT": str(self.settings.port),
                "PIPELINE_BIND_ADDRESS": self.settings.bind_address,
                "PIPELINE_PROXY_USER": ":".join(map(str, owner())),
            },
        )
        values = env.restore(self.state.env(release_id), name=f"env of {release_id}")
        return Known(release=release, bundle=bundle, env=values)

    def deadlines(self) -> Deadlines:
        """Return the seconds that steps may take."""
        return Deadlines(
            start=self.settings.start_timeout,
            migrate=self.settings.migrate_timeout,
            drain=self.settings.drain_timeout,
            stop=self.settings.stop_timeout,
            answer=self.settings.answer_timeout,
            window=self.settings.stability_window,
        )

    def observe(self) -> Observed:
        """Look at what is so, as a strategy needs to know it."""
        record = self.ledger.live()
        live = self.colour()
        if live is None:
            return Observed()
        replicas, standby = self.engine.replicas(live), self.engine.replicas(other(live))
        release = self.release_of(replicas)
        healthy = any(each.healthy for each in self.servers(live))
        if record and not healthy:
            for each in self.engine.missing():
                self.report(f"warning: {each}")
        return Observed(
            live=live,
            live_release=release.id if release else "",
            live_replicas=sum(each.state == "running" for each in replicas),
            live_healthy=healthy,
            live_migrations=record[1].migrations if record else "",
            standby_release=_only({each.release for each in standby}),
            standby_replicas=sum(each.healthy for each in self.servers(other(live))),
        )

    def colour(self) -> Colour | None:
        """Return the colour that is live, by the proxy; by the ledger where both have requests."""
        route = self.traffic.live()
        if route != "both":
            return route
        record = self.ledger.live()
        return record[0].colour if record else None

    def release_of(self, replicas: tuple[Replica, ...]) -> Release | None:
        """Return the release that all of some containers run; None where nobody knows."""
        return self.ledger.release(_only({each.release for each in replicas}))

    def servers(self, colour: Colour) -> tuple[Server, ...]:
        """Return the colour's servers; none where the proxy does not run."""
        try:
            return self.traffic.servers(colour)
        except PipelineError:
            return ()


def real_parts(settings: Settings, *, report: Report, started: float) -> dict[str, object]:
    """Return the real parts, by the names of Parts.

    Raises:
        UsageError: The state folder is another app's.
    """
    state = State(settings.state_dir, app=settings.app)
    state.check()
    probe = HealthProbe(path=settings.health_path, host=settings.probe_host)

    def retire(deployment: int) -> None:
        command = [sys.executable, str(settings.root / "tasks.py"), "retire", "--deployment"]
        # A CI runner ends what a job has left behind, unless it does not know it by this.
        shell.spawn(
            [*command, str(deployment)], log=state.retire_log, env={"RUNNER_TRACKING_ID": ""}
        )

    return {
        "settings": settings,
        "state": state,
        "ledger": Ledger(state.ledger),
        "engine": ComposeEngine(settings.app),
        "traffic": HAProxy(config=state.proxy_config, run=state.proxy_run),
        "probe": probe,
        "prober": lambda: Prober(probe=probe, address=settings.address),
        "retire": retire,
        "report": report,
        "started": started,
    }


def _only(ids: set[str]) -> str:
    return ids.pop() if len(ids) == 1 else ""
