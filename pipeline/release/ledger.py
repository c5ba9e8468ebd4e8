"""The ledger: releases and deployments on the deploy host, in SQLite.

What is live is not stored: it is the last deployment that ended as `live` or
`stopped` (`invoke down`).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.ports import Colour
from pipeline.release.release import Release

__all__ = ["Deployment", "Ledger", "opened"]

SCHEMA_VERSION = 3
PIN = """
CREATE TABLE IF NOT EXISTS pin (
    release TEXT PRIMARY KEY REFERENCES release, since TEXT NOT NULL
) STRICT;
"""
SCHEMA = f"""
CREATE TABLE release (
    id TEXT PRIMARY KEY, sha TEXT NOT NULL, image TEXT NOT NULL, compose_hash TEXT NOT NULL,
    env_hash TEXT NOT NULL, migrations TEXT NOT NULL
) STRICT;
CREATE TABLE deployment (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, release TEXT REFERENCES release, colour TEXT,
    replicas INTEGER NOT NULL, strategy TEXT NOT NULL, started TEXT NOT NULL,
    outcome TEXT NOT NULL, seconds REAL, live_seconds REAL,
    phases TEXT NOT NULL, requests TEXT NOT NULL, error TEXT, plan TEXT
) STRICT;
CREATE INDEX deployment_outcome ON deployment (outcome, id);
{PIN}
"""
# From that version to the next.
CHANGES = {1: "ALTER TABLE deployment ADD COLUMN plan TEXT;", 2: PIN}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One attempt to make a release live.

    Attributes:
        kind: `deploy`, `rollback` or `down`.
        release: Release id; None for `down`.
        colour: The slot it ran in.
        outcome: `running`, `live`, `rolled-back`, `failed` or `stopped`.
        seconds: From the start of the command to its end; None while running.
        live_seconds: From the start of the command to the cutover; None where there was none.
        phases: Seconds by phase, in order.
        requests: What the prober sent and saw.
        error: As PipelineError.as_dict(), None where all went well.
        plan: The journal, as Plan.as_dict(), from before its first step until its end.
        id: Given by the ledger.
    """

    kind: str
    release: str | None
    colour: Colour | None
    replicas: int = 1
    strategy: str = "blue-green"
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    outcome: str = "running"
    seconds: float | None = None
    live_seconds: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = field(default=None, repr=False)
    id: int | None = None


_JSON = ("phases", "requests", "error", "plan")
_JOINED = (
    "SELECT deployment.*, sha, image, compose_hash, env_hash, migrations"
    " FROM deployment LEFT JOIN release ON release.id = release"
)
_COLUMNS = tuple(column.name for column in fields(Deployment))


class Ledger:
    """The durable history of one app on this host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record_release(self, release: Release) -> None:
        """Keep a release's identity; once is enough."""
        with self._open(create=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO release VALUES"
                " (:id, :sha, :image, :compose_hash, :env_hash, :migrations)",
                release.as_dict(),
            )

    def record(self, deployment: Deployment) -> int:
        """Add a deployment, or bring the one with this id up to date; return its id."""
        row = {
            name: json.dumps(value) if name in _JSON and value is not None else value
            for name, value in asdict(deployment).items()
        }
        with self._open(create=True) as db:
            cursor = db.execute(
                f"INSERT OR REPLACE INTO deployment ({', '.join(_COLUMNS)})"  # noqa: S608 - names
                f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
                row,
            )
            return int(cursor.lastrowid or 0)

    def unfinished(self) -> tuple[Deployment, Release] | None:
        """Return the deployment that was interrupted, or still runs; None where none was.

        Only the last can be: whoever begins another ends that one first.
        """
        with self._open() as db:
            row = db.execute(f"{_JOINED} ORDER BY deployment.id DESC LIMIT 1").fetchone()
        if row is None or row["seconds"] is not None or row["outcome"] not in {"running", "live"}:
            return None
        return _deployment(row), _release(row)

    def release(self, release_id: str) -> Release | None:
        """Return the release of that id; None where it was never here."""
        with self._open() as db:
            row = db.execute(
                "SELECT *, id AS release FROM release WHERE id = ?", (release_id,)
            ).fetchone()
        return _release(row) if row else None

    def deployment_of(self, release_id: str) -> Deployment | None:
        """Return the last deployment that made that release live."""
        with self._open() as db:
            row = db.execute(
                f"{_JOINED} WHERE deployment.release = ? AND +outcome = 'live'"
                " ORDER BY deployment.id DESC LIMIT 1",
                (release_id,),
            ).fetchone()
        return _deployment(row) if row else None

    def live(self) -> tuple[Deployment, Release] | None:
        """Return the live deployment with its release; None where nothing is live."""
        return next(self._lives(), None)

    def previous(self) -> tuple[Deployment, Release] | None:
        """Return the last live deployment of another release than the live one."""
        lives = self._lives(past_stops=True)
        current = next(lives, None)
        return next((live for live in lives if current and live[1].id != current[1].id), None)

    def lives(self) -> list[tuple[Deployment, Release]]:
        """Return every release that was live, each once, newest first."""
        seen: dict[str, tuple[Deployment, Release]] = {}
        for deployment, release in self._lives(past_stops=True):
            seen.setdefault(release.id, (deployment, release))
        return list(seen.values())

    def history(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Return deployments with their commit and digest, newest first, without journals."""
        with self._open() as db:
            rows = db.execute(f"{_JOINED} ORDER BY deployment.id DESC LIMIT ?", (limit,)).fetchall()
        history = []
        for row in rows:
            listed = asdict(_deployment(row))
            del listed["plan"]
            digest = (row["image"] or "").partition("@")[2] or None
            history.append({**listed, "sha": row["sha"], "digest": digest})
        return history

    def _lives(self, *, past_stops: bool = False) -> Iterator[tuple[Deployment, Release]]:
        with self._open() as db:
            # By the plus, from the newest on: the index of outcomes would have all of them sorted.
            rows = db.execute(
                f"{_JOINED} WHERE +outcome IN ('live', 'stopped') ORDER BY deployment.id DESC"
            )
            for row in rows:
                if row["outcome"] == "live":
                    yield _deployment(row), _release(row)
                elif not past_stops:
                    return

    def _open(self, *, create: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, create=create)


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """Give the ledger's database, of the newest schema, for one transaction.

    Raises:
        UnavailableError: It cannot be used, or another version of the pipeline wrote it.
    """
    try:
        # Looking must not make anything: before the first deployment there is no ledger,
        # or an empty file where that one was killed at its very start.
        there = create or (path.exists() and path.stat().st_size > 0)
        db = sqlite3.connect(path if there else ":memory:", timeout=5.0)
        try:
            db.row_factory = sqlite3.Row
            if create:
                path.chmod(0o600)
            _migrate(db, path)
            with db:
                yield db
        finally:
            db.close()
    except (sqlite3.Error, OSError) as exc:
        raise UnavailableError(
            f"The ledger {path} cannot be used: {exc}.",
            hint="Look at free space and permissions of the state folder.",
        ) from exc


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        with db:
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version in CHANGES:
        with db:
            db.executescript(
                f"BEGIN; {CHANGES[version]} PRAGMA user_version = {version + 1}; COMMIT;"
            )
        _migrate(db, path)
    elif version != SCHEMA_VERSION:
        raise UnavailableError(
            f"The ledger {path} was written by another version (schema {version}).",
            hint="Use the checkout that wrote it, or set another state_dir.",
        )


def _deployment(row: sqlite3.Row) -> Deployment:
    values = {name: row[name] for name in _COLUMNS}
    for name in _JSON:
        if values[name] is not None:
            values[name] = json.loads(values[name])
    return Deployment(**values)


def _release(row: sqlite3.Row) -> Release:
    return Release(id=row["release"], **{name.name: row[name.name] for name in fields(Release)[1:]})
