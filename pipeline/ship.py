"""What the tasks call: commit -> image -> release, each a few lines over the wings."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from pipeline.beside import Beside
from pipeline.deploy import Delivery
from pipeline.errors import ReleaseFailedError, UsageError
from pipeline.image import build as building
from pipeline.image import commit as commits
from pipeline.image import registry
from pipeline.image.about import about
from pipeline.image.ref import Built
from pipeline.outcome import Outcome, Report
from pipeline.settings import Settings
from pipeline.status import status as look

__all__ = ["Shipping"]

COMPOSE_FILE = "docker-compose.yml"


@dataclass(frozen=True, kw_only=True)
class Shipping:
    """The delivery of one app from this checkout.

    Attributes:
        started: When the command started, as `time.monotonic()` counts.
    """

    settings: Settings
    report: Report
    started: float

    def build(
        self,
        sha: str | None,
        *,
        no_cache: bool = False,
        push: bool = False,
        part: bool = False,
        dirty: bool = False,
    ) -> Built:
        """Build the image of a commit; HEAD only where the working tree has nothing else.

        Args:
            sha: The commit.
            no_cache: From nothing.
            push: And push it; whether we may is seen to first.
            part: It is for one platform, and `merge` is to get it.
            dirty: Build the files as they are, under a name that is no commit's.

        Raises:
            UsageError: Unknown or malformed commit, dirty tree, options that contradict.
            EngineError: The build failed.
            RegistryError: With `push`: as `push`.
        """
        platform = building.part_of(self.settings) if part else ""
        if dirty:
            if push or part or sha is not None:
                raise UsageError(
                    "--dirty builds the files as they are: they are no commit's, and never pushed.",
                    hint="Commit them, then `invoke build --push`.",
                )
            return self._build_files(no_cache=no_cache)
        if sha is None:
            commits.refuse_dirty(self.settings.root)
        commit = self._describe(sha)
        with self._beside.failures("build", commit.sha):
            if push:
                registry.prove(self.settings)  # not after half an hour of building
            self._beside.before_build(commit.sha)
            built = building.build(
                self.settings, commit, no_cache=no_cache, part=platform, report=self.report
            )
            if not push:
                return built
            return registry.push(self.settings, commit, self.report, part=platform)

    def push(self, sha: str | None, *, part: bool = False) -> Built:
        """Push the image of a commit under all its tags.

        Raises:
            UsageError: Unknown or malformed commit.
            RegistryError: Unreachable, refused, or it reports another digest.
        """
        platform = building.part_of(self.settings) if part else ""
        return registry.push(self.settings, self._describe(sha), self.report, part=platform)

    def merge(self, sha: str | None) -> Built:
        """Make one image of the parts that were pushed for each platform.

        Raises:
            UsageError: Unknown or malformed commit, no platforms.
            RegistryError: A part is missing, or as `push`.
        """
        if not self.settings.platforms:
            raise UsageError(
                "It is not said of which platforms there are parts.",
                hint="Name them: `invoke manifest --platforms linux/amd64,linux/arm64`.",
            )
        platforms = self.settings.platforms.split(",")
        return registry.merge(self.settings, self._describe(sha), platforms, self.report)

    def about(self, sha: str | None) -> dict[str, Any]:
        """Return what the registry has of a commit.

        Raises:
            UsageError: Unknown or malformed commit.
            RegistryError: It has none, or refused.
        """
        full = commits.resolve_commit(sha, root=self.settings.root, must_exist=False)
        return about(self.settings, full)

    def prove(self) -> None:
        """Make sure that we may pull and push.

        Raises:
            RegistryError: A right is missing, or the registry does not answer.
        """
        registry.prove(self.settings)

    def deploy(self, sha: str | None, *, wait: float = 0.0, dry_run: bool = False) -> Outcome:
        """Make the image of a commit live.

        Raises:
            PipelineError: It was not even started; nothing was changed.
        """
        full = commits.resolve_commit(sha, root=self.settings.root, must_exist=False)
        delivery = self._delivery()
        with nullcontext() if dry_run else self._beside.failures("deploy", full):
            outcome = delivery.deploy(
                sha=full,
                pull=lambda commit: registry.ensure_local(
                    self.settings, commit, report=self.report
                ),
                compose=self._compose_file(full),
                wait=wait,
                dry_run=dry_run,
                before=self._beside.before(delivery),
            )
        return outcome if dry_run else self._beside.ended(outcome)

    def rollback(self, to: str | None, *, wait: float = 0.0) -> Outcome:
        """Make the previous release, or the named one, live again.

        Raises:
            PipelineError: It was not even started; nothing was changed.
        """
        delivery = self._delivery()
        with self._beside.failures("rollback", None):
            outcome = delivery.rollback(
                to=to,
                wait=wait,
                pull=lambda commit, reference: registry.ensure_local(
                    self.settings, commit, report=self.report, reference=reference
                ),
                before=self._beside.before(delivery),
            )
        return self._beside.ended(outcome)

    def resume(self, *, wait: float = 0.0) -> Outcome | None:
        """End a deployment that was interrupted; None where there is none.

        Raises:
            PipelineError: It could not be ended.
        """
        with self._beside.failures("resume", None):
            outcome = self._delivery().resume(wait=wait)
        return self._beside.ended(outcome) if outcome else None

    def remove_standby(self, deployment: int | None) -> None:
        """Remove the standby; that of one deployment once its time has passed.

        Raises:
            PipelineError: It could not be removed.
        """
        self._delivery().remove_standby(deployment)

    def status(self) -> dict[str, Any]:
        """Return what serves, what was interrupted, and where that differs from the ledger.

        Raises:
            EngineError: The engine does not answer.
        """
        return look(self._delivery())

    def expect(self, sha: str) -> None:
        """Make sure that the public port answers as that commit.

        Raises:
            ReleaseFailedError: It does not.
        """
        full = commits.resolve_commit(sha, root=self.settings.root, must_exist=False)
        found = self.status()
        if not (found["healthy"] and found["live"]["sha"] == full):
            raise ReleaseFailedError(
                f"{self.settings.url} does not serve commit {full}; it said {found['answer']}",
                hint="`invoke history` shows how the deployment ended, `invoke logs` why.",
            )

    def history(self, *, limit: int) -> list[dict[str, Any]]:
        """Return the deployments of this host, newest first."""
        return self._delivery().ledger.history(limit=limit)

    @property
    def _beside(self) -> Beside:
        return Beside(
            settings=self.settings,
            report=self.report,
            started=self.started,
            delivery=self._delivery,
        )

    def _delivery(self) -> Delivery:
        return Delivery.of(self.settings, report=self.report, started=self.started)

    def _build_files(self, *, no_cache: bool) -> Built:
        tree = commits.tree_of_files(self.settings.root)
        commit = self._describe(None)
        with self._beside.failures("build", commit.sha):
            self._beside.before_build(commit.sha, dirty=True)
            return building.build_files(
                self.settings, commit, tree, no_cache=no_cache, report=self.report
            )

    def _describe(self, sha: str | None) -> commits.Commit:
        root = self.settings.root
        full = commits.resolve_commit(sha, root=root)
        return commits.describe(full, root=root, migrations=self.settings.migrations)

    def _compose_file(self, sha: str) -> str:
        text = commits.file_of(sha, COMPOSE_FILE, root=self.settings.root)
        if text is None:
            self.report(f"{COMPOSE_FILE}: this checkout lacks the commit, taking its own file")
            text = (self.settings.root / COMPOSE_FILE).read_text(encoding="utf-8")
        return text
