"""/health for "is it alive", /ready for "may it get traffic"."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.deps import AppSettings, Database

__all__ = ["router"]

router = APIRouter(tags=["probes"])


@router.get("/health")
async def health(settings: AppSettings) -> dict[str, str]:
    """Say that the process is alive and which commit it runs; asks nobody else."""
    return {"status": "healthy", "sha": settings.app_sha}


@router.get("/ready")
def ready(database: Database) -> JSONResponse:
    """Say whether requests can be served: the database answers, and its schema is ours or newer."""
    if reason := _why_not(database):
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
