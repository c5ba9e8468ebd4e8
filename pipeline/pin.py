"""Pins: releases of a commit that stay on this host until somebody lets them go."""

import time
from typing import Any

from pipeline.errors import UsageError
from pipeline.image import commit as commits
from pipeline.kept import what_there_is
from pipeline.outcome import Report
from pipeline.parts import Parts, real_parts
from pipeline.release import lock
from pipeline.release.pins import Pins
from pipeline.settings import Settings

__all__ = ["pin", "unpin"]


def pin(
    settings: Settings, sha: str | None, *, report: Report, wait: float = 0.0
) -> dict[str, Any]:
    """Keep every release of a commit that this host still has.

    Args:
        settings: App and state folder.
        sha: The commit; default: HEAD.
        report: Told whom we wait for.
        wait: Seconds to wait for the lock.

    Returns:
        The commit, its releases, and all that is pinned with since when.

    Raises:
        UsageError: Unknown commit, or no release of it is kept here; the hint lists what is.
        LockedError: A deployment is going on.
    """
    parts, full = _parts(settings, report), _commit(settings, sha)
    pins = Pins(parts.state.ledger)
    _kept(parts, full)  # before a lock is made where nothing ever was live
    # Not while somebody decides what goes.
    with lock.hold(parts.state.lock, command="pin", wait=wait, report=report):
        found = _kept(parts, full)
        pins.add(found)
    return {"sha": full, "releases": found, "pinned": pins.all()}


def unpin(settings: Settings, sha: str | None, *, report: Report) -> dict[str, Any]:
    """Let the releases of a commit go in their turn; where none is pinned, nothing is done.

    Returns:
        The commit, the releases that were pinned, and all that is pinned now.

    Raises:
        UsageError: Unknown commit, or no release of it was ever live here.
    """
    parts, full = _parts(settings, report), _commit(settings, sha)
    pins = Pins(parts.state.ledger)
    pinned, found = pins.all(), _releases(parts, full)
    if not found:
        raise UsageError(
            f"No release of commit {full[:12]} was ever live here.",
            hint=f"These releases are pinned: {', '.join(pinned) or 'none'}.",
        )
    pins.remove(found)
    return {
        "sha": full,
        "releases": [each for each in found if each in pinned],
        "pinned": pins.all(),
    }


def _parts(settings: Settings, report: Report) -> Parts:
    real: dict[str, Any] = real_parts(settings, report=report, started=time.monotonic())
    return Parts(**real)


def _commit(settings: Settings, sha: str | None) -> str:
    return commits.resolve_commit(sha, root=settings.root, must_exist=False)


def _kept(parts: Parts, sha: str) -> list[str]:
    found = [each for each in _releases(parts, sha) if parts.state.keeps(each)]
    if not found:
        raise UsageError(
            f"No release of commit {sha[:12]} is kept here.", hint=what_there_is(parts)
        )
    return found


def _releases(parts: Parts, sha: str) -> list[str]:
    """Return the ids of the releases of a commit that were live here, newest first."""
    return [release.id for _, release in parts.ledger.lives() if release.sha == sha]
