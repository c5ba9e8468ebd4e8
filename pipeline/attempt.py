"""One attempt to make a release live: executes a plan, watches it, keeps the ledger true."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import PipelineError, ReleaseFailedError, UnavailableError, UndoFailedError
from pipeline.outcome import Outcome, Report
from pipeline.plan import plan as plans
from pipeline.plan.plan import Plan, Step
from pipeline.plan.steps import Steps
from pipeline.ports import Clock, Colour
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.release import Release
from pipeline.traffic.probe import Prober

__all__ = ["Attempt"]

NOBODY_ASKED = {"sent": 0, "failed": 0, "p99_ms": None}


@dataclass(kw_only=True)
class Attempt:
    """One deployment while it happens, or is resumed.

    Attributes:
        deployment: The ledger's record, brought up to date as things happen.
        prober: Counts what users would lose; None where nothing is live that could be lost.
        phases: Seconds by phase, in order; starts with what was done before the plan.
        started: When the command started, on the clock's monotonic scale.
    """

    deployment: Deployment
    release: Release
    ledger: Ledger
    clock: Clock
    report: Report
    started: float
    prober: Prober | None
    phases: dict[str, float]
    url: str

    def execute(self, plan: Plan, steps: Steps) -> Outcome:
        """Journal the plan, execute it, record how it ended.

        Raises:
            UnavailableError: The journal cannot be written; nothing was changed.
        """
        self.deployment = replace(self.deployment, plan=plan.as_dict())
        self._record()
        return self._run(plan, lambda: plans.execute(plan, steps, on_step=self._on_step))

    def resume(self, plan: Plan, steps: Steps, *, forward: bool) -> Outcome:
        """End what was interrupted: finish it, or lead back to what was live.

        Raises:
            UndoFailedError: It could not be undone; it stays interrupted.
        """
        if forward:
            return self._run(plan, lambda: plans.finish(plan, steps, on_step=self._on_step))
        cause = PipelineError("It was interrupted, and what was begun has been undone.")
        with suppress(KeyboardInterrupt):  # a cancel comes up when everything was undone
            plans.undo(plan, steps, on_step=self._on_step, cause=cause)
        self._end("failed", cause)
        return Outcome(deployment=self.deployment, release=self.release, url=self.url, plan=plan)

    def live(self, colour: Colour) -> None:
        """Record the point of no return: the release is live as `colour`."""
        recorded = replace(self.deployment, colour=colour, outcome="live", phases=dict(self.phases))
        self.ledger.record(recorded)
        self.deployment = recorded

    def is_live(self) -> bool:
        """Tell whether the point of no return is in the ledger, whatever came in between."""
        try:
            latest = self.ledger.unfinished()
        except UnavailableError:
            latest = None
        if latest and latest[0].id == self.deployment.id:
            self.deployment = latest[0]
        return self.deployment.outcome == "live"

    def seconds(self) -> float:
        """Return the seconds since the command started."""
        return round(self.clock.monotonic() - self.started, 3)

    def _run(self, plan: Plan, run: Callable[[], list[PipelineError]]) -> Outcome:
        error: PipelineError | None = None
        left: list[PipelineError] = []
        with ExitStack() as stack:
            if self.prober:
                stack.enter_context(self.prober)
            try:
                left = run()
            except UndoFailedError as exc:
                # Not ended: `resume` tries again.
                return self._outcome(plan, exc, self._keep(exc))
            except PipelineError as exc:
                error = _as_contracted(exc, self.deployment.kind, self.phases)
            except KeyboardInterrupt:
                live = self.deployment.outcome == "live"
                so = "the release is live" if live else "what was begun has been undone"
                error = PipelineError(
                    f"Cancelled; {so}.", hint="`invoke status` shows what serves."
                )
        if left:
            for each in left:
                self.report(f"warning: {each.message}")
            # It is live; what is left of the old is for the next command, or `resume`.
            return self._outcome(plan, None, replace(self.deployment, **self._ending(None)))
        undone = "rolled-back" if "cutover" in self.phases else "failed"
        self._end("live" if self.deployment.outcome == "live" else undone, error)
        return self._outcome(plan, error, self.deployment)

    def _outcome(self, plan: Plan, error: PipelineError | None, deployment: Deployment) -> Outcome:
        return Outcome(
            deployment=deployment, release=self.release, url=self.url, plan=plan, error=error
        )

    def _on_step(self, step: Step, seconds: float) -> None:
        self.phases[step.kind] = round(self.phases.get(step.kind, 0.0) + seconds, 3)
        if step.kind == "cutover":
            self.deployment = replace(self.deployment, live_seconds=self.seconds())
        self.report(f"{step.about} ({seconds:.2f} s)")

    def _keep(self, error: PipelineError) -> Deployment:
        """Record why it could not be ended; return what to show."""
        self.deployment = replace(self.deployment, error=error.as_dict())
        self._try_to_record()
        return replace(self.deployment, outcome="failed", **self._ending(error))

    def _end(self, outcome: str, error: PipelineError | None) -> None:
        self.deployment = replace(
            self.deployment, outcome=outcome, plan=None, **self._ending(error)
        )
        self._try_to_record()

    def _ending(self, error: PipelineError | None) -> dict[str, Any]:
        return {
            "seconds": self.seconds(),
            "phases": dict(self.phases),
            "requests": self.prober.result() if self.prober else NOBODY_ASKED,
            "error": error.as_dict() if error else None,
        }

    def _try_to_record(self) -> None:
        try:
            with suppress(KeyboardInterrupt):  # too late to cancel anything
                self._record()
                return
            self._record()
        except UnavailableError as exc:
            # How it ended is known and will be said; the next command ends the record.
            self.report(f"warning: {exc.message}")

    def _record(self) -> None:
        self.deployment = replace(self.deployment, id=self.ledger.record(self.deployment))


def _as_contracted(exc: PipelineError, kind: str, phases: Mapping[str, float]) -> PipelineError:
    """Give a failure the exit code that says what it means for users."""
    begun = "services" in phases  # before that, nothing of the new release was started
    wanted = UndoFailedError if kind == "rollback" else ReleaseFailedError
    if not begun or isinstance(exc, UndoFailedError | wanted):
        return exc
    return wanted(exc.message, hint=exc.hint, details=exc.details)
