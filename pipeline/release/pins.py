"""Releases that are kept for as long as somebody wants them: the pins in the ledger's database."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pipeline.release.ledger import opened

__all__ = ["Pins"]


class Pins:
    """The pins of one app on this host.

    Its methods raise UnavailableError where the ledger cannot be used.

    Args:
        path: The ledger.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, str]:
        """Return the ids of the releases that are pinned, each with since when (ISO 8601)."""
        with opened(self._path) as db:
            return dict(map(tuple, db.execute("SELECT release, since FROM pin ORDER BY since")))

    def add(self, releases: Iterable[str]) -> None:
        """Pin releases of the ledger; one that is pinned already stays so."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with opened(self._path, create=True) as db:
            db.executemany(
                "INSERT OR IGNORE INTO pin VALUES (?, ?)", [(each, since) for each in releases]
            )

    def remove(self, releases: Iterable[str]) -> None:
        """Let releases go; one that is not pinned is none."""
        with opened(self._path, create=True) as db:
            db.executemany("DELETE FROM pin WHERE release = ?", [(each,) for each in releases])
