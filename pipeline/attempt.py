"""One attempt to make a release live: executes a plan, watches it, keeps the ledger true."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pipeline.errors import PipelineError, ReleaseFailedError, UndoFailedError
from pipeline.outcome import Outcome, Report
from pipeline.plan.plan import Plan, Step, execute
from pipeline.plan.steps import Steps
from pipeline.ports import Clock, Colour
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.release import Release
from pipeline.traffic.probe import Prober

__all__ = ["Attempt"]

NOBODY_ASKED = {"sent": 0, "failed": 0, "p99_ms": None}


@dataclass(kw_only=True)
class Attempt:
    """One deployment while it happens.

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
        """Execute the plan and record how it ended.

        Raises:
            UnavailableError: The ledger cannot be written.
            BaseException: A cancel, after everything was undone.
        """
        self._record()
        error: PipelineError | None = None
        with ExitStack() as stack:
            if self.prober:
                stack.enter_context(self.prober)
            try:
                for leftover in execute(plan, steps, on_step=self._on_step):
                    self.report(f"warning: {leftover.message}")
            except PipelineError as exc:
                error = _as_contracted(exc, self.deployment.kind, self.phases)
            except BaseException as exc:
                cause = PipelineError(f"Cancelled ({type(exc).__name__}).")
                self._end("failed" if self.deployment.outcome == "running" else "live", cause)
                raise
        if error is None:
            self._end("live", None)
        else:
            self._end("rolled-back" if "cutover" in self.phases else "failed", error)
        return Outcome(
            deployment=self.deployment,
            release=self.release,
            url=self.url,
            plan=plan,
            error=error,
        )

    def live(self, colour: Colour) -> None:
        """Record the point of no return: the release is live as `colour`."""
        self.deployment = replace(
            self.deployment, colour=colour, outcome="live", phases=dict(self.phases)
        )
        self._record()

    def seconds(self) -> float:
        """Return the seconds since the command started."""
        return round(self.clock.monotonic() - self.started, 3)

    def _on_step(self, step: Step, seconds: float) -> None:
        self.phases[step.kind] = round(seconds, 3)
        if step.kind == "cutover":
            self.deployment = replace(self.deployment, live_seconds=self.seconds())
        self.report(f"{step.about} ({seconds:.2f} s)")

    def _end(self, outcome: str, error: PipelineError | None) -> None:
        self.deployment = replace(
            self.deployment,
            outcome=outcome,
            seconds=self.seconds(),
            phases=dict(self.phases),
            requests=self.prober.result() if self.prober else NOBODY_ASKED,
            error=error.as_dict() if error else None,
        )
        self._record()

    def _record(self) -> None:
        self.deployment = replace(self.deployment, id=self.ledger.record(self.deployment))


def _as_contracted(exc: PipelineError, kind: str, phases: Mapping[str, float]) -> PipelineError:
    """Give a failure the exit code that says what it means for users."""
    begun = "services" in phases  # before that, nothing of the new release was started
    wanted = UndoFailedError if kind == "rollback" else ReleaseFailedError
    if not begun or isinstance(exc, UndoFailedError | wanted):
        return exc
    return wanted(exc.message, hint=exc.hint, details=exc.details)
