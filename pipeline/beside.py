"""What goes on beside builds and deployments: hooks before and after them, one message.

This is the one place that knows what comes before and what follows; it fails nothing that has
ended. Each part is imported where it is wanted only: most commands want none.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pipeline.deploy import Before, Delivery
from pipeline.errors import LockedError, PipelineError, UsageError
from pipeline.outcome import Outcome, Report
from pipeline.release import env
from pipeline.settings import Secret, Settings

__all__ = ["Beside"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What goes on beside the builds and deployments of one command.

    Attributes:
        started: When the command started, as `time.monotonic()` counts.
        delivery: Wires the parts, which know what a release keeps secret.
    """

    settings: Settings
    report: Report
    started: float
    delivery: Callable[[], Delivery]

    def before_build(self, sha: str, *, dirty: bool = False) -> None:
        """Ask the hook `pre-build`; `dirty`: it is of the files as they are.

        Raises:
            CommandError: It stops the build.
        """
        if self.settings.hooks.pre_build:
            from pipeline import hooks

            about = {"kind": "build", "sha": sha, "dirty": dirty}
            hooks.ask(self.settings, "pre-build", about, report=self.report)

    def before(self, delivery: Delivery) -> Before | None:
        """Return what asks the hook `pre-deploy`; None where there is none."""
        if not self.settings.hooks.pre_deploy:
            return None
        from pipeline import hooks

        return hooks.pre_deploy(
            self.settings,
            report=self.report,
            secrets_of=lambda release: _secrets(delivery, release),
        )

    @contextmanager
    def failures(self, kind: str, sha: str | None) -> Iterator[None]:
        """Let what follows a failure follow one that is no outcome, too.

        Who was turned away (another holds the lock, bad usage) has done nothing that failed.
        """
        try:
            yield
        except (LockedError, UsageError):
            raise
        except PipelineError as exc:
            seconds = round(time.monotonic() - self.started, 3)
            ended = {"kind": kind, "sha": sha, "outcome": "failed", "seconds": seconds}
            with self._ended_already():
                self._follow({**ended, "error": exc.as_dict()}, release=None)
            raise

    def ended(self, outcome: Outcome) -> Outcome:
        """See to what follows a deployment, and return how it ended: that does not change."""
        with self._ended_already():
            if outcome.plan.steps or outcome.error:  # else it was live already
                from pipeline import hooks

                self._follow(hooks.told(outcome), release=outcome.release.id)
            if outcome.plan.steps and outcome.deployment.outcome == "live":
                self.tidy_up()
        return outcome

    def tidy_up(self) -> None:
        """Remove what no kept release needs any more; fails nothing."""
        from pipeline import prune

        prune.after(self.settings, self.report)

    def _follow(self, about: Mapping[str, Any], *, release: str | None) -> None:
        live, built = about["outcome"] == "live", about["kind"] == "build"
        hook = "post-deploy" if live else "on-failure"
        wanted = self.settings.hooks.post_deploy if live else self.settings.hooks.on_failure
        message = self.settings.webhook_url and not built
        if not wanted and not message:
            return
        hidden = () if built else _secrets(self.delivery(), release)
        if message:
            from pipeline import webhook

            webhook.send(self.settings, about, report=self.report, secrets=hidden)
        if wanted:
            from pipeline import hooks

            hooks.tell(self.settings, hook, about, report=self.report, secrets=hidden)

    @contextmanager
    def _ended_already(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.report("warning: cancelled what was to follow; how it ended has not changed")


def _secrets(delivery: Delivery, release: str | None) -> tuple[Secret, ...]:
    """Return what nothing may show of a release's environment; without one, of what is live."""
    with suppress(PipelineError):
        live = delivery.ledger.live()
        if wanted := release or (live[1].id if live else None):
            return env.secrets(delivery.known(wanted).env or {})
    return ()
