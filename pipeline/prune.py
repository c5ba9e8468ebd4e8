"""What this host keeps, and what goes: after each deployment, and by `invoke prune`.

docs/retention.md has the rules. Prints nothing; one thing that cannot be removed is a
warning, and the rest goes on.
"""

import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.engine.leftovers import Container, Image, Leftovers
from pipeline.errors import LockedError, PipelineError
from pipeline.outcome import Report
from pipeline.parts import Parts, real_parts
from pipeline.release import lock, retention
from pipeline.release.pins import Pins
from pipeline.settings import Settings

__all__ = ["Files", "Plan", "Pruning", "after", "prune"]

RELEASE = re.compile(r"[0-9a-f]{7}-[0-9a-f]{8}")  # how the folder of a release is called
GB = 10**9  # bytes
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Files:
    """A file or folder of the state folder, with its bytes."""

    path: Path
    size: int

    @classmethod
    def at(cls, path: Path) -> "Files":
        """Measure what is there."""
        inside = path.rglob("*") if path.is_dir() else [path]
        return cls(path=path, size=sum(each.lstat().st_size for each in inside))

    def __str__(self) -> str:
        return self.path.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes, or has gone.

    Attributes:
        kept: Ids of the releases that stay, each with why.
        releases: Their Compose files and env snapshots.
        cache_bytes: Of the build cache.
    """

    kept: Mapping[str, str]
    containers: tuple[Container, ...] = ()
    images: tuple[Image, ...] = ()
    releases: tuple[Files, ...] = ()
    dumps: tuple[Files, ...] = ()
    cache_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of all that goes, as far as the engine can tell."""
        files = sum(each.size for each in (*self.releases, *self.dumps))
        return sum(each.size for each in self.images) + files + self.cache_bytes

    def removed(self) -> dict[str, Any]:
        """Return what goes, by kind."""
        kinds = ("images", "containers", "releases", "dumps")
        names = {kind: [str(each) for each in getattr(self, kind)] for kind in kinds}
        return {**names, "cache_bytes": self.cache_bytes}

    def in_words(self) -> str:
        """Return how many of each kind go; "" where nothing does."""
        things = {kind: names for kind, names in self.removed().items() if kind != "cache_bytes"}
        return ", ".join(
            f"{len(names)} {kind.removesuffix('s') if len(names) == 1 else kind}"
            for kind, names in things.items()
            if names
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {"removed": self.removed(), "bytes": self.bytes, "kept": dict(self.kept)}


def prune(settings: Settings, *, report: Report, wait: float = 0.0, dry_run: bool = False) -> Plan:
    """Remove what no release that is kept needs; return what has gone, or would go.

    Args:
        settings: App, image name, and how much is kept.
        report: Told of what cannot be removed.
        wait: Seconds to wait for the lock.
        dry_run: Only say what would go; takes no lock.

    Raises:
        LockedError: A deployment is going on.
        UnavailableError: Engine or ledger do not answer; nothing was removed.
    """
    pruning = Pruning.of(settings, report=report)
    if dry_run:
        return pruning.plan()
    state = pruning.parts.state
    state.create()
    with lock.hold(state.lock, command="prune", wait=wait, report=report):
        return pruning.carry_out(pruning.plan())


def after(settings: Settings, report: Report) -> None:
    """Tidy up after a deployment that became live; no error, because it is live whatever happens.

    Where another command holds the lock, that one, or the next, does it.
    """
    try:
        pruning = Pruning.of(settings, report=report)
        path = pruning.parts.state.lock
        if lock.holder(path):
            return
        with lock.hold(path, command="prune"):
            pruning.tidy_up()
    except LockedError:
        return
    except PipelineError as exc:
        report(f"warning: what is old was not removed: {exc.message}")
    except KeyboardInterrupt:  # too late to cancel anything
        report("warning: what is old was not removed: cancelled")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """One host, looked at for what may go; who calls holds the lock."""

    parts: Parts
    engine: Leftovers
    pins: Pins

    @classmethod
    def of(cls, settings: Settings, *, report: Report) -> "Pruning":
        """Wire the real engine and ledger."""
        real: dict[str, Any] = real_parts(settings, report=report, started=time.monotonic())
        parts = Parts(**real)
        return cls(parts=parts, engine=Leftovers(), pins=Pins(parts.state.ledger))

    def tidy_up(self) -> None:
        """Remove what is to go, and look at what only builds leave where an image goes."""
        plan = self.plan(builds=False, cache=False)
        if plan.images:
            plan = self.plan(cache=False)  # it is cut down where an image goes
        if words := plan.in_words():
            self.parts.report(f"removing what is old: {words}")
            self.carry_out(plan, cache=bool(plan.images))

    def plan(self, *, builds: bool = True, cache: bool = True) -> Plan:
        """Return what is to go.

        Args:
            builds: Look for images that only builds leave, too; that takes longer.
            cache: Measure the build cache; that takes longer, too.

        Raises:
            UnavailableError: Engine or ledger do not answer.
        """
        everybody = self.engine.containers()
        ours = [each for each in everybody if each.project == self.parts.settings.app]
        kept = self._kept({each.release for each in ours if each.release and not each.ended})
        containers = [
            each
            for each in ours
            if each.ended and (each.once or (each.release and each.release not in kept))
        ]
        used = {name for each in everybody if each not in containers for name in each.image}
        size = self.engine.cache_size() if cache else 0
        return Plan(
            kept=kept,
            containers=tuple(containers),
            images=tuple(self._images(kept, used, builds=builds)),
            releases=tuple(self._releases(kept)),
            dumps=tuple(self._dumps()),
            cache_bytes=max(0, size - self._budget),
        )

    def carry_out(self, plan: Plan, *, cache: bool = True) -> Plan:
        """Remove what the plan says, and build cache that is old; return what has gone."""
        gone = replace(
            plan,
            containers=self._each(plan.containers, self.engine.remove_container),
            images=self._each(plan.images, self.engine.remove_image),
            releases=self._each(plan.releases, lambda each: shutil.rmtree(each.path)),
            dumps=self._each(plan.dumps, lambda each: each.path.unlink()),
            cache_bytes=0,
        )
        freed: list[int] = []
        if cache:
            self._each(["the build cache"], lambda _: freed.append(self._shrink()))
        return replace(gone, cache_bytes=sum(freed))

    def _shrink(self) -> int:
        return self.engine.shrink_cache(self._budget)

    @property
    def _budget(self) -> int:
        return round(self.parts.settings.build_cache_gb * GB)

    def _kept(self, running: Iterable[str]) -> dict[str, str]:
        ledger = self.parts.ledger
        lives = [release for _, release in ledger.lives()]
        live, left = ledger.live(), ledger.unfinished()
        held = dict.fromkeys(self.pins.all(), "pinned") | dict.fromkeys(running, "standby")
        held |= {each.id: "live last" for each in lives[:1]}
        held |= {each[1].id: why for each, why in ((live, "live"), (left, "interrupted")) if each}
        return retention.keep(lives, held=held, last=self.parts.settings.keep_releases)

    def _images(self, kept: Collection[str], used: Collection[str], *, builds: bool) -> list[Image]:
        """Return the images that no kept release names and no container uses.

        Of those that never were live here, as many as releases are kept stay: they may be
        waiting for their deployment.
        """
        lives = [release for _, release in self.parts.ledger.lives()]
        known = [*lives, *filter(None, map(self.parts.ledger.release, kept))]
        needed = {each.digest for each in known if each.id in kept}
        lived = {each.digest for each in lives}
        names = {self.parts.settings.image, *(each.image.partition("@")[0] for each in known)}
        there = self.engine.images(names) + (self.engine.nameless() if builds else [])
        free = [
            each
            for each in there
            if needed.isdisjoint(each.digests) and not {each.id, *each.names}.intersection(used)
        ]
        old = [each for each in free if not (each.names and lived.isdisjoint(each.digests))]
        waiting = [each for each in free if each not in old]
        return old + self._but_the_newest(waiting)

    def _but_the_newest(self, images: list[Image]) -> list[Image]:
        last = self.parts.settings.keep_releases
        if len(images) <= last:
            return []
        return sorted(images, key=self.engine.named_at, reverse=True)[last:]

    def _releases(self, kept: Collection[str]) -> list[Files]:
        there = _listed(self.parts.state.folder / "releases")
        folders = [each for each in there if each.is_dir() and not each.is_symlink()]
        names = [each for each in folders if RELEASE.fullmatch(each.name)]
        return [Files.at(each) for each in names if each.name not in kept]

    def _dumps(self) -> list[Files]:
        there = [each for each in _listed(self.parts.state.folder / "dumps") if each.is_file()]
        there.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        return [Files.at(each) for each in there[self.parts.settings.keep_dumps :]]

    def _each(self, things: Iterable[T], remove: Callable[[T], object]) -> tuple[T, ...]:
        """Remove each; return those that have gone."""
        gone = []
        for each in things:
            try:
                remove(each)
            except (PipelineError, OSError) as exc:
                self.parts.report(f"warning: {each} could not be removed: {exc}")
            else:
                gone.append(each)
        return tuple(gone)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
