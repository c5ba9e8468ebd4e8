"""The connection pool, sized for how the service is run."""

from sqlalchemy import URL, Engine, create_engine

__all__ = ["open_engine"]

# A replica never holds more than 11 connections (one is the probe's): two colours of three
# replicas stay under PostgreSQL's default limit of 100, with room for migrations and people.
POOL_SIZE = 10
POOL_TIMEOUT = 5  # seconds a request waits for a connection before it is answered 503
CONNECT_TIMEOUT = 3  # seconds
UNANSWERED_TIMEOUT = 5000  # milliseconds until a host that vanished counts as gone
SQLITE_BUSY_TIMEOUT = 15  # seconds


def open_engine(url: URL, *, connections: int = POOL_SIZE) -> Engine:
    """Return an engine for `url`; it connects at first use, not now.

    Args:
        url: SQLite, or PostgreSQL by psycopg.
        connections: At most so many at once (PostgreSQL).
    """
    if url.drivername == "sqlite":
        return create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT})
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_pre_ping=True,  # a restarted database costs no request
        connect_args={
            "application_name": "panager",
            "connect_timeout": CONNECT_TIMEOUT,
            "tcp_user_timeout": UNANSWERED_TIMEOUT,
        },
    )
