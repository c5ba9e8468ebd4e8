"""How a deployment ended, as a value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.plan.plan import Plan
from pipeline.release.ledger import Deployment
from pipeline.release.release import Release

__all__ = ["Outcome", "Report"]

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a deployment ended.

    Attributes:
        deployment: As the ledger has it.
        release: What was to be live.
        url: Where the service answers.
        plan: What was, or would be, done; no steps where the release was live already.
        error: Why it did not get live, None where it did.
    """

    deployment: Deployment
    release: Release
    url: str
    plan: Plan
    error: PipelineError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `deploy --json` and `rollback --json` print."""
        return {
            "outcome": self.deployment.outcome,
            "release": self.release.id,
            "sha": self.release.sha,
            "digest": self.release.digest,
            "strategy": self.deployment.strategy,
            "seconds": self.deployment.seconds,
            "live_seconds": self.deployment.live_seconds,
            "phases": self.deployment.phases,
            "requests": self.deployment.requests,
            "error": self.deployment.error,
        }
