"""What the service reads from its environment: DATABASE_URL, APP_SHA, LOG_LEVEL."""

from typing import Annotated, Any, Literal

from pydantic import PlainValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["Settings", "SettingsError", "load"]

EMBEDDED = "sqlite:///panager.db"
POSTGRESQL = {"postgres", "postgresql", "postgresql+psycopg"}


class SettingsError(Exception):
    """The environment is not usable; the message names every variable and never a value."""


def parse_url(raw: Any) -> URL:  # noqa: ANN401 - whatever the environment holds
    """Return `raw` as the URL of a driver that is installed; psycopg 3 for PostgreSQL.

    Raises:
        ValueError: Not a URL, or of a database that this service does not run on.
    """
    try:
        url = make_url(raw)
    except (ArgumentError, ValueError) as exc:
        raise ValueError("not a database URL (postgresql://user:password@host/name)") from exc
    if url.drivername in POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite":
        return url
    raise ValueError("neither a postgresql:// nor a sqlite:// URL")


class Settings(BaseSettings):
    """The service's settings.

    Attributes:
        database_url: PostgreSQL, or the embedded SQLite file; hides its password when shown.
        app_sha: Commit that runs.
        log_level: Least severe level that is logged.
    """

    model_config = SettingsConfigDict(
        frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    database_url: Annotated[URL, NoDecode, PlainValidator(parse_url)] = make_url(EMBEDDED)
    app_sha: str = "unknown"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def embedded(self) -> bool:
        """Whether the database is our own file, which nobody else migrates."""
        return self.database_url.drivername == "sqlite"


def load() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: With every problem found.
    """
    try:
        return Settings()
    except ValidationError as exc:
        problems = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in exc.errors())
        raise SettingsError("; ".join(problems)) from exc
