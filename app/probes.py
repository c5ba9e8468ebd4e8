"""/health for "is it alive", /ready for "may it get traffic"."""

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.deps import AppSettings, ProbeDatabase, WarmUp

__all__ = ["router"]

router = APIRouter(tags=["probes"])

# A thread and a connection of its own: a busy replica is no broken one, so the probe never
# queues behind users' requests; and where the database hangs, probes take no thread from them.
one_at_a_time = CapacityLimiter(1)


@router.get("/health")
async def health(settings: AppSettings) -> dict[str, str]:
    """Say that the process is alive and which commit it runs; asks nobody else."""
    return {"status": "healthy", "sha": settings.app_sha}


@router.get("/ready")
async def ready(database: ProbeDatabase, warm_up: WarmUp) -> JSONResponse:
    """Say whether requests can be served well.

    The database answers, its schema is ours or newer, and the warm-up is over.
    """
    reason = await to_thread.run_sync(_why_not, database, limiter=one_at_a_time)
    if not reason and warm_up and not warm_up.done():
        reason = "warming up"
    if reason:
        return JSONResponse({"status": "unready", "reason": reason}, 503)
    return JSONResponse({"status": "ready"})


def _why_not(database: Engine) -> str | None:
    try:
        with database.connect() as connection:
            found = schema.revision(connection)
    except SQLAlchemyError:
        return "the database does not answer"
    if schema.is_behind(found):
        return f"the schema is at {found or 'nothing'}, this release needs {schema.HEAD}"
    return None
