"""deploy(), rollback(), resume(): wires settings, image, release, plan and ledger.

Prints nothing; says what happens through a `Report`, and hands back an Outcome.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipeline import standby
from pipeline.attempt import NOBODY_ASKED, Attempt
from pipeline.errors import (
    EngineError,
    PipelineError,
    UnavailableError,
    UndoFailedError,
    UsageError,
)
from pipeline.kept import earlier, environment, what_there_is
from pipeline.outcome import Outcome, Report
from pipeline.parts import Parts, real_parts
from pipeline.plan.plan import Plan
from pipeline.plan.steps import Steps
from pipeline.plan.strategies import Observed, Wanted, plan
from pipeline.plan.watching import unlike
from pipeline.ports import Colour
from pipeline.release import env, lock
from pipeline.release.ledger import Deployment
from pipeline.release.release import Release, release
from pipeline.settings import Settings
from pipeline.traffic.folders import install

__all__ = ["Before", "Delivery", "Pulled"]

# Asked just before a deployment begins, with its kind and release; where it returns an error,
# nothing is begun.
Before = Callable[[str, Release], PipelineError | None]


class Pulled(Protocol):
    """An image that is on this host, as the image wing hands it over."""

    @property
    def reference(self) -> str:
        """`registry/repository@sha256:...`."""

    @property
    def migrations(self) -> str:
        """Identity of its migration scripts, "" if unknown."""


@dataclass(frozen=True, kw_only=True)
class Delivery(Parts):
    """The commands of one app on this host; `of()` wires the real parts.

    Each takes the lock, for which it waits `wait` seconds, and first ends what another left.
    """

    @classmethod
    def of(cls, settings: Settings, *, report: Report, started: float) -> "Delivery":
        """Wire the real engine, proxy and ledger."""
        parts: dict[str, Any] = real_parts(settings, report=report, started=started)
        return cls(**parts)

    def deploy(
        self,
        *,
        sha: str,
        pull: Callable[[str], Pulled],
        compose: str,
        wait: float = 0.0,
        dry_run: bool = False,
        before: Before | None = None,
    ) -> Outcome:
        """Make the image of a commit live.

        Args:
            sha: Full commit hash.
            pull: Makes sure that the commit's image is on this host.
            compose: Text of the Compose file to run it with.
            wait: Seconds to wait for the lock.
            dry_run: Only plan.
            before: Asked under the lock, where there is something to do.

        Raises:
            UsageError: Env file or state folder cannot be used.
            UnavailableError: Registry, engine or ledger do not answer; nothing was changed.
            LockedError: Another deployment is going on.
        """
        with nullcontext() if dry_run else self._locked(f"deploy --sha {sha}", wait):
            if not dry_run:
                self._end_interrupted()
            values, origin = environment(self)
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
            wanted = self._wanted(target, self.settings.replicas)
            if dry_run:
                return self._planned(wanted)
            self.state.save(target, compose=compose, env=env.render(values))
            self.ledger.record_release(target)
            return self._make_live("deploy", wanted, phases, before)

    def rollback(
        self,
        *,
        to: str | None,
        pull: Callable[[str, str], Pulled],
        wait: float = 0.0,
        before: Before | None = None,
    ) -> Outcome:
        """Make the previous release live again, or the one of commit `to`.

        A standby that runs it gets the requests at once. Where a deployment was interrupted,
        undoing that is the way to the previous release.

        Args:
            to: Full or shortened commit hash of a release that was live.
            pull: Makes sure that the image of (commit, reference) is on this host.
            wait: Seconds to wait for the lock.
            before: Asked under the lock, where there is something to do.

        Raises:
            UsageError: There is no such release any more; the message lists what there is.
            UnavailableError: The engine does not answer; nothing was changed.
            LockedError: Another deployment is going on.
        """
        with self._locked("rollback" + (f" --to {to}" if to else ""), wait):
            ended = self._end_interrupted()
            serving = self.ledger.live()
            undone = ended and ended.deployment.kind == "deploy" and ended.deployment.error
            if undone and serving and to is None:
                return self._nothing_to_do(*serving, phases={})
            target = earlier(self, to)
            asked = self.clock.monotonic()
            try:
                pull(target.sha, target.image)
            except EngineError:
                raise
            except UnavailableError as exc:
                raise UsageError(
                    f"Release {target.id} cannot be had any more: {exc.message}",
                    hint=what_there_is(self, except_for=target),
                ) from exc
            phases = {"pull": round(self.clock.monotonic() - asked, 3)}
            had = self.ledger.deployment_of(target.id)
            replicas = had.replicas if had else self.settings.replicas
            wanted = replace(self._wanted(target, replicas), warm=True)
            return self._make_live("rollback", wanted, phases, before)

    def resume(self, *, wait: float = 0.0) -> Outcome | None:
        """End a deployment that was interrupted; None where there is none.

        What was recorded as live is finished, everything else is undone.

        Raises:
            LockedError: Another deployment is going on.
            UndoFailedError: It could not be undone.
        """
        with self._locked("resume", wait):
            return self._resume()

    def remove_standby(self, deployment: int | None = None) -> None:
        """Remove the standby.

        Args:
            deployment: Whose; wait for its time to pass, and leave it where another came after.

        Raises:
            LockedError: Another deployment is going on.
            PipelineError: The proxy sends requests to it.
        """
        standby.remove(self, deployment)

    @contextmanager
    def _locked(self, command: str, wait: float) -> Iterator[None]:
        self.state.create()
        with lock.hold(self.state.lock, command=command, wait=wait, report=self.report):
            yield

    def _wanted(self, target: Release, replicas: int) -> Wanted:
        return Wanted(
            release=target,
            strategy=self.settings.strategy,
            replicas=replicas,
            standby=self.settings.standby > 0,
        )

    def _planned(self, wanted: Wanted) -> Outcome:
        if self.ledger.unfinished():
            self.report("a deployment was interrupted: it would be ended first")
        observed = self.observe()
        made = Plan() if self._serving(wanted, observed) else plan(observed, wanted)
        return self._outcome(self._deployment("deploy", wanted), wanted.release, made)

    def _outcome(self, deployment: Deployment, target: Release, made: Plan) -> Outcome:
        return Outcome(deployment=deployment, release=target, url=self.settings.url, plan=made)

    def _deployment(self, kind: str, wanted: Wanted) -> Deployment:
        return Deployment(
            kind=kind,
            release=wanted.release.id,
            colour=None,
            replicas=wanted.replicas,
            strategy=wanted.strategy,
        )

    def _make_live(
        self, kind: str, wanted: Wanted, phases: dict[str, float], before: Before | None
    ) -> Outcome:
        observed = self.observe()
        if (serving := self._serving(wanted, observed)) is not None:
            self.report(f"{wanted.release.sha[:12]} is live already, nothing to do")
            return self._nothing_to_do(serving, wanted.release, phases)
        if before is not None:
            asked = self.clock.monotonic()
            error = before(kind, wanted.release)
            phases["pre-deploy"] = round(self.clock.monotonic() - asked, 3)
            if error is not None:
                return self._not_begun(self._deployment(kind, wanted), wanted, phases, error)
            observed = self.observe()  # it may have taken minutes
        made = plan(observed, wanted)
        deployment = replace(self._deployment(kind, wanted), strategy=made.strategy)
        attempt = self._attempt(deployment, wanted.release, phases, live=observed.live_healthy)
        return attempt.execute(made, self._steps(attempt))

    def _not_begun(
        self, deployment: Deployment, wanted: Wanted, phases: dict[str, float], error: PipelineError
    ) -> Outcome:
        """Record as failed what was not let begin: the history has the cause."""
        failed = replace(
            deployment,
            outcome="failed",
            seconds=round(self.clock.monotonic() - self.started, 3),
            phases=phases,
            requests=NOBODY_ASKED,
            error=error.as_dict(),
        )
        try:
            failed = replace(failed, id=self.ledger.record(failed))
        except UnavailableError as exc:
            self.report(f"warning: {exc.message}")
        return replace(self._outcome(failed, wanted.release, Plan()), error=error)

    def _nothing_to_do(
        self, deployment: Deployment, target: Release, phases: dict[str, float]
    ) -> Outcome:
        seconds = round(self.clock.monotonic() - self.started, 3)
        same = replace(deployment, seconds=seconds, live_seconds=seconds, phases=phases)
        return self._outcome(same, target, Plan())

    def _attempt(
        self, deployment: Deployment, target: Release, phases: dict[str, float], *, live: bool
    ) -> Attempt:
        return Attempt(
            deployment=deployment,
            release=target,
            ledger=self.ledger,
            clock=self.clock,
            report=self.report,
            started=self.started,
            prober=self.prober() if self.prober and live else None,
            phases=phases,
            url=self.settings.url,
        )

    def _steps(self, attempt: Attempt) -> Steps:
        def keep(_colour: Colour) -> None:
            self.retire(attempt.deployment.id or 0)

        install(config=self.state.proxy_config, run=self.state.proxy_run)
        return Steps(
            engine=self.engine,
            traffic=self.traffic,
            probe=self.probe,
            clock=self.clock,
            report=self.report,
            deadlines=self.deadlines(),
            address=self.settings.address,
            target=attempt.release.id,
            known=self.known,
            record=attempt.live,
            is_recorded=attempt.is_live,
            keep=keep,
            secrets=env.secrets(self.known(attempt.release.id).env or {}),
        )

    def _end_interrupted(self) -> Outcome | None:
        """End what was interrupted; where that cannot be, go on: it may be what mends things."""
        try:
            return self._resume()
        except UndoFailedError as exc:
            self.report(f"warning: {exc.message}")
            left = self.ledger.unfinished()
            if left:
                self.ledger.record(replace(left[0], outcome="failed", seconds=0.0, plan=None))
            return None

    def _resume(self) -> Outcome | None:
        """End what was interrupted; the lock is ours, so nobody is at it any more."""
        found = self.ledger.unfinished()
        if found is None:
            return None
        deployment, target = found
        self.report(f"{deployment.kind} of {target.sha[:12]} was interrupted")
        if not self.state.keeps(target.id):
            raise UndoFailedError(
                f"The files of release {target.id} are gone: what was begun cannot be ended.",
                hint="`invoke status` shows what serves; deploy what is to serve.",
            )
        attempt = self._attempt(deployment, target, dict(deployment.phases), live=False)
        steps, made = self._steps(attempt), Plan.from_dict(deployment.plan or Plan().as_dict())
        # A machine that was started again may lack the proxy, without which nothing is told.
        self.engine.ensure_services(
            self.known(target.id).bundle, timeout=self.settings.start_timeout
        )
        recorded = deployment.outcome == "live" and self.traffic.live() == deployment.colour
        outcome = attempt.resume(made, steps, forward=recorded)
        ended = "finished: it is live" if recorded else "undone: the release before serves"
        self.report(f"{deployment.kind} of {target.sha[:12]} is {ended}")
        return outcome

    def _serving(self, wanted: Wanted, observed: Observed) -> Deployment | None:
        """Return the live deployment where it already is just what is wanted."""
        record = self.ledger.live()
        if record is None or record[1].id != wanted.release.id or not observed.live_healthy:
            return None
        same = record[0].replicas == wanted.replicas == observed.live_replicas
        if not same or record[0].colour is None or record[0].colour != observed.live:
            return None
        known, replicas = self.known(wanted.release.id), self.engine.replicas(record[0].colour)
        if any(unlike(each, known) for each in replicas):
            return None
        return record[0] if self.probe(self.settings.address).names(wanted.release.sha) else None
