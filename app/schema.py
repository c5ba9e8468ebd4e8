"""Which schema this code needs, and whether the database has it.

Revisions are four digits and count upwards (`versions/0001_tasks.py` is `0001`; a test
holds the files to it), so order is known without loading Alembic, whose import costs
more than the rest of a start.

A database *past* our head is fine: a new release migrates while the old one still
serves, and the old one must stay in the proxy until the cutover (and again after a
rollback). Hence the rule for people who write migrations: a revision may only do what
the release before it survives; drop or rename in a later release.
"""

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

__all__ = ["HEAD", "MIGRATIONS", "is_behind", "revision"]

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = max(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))


def revision(connection: Connection) -> str | None:
    """Return the revision that the database is at; None where it was never migrated.

    Raises:
        DBAPIError: The connection broke.
    """
    try:
        found: str | None = connection.scalar(text("SELECT max(version_num) FROM alembic_version"))
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise
        connection.rollback()
        return None
    return found


def is_behind(found: str | None) -> bool:
    """Return whether a database at revision `found` lacks something this code needs."""
    return found is None or found < HEAD
