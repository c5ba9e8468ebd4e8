"""Puts the service together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from sqlalchemy.orm import sessionmaker

from app import api, migrate, pages, probes
from app.database import open_engine
from app.logs import RequestLog
from app.settings import Settings
from app.warm import warm_up

__all__ = ["create_app"]

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Return the service; no connection is made before the first request that needs one."""
    app = FastAPI(title="panager", version=settings.app_sha, lifespan=_lifespan)
    app.state.settings = settings
    app.state.engine = open_engine(settings.database_url)
    app.state.probe_engine = open_engine(settings.database_url, connections=1)
    app.state.sessions = sessionmaker(app.state.engine, expire_on_commit=False)
    app.state.warm_up = None
    app.add_middleware(RequestLog)
    for router in (probes.router, api.router, pages.router):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    for lost in (exc.OperationalError, exc.InterfaceError, exc.TimeoutError):
        app.add_exception_handler(lost, _database_lost)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Migrate the embedded database, and warm up beside the first probes.

    PostgreSQL is migrated once, before any replica starts.
    """
    if app.state.settings.embedded:
        try:
            migrate.upgrade(app.state.engine)
        except migrate.MigrationError as error:
            logger.error("the embedded database is not usable: %s", error)  # noqa: TRY400 - one line
    app.state.warm_up = asyncio.create_task(warm_up(app))
    yield
    app.state.warm_up.cancel()
    app.state.engine.dispose()
    app.state.probe_engine.dispose()


async def _invalid(_request: Request, error: Exception) -> Response:
    """Answer 422 without echoing the input, which may be what JSON cannot carry."""
    problems: list[dict[str, Any]] = error.errors()  # type: ignore[attr-defined]
    detail = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in problems]
    return JSONResponse({"detail": detail}, 422)


async def _database_lost(request: Request, error: Exception) -> Response:
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    logger.warning("the database does not answer: %s", reason)
    message = "The database does not answer. Try again in a moment."
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": message}, 503, {"Retry-After": "1"})
    return pages.render(request, status=503, problem=message)
