"""The warm-up: what users do first is done once before they come, and leaves nothing behind.

A fresh process pays for its first page: connections, compiled statements and templates,
threads. Here it pays before /ready lets it have requests, instead of at a user's expense.
"""

import asyncio
import logging
import time
from collections.abc import MutableMapping
from contextlib import ExitStack, suppress
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from app import tasks
from app.logs import UNLOGGED

__all__ = ["warm_up"]

logger = logging.getLogger(__name__)

SECONDS = 1.0  # a good release is ready after these, warm or not
# Not the whole pool: two colours of eight replicas, which also have a connection each for the
# probe, stay under PostgreSQL's default limit of 100 while they start.
CONNECTIONS = 4
FORM = b"application/x-www-form-urlencoded"
REQUESTS = (
    ("GET", "/", b"", b""),
    ("GET", "/api/v1/tasks", b"", b""),
    # What both refuse is read and checked like any other body, and never stored.
    ("POST", "/api/v1/tasks", b"application/json", b'{"title": ""}'),
    ("POST", "/tasks", FORM, b"title="),
)


class _NotStoredError(Exception):
    """Ends a statement between its compilation and the database."""


async def warm_up(app: FastAPI) -> None:
    """Use what users will use first; return after SECONDS at the latest, however that goes."""
    began = time.perf_counter()
    exercise = asyncio.create_task(_exercise(app))
    try:
        await asyncio.wait({exercise}, timeout=SECONDS)
        if not exercise.done():
            logger.info("the warm-up is not over after %g s; it is not waited for", SECONDS)
        elif error := exercise.exception():
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            logger.info("the warm-up failed (%s): %s", type(error).__name__, reason)
        else:
            logger.debug("warm after %.0f ms", (time.perf_counter() - began) * 1000)
    finally:
        exercise.cancel()


async def _exercise(app: FastAPI) -> None:
    # First, so that a database that does not answer is one line here and none elsewhere.
    await to_thread.run_sync(_connect, app.state.engine)
    for method, path, kind, body in REQUESTS:
        await _request(app, method, path, kind=kind, body=body)
    await to_thread.run_sync(_compile_insert, app.state.sessions)


def _connect(engine: Engine) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(engine.connect())


async def _request(app: FastAPI, method: str, path: str, *, kind: bytes, body: bytes) -> None:
    """Call the service without the network.

    Raises:
        RuntimeError: It answered something else than the page, the list or "refused".
    """
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", kind)],
        "client": None,
        "server": None,
        "extensions": {UNLOGGED: {}},
    }
    await app(scope, receive, send)
    if status not in {200, 422}:
        raise RuntimeError(f"{method} {path} answered {status}")


def _compile_insert(sessions: sessionmaker[Session]) -> None:
    """Fill the statement cache; a rolled back INSERT would still use up an id of PostgreSQL's."""
    with sessions() as session, suppress(_NotStoredError):
        event.listen(session.connection(), "before_cursor_execute", _stop)
        tasks.add(session, tasks.NewTask(title="warm-up"))


def _stop(*_: object) -> None:
    raise _NotStoredError
