"""One JSON object per log line, and one such line per request, tied by the request's id."""

import json
import logging
import re
import sys
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["UNLOGGED", "JsonFormatter", "RequestLog", "configure"]

logger = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Probed up to ten times a second: logged only where they fail, or real lines drown.
PROBES = frozenset({"/health", "/ready"})
UNLOGGED = "panager.unlogged"  # ASGI extension of a request that nobody sent


class JsonFormatter(logging.Formatter):
    """Renders a record as one line; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send everything, uvicorn's own lines included, to standard output as JSON.

    Args:
        level: Least severe level to log.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"  # RequestLog says it
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # seven lines a start


class RequestLog:
    """ASGI middleware: gives each request an id, logs it, and answers what nobody caught."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything else is passed on."""
        if scope["type"] != "http" or UNLOGGED in scope.get("extensions", {}):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("X-Request-ID", "")
        current = given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(current)  # each request runs in a context of its own
        status: int | None = None
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = current
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            logger.exception("unhandled error")
            if status is not None:
                raise  # the answer has begun: all that is left is to close the connection
            answer = JSONResponse({"detail": "Internal Server Error", "request_id": current}, 500)
            await answer(scope, receive, send_with_id)
        finally:
            _log(scope, status, time.perf_counter() - started)


def _log(scope: Scope, status: int | None, seconds: float) -> None:
    expected = scope["path"] in PROBES and status == 200  # noqa: PLR2004 - OK
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    logger.log(logging.DEBUG if expected else logging.INFO, "request", extra={"fields": fields})
