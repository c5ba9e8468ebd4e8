"""`python -m app.migrate`: bring the database to this code's schema.

Several may run at once (PostgreSQL): one migrates, the others wait and find it done.
A database past our head is left as it is. Exit code 0, or 1 with one line that says why.
"""

import sys
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app import schema, settings
from app.database import open_engine

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["MigrationError", "main", "upgrade"]

LOCK_KEY = int.from_bytes(b"panager")
# DDL that waits for a busy table makes every later query wait behind it: give up first.
DDL_LOCK_TIMEOUT = "10s"


class MigrationError(Exception):
    """A migration failed; the message is one line."""


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Migrate to head where the database is behind; return its revision before and after.

    Raises:
        MigrationError: The database does not answer, or a migration failed.
    """
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                _lock(connection)
            before = schema.revision(connection)
            connection.commit()  # the lock is the session's; Alembic opens its own transactions
            if before is not None and not schema.is_behind(before):
                return before, before
            _run_alembic(connection)
            return before, schema.HEAD
    except SQLAlchemyError as exc:
        raise MigrationError(" ".join(str(getattr(exc, "orig", None) or exc).split())) from exc


def _lock(connection: Connection) -> None:
    """Wait until no other migration runs; ends with the connection, however that ends."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text(f"SET lock_timeout = '{DDL_LOCK_TIMEOUT}'"))


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(_config(connection), "head")
    except CommandError as exc:
        raise MigrationError(str(exc)) from exc


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(schema.MIGRATIONS).replace("%", "%%"))
    return config


def main() -> int:
    """Migrate the database that the environment names; return the exit code."""
    try:
        engine = open_engine(settings.load().database_url)
        before, after = upgrade(engine)
    except (settings.SettingsError, MigrationError) as exc:
        sys.stderr.write(f"app.migrate: not migrated to {schema.HEAD}: {exc}\n")
        return 1
    did = "is at" if before == after else f"went from {before or 'nothing'} to"
    sys.stdout.write(f"app.migrate: the schema {did} {after} (this code's head: {schema.HEAD})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
