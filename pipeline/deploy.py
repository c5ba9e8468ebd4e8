"""deploy() and rollback(): wires settings, image, release, plan, engine, traffic and ledger.

Prints nothing; says what happens through a `Report`, and hands back an Outcome.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipeline.attempt import Attempt
from pipeline.engine.compose import ComposeEngine
from pipeline.errors import PipelineError, UsageError
from pipeline.outcome import Outcome, Report
from pipeline.plan.plan import Plan
from pipeline.plan.steps import Deadlines, Steps
from pipeline.plan.strategies import Observed, blue_green
from pipeline.ports import Bundle, Clock, Colour, Engine, Probe, Server, Traffic
from pipeline.release import env, lock
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.release import Release, release
from pipeline.release.store import State
from pipeline.settings import Settings
from pipeline.traffic.haproxy import HAProxy, install
from pipeline.traffic.probe import HealthProbe, Prober

__all__ = ["Delivery", "Pulled"]


class Pulled(Protocol):
    """An image that is on this host, as the image wing hands it over."""

    @property
    def reference(self) -> str:
        """`registry/repository@sha256:...`."""

    @property
    def migrations(self) -> str:
        """Identity of its migration scripts, "" if unknown."""


class SystemClock:
    """The machine's own clock."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One app on this host; `of()` wires the real parts.

    Attributes:
        started: When the command started, on the clock's monotonic scale.
        prober: Makes what sends requests all through a deployment; None: nothing does.
    """

    settings: Settings
    state: State
    ledger: Ledger
    engine: Engine
    traffic: Traffic
    report: Report
    started: float
    probe: Probe
    clock: Clock = field(default_factory=SystemClock)
    prober: Callable[[], Prober] | None = None

    @classmethod
    def of(cls, settings: Settings, *, report: Report, started: float) -> "Delivery":
        """Wire the real engine, proxy and ledger."""
        state = State(settings.state_dir)
        probe = HealthProbe(path=settings.health_path, host=settings.probe_host)
        return cls(
            settings=settings,
            state=state,
            ledger=Ledger(state.ledger),
            engine=ComposeEngine(settings.app),
            traffic=HAProxy(config=state.proxy_config, run=state.proxy_run),
            probe=probe,
            prober=lambda: Prober(probe=probe, address=settings.address),
            report=report,
            started=started,
        )

    def deploy(
        self, *, sha: str, pull: Callable[[str], Pulled], compose: str, dry_run: bool = False
    ) -> Outcome:
        """Make the image of a commit live.

        Args:
            sha: Full commit hash.
            pull: Makes sure that the commit's image is on this host.
            compose: Text of the Compose file to run it with.
            dry_run: Only plan.

        Raises:
            UsageError: Env file or state folder cannot be used.
            UnavailableError: Registry, engine or ledger do not answer; nothing was changed.
            LockedError: Another deployment is going on.
        """
        with self._locked(f"deploy --sha {sha}"):
            values, origin = self._environment()
            self.report(f"env: {len(values)} keys from {origin}")
            asked = self.clock.monotonic()
            pulled = pull(sha)
            target = release(
                sha=sha,
                image=pulled.reference,
                compose=compose,
                env_hash=env.digest(values),
                migrations=pulled.migrations,
            )
            phases = {"pull": round(self.clock.monotonic() - asked, 3)}
            if dry_run:
                return self._planned(target)
            self.state.save(target, compose=compose, env=env.render(values))
            self.ledger.record_release(target)
            return self._make_live("deploy", target, values, phases)

    def rollback(self, *, to: str | None, pull: Callable[[str, str], Pulled]) -> Outcome:
        """Make the previous release live again, or the one of commit `to`.

        Args:
            to: Full or shortened commit hash of a release that was live.
            pull: Makes sure that the image of (commit, reference) is on this host.

        Raises:
            UsageError: There is no such release; the message lists what there is.
            UnavailableError: The engine does not answer; nothing was changed.
            LockedError: Another deployment is going on.
        """
        with self._locked("rollback" + (f" --to {to}" if to else "")):
            target = self._earlier(to)
            values = env.restore(self.state.env(target.id), name=f"env of {target.id}")
            asked = self.clock.monotonic()
            pull(target.sha, target.image)
            phases = {"pull": round(self.clock.monotonic() - asked, 3)}
            return self._make_live("rollback", target, values, phases)

    @contextmanager
    def _locked(self, command: str) -> Iterator[None]:
        self.state.create()
        with lock.hold(self.state.lock, command=command):
            yield

    def _environment(self) -> tuple[dict[str, str], str]:
        required = self.settings.required_env
        if self.settings.env_content:
            text = self.settings.env_content.reveal()
            return env.parse(text, name="ENV_FILE", required=required), "ENV_FILE"
        path = self.settings.root / self.settings.env_file
        kept = self.ledger.lives()
        if kept and not path.exists() and self.settings.sources.get("env_file") != "--env-file":
            # On a server without an env file, the service goes on with what it had.
            name = f"release {kept[0][1].id}"
            text = self.state.env(kept[0][1].id)
            return env.restore(text, name=name, required=required), name
        return env.read(path, required=required), str(path)

    def _earlier(self, to: str | None) -> Release:
        if to is None:
            previous = self.ledger.previous()
            if previous is None:
                raise UsageError(
                    "There is no previous release to roll back to.",
                    hint="`invoke history` lists the deployments of this host.",
                )
            return previous[1]
        lives = [target for _, target in self.ledger.lives()]
        found = [target for target in lives if to and target.sha.startswith(to)]
        if not found:
            had = ", ".join(dict.fromkeys(target.sha[:12] for target in lives)) or "none"
            raise UsageError(
                f"No release of commit {to!r} was ever live here.",
                hint=f"These can be had: {had}.",
            )
        return found[0]

    def _planned(self, target: Release) -> Outcome:
        plan = blue_green(self._observe(), target, replicas=self.settings.replicas)
        return self._outcome(self._deployment("deploy", target), target, plan)

    def _outcome(self, deployment: Deployment, target: Release, plan: Plan) -> Outcome:
        return Outcome(deployment=deployment, release=target, url=self.settings.url, plan=plan)

    def _deployment(self, kind: str, target: Release) -> Deployment:
        return Deployment(
            kind=kind, release=target.id, colour=None, replicas=self.settings.replicas
        )

    def _make_live(
        self, kind: str, target: Release, values: Mapping[str, str], phases: dict[str, float]
    ) -> Outcome:
        observed = self._observe()
        if (serving := self._serving(target, observed)) is not None:
            self.report(f"{target.sha[:12]} is live already, nothing to do")
            seconds = round(self.clock.monotonic() - self.started, 3)
            same = replace(serving, seconds=seconds, live_seconds=seconds, phases=phases)
            return self._outcome(same, target, Plan(steps=()))
        plan = blue_green(observed, target, replicas=self.settings.replicas)
        attempt = Attempt(
            deployment=self._deployment(kind, target),
            release=target,
            ledger=self.ledger,
            clock=self.clock,
            report=self.report,
            started=self.started,
            prober=self.prober() if self.prober and observed.live_healthy else None,
            phases=phases,
            url=self.settings.url,
        )
        return attempt.execute(plan, self._steps(target, values, attempt))

    def _steps(self, target: Release, values: Mapping[str, str], attempt: Attempt) -> Steps:
        return Steps(
            engine=self.engine,
            traffic=self.traffic,
            probe=self.probe,
            clock=self.clock,
            release=target,
            bundle=self._bundle(target),
            deadlines=Deadlines(
                start=self.settings.start_timeout,
                migrate=self.settings.migrate_timeout,
                drain=self.settings.drain_timeout,
                stop=self.settings.stop_timeout,
            ),
            address=self.settings.address,
            record=attempt.live,
            secrets=env.secrets(values),
        )

    def _observe(self) -> Observed:
        live = self.traffic.live()
        record = self.ledger.live()
        return Observed(
            live=live,
            live_healthy=live is not None and any(each.healthy for each in self._servers(live)),
            live_migrations=record[1].migrations if record else "",
        )

    def _servers(self, colour: Colour) -> tuple[Server, ...]:
        try:
            return self.traffic.servers(colour)
        except PipelineError:
            return ()  # the proxy does not run: nothing is healthy behind it

    def _serving(self, target: Release, observed: Observed) -> Deployment | None:
        """Return the live deployment where it already is just what is wanted."""
        record = self.ledger.live()
        if record is None or record[1].id != target.id or not observed.live_healthy:
            return None
        same = record[0].replicas == self.settings.replicas and record[0].colour == observed.live
        return record[0] if same and self.probe(self.settings.address).names(target.sha) else None

    def _bundle(self, target: Release) -> Bundle:
        user = install(config=self.state.proxy_config, run=self.state.proxy_run)
        return self.state.bundle(
            target,
            {
                "PIPELINE_PORT": str(self.settings.port),
                "PIPELINE_BIND_ADDRESS": self.settings.bind_address,
                "PIPELINE_PROXY_USER": user,
            },
        )
