"""What endpoints ask the application for."""

from typing import Annotated

from fastapi import Depends, Path, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.settings import Settings
from app.tasks import MAX_ID

__all__ = ["AppSettings", "Database", "Sessions", "TaskId"]

# `async` keeps them off the thread pool: they only look something up.


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _sessions(request: Request) -> sessionmaker[Session]:
    sessions: sessionmaker[Session] = request.app.state.sessions
    return sessions


AppSettings = Annotated[Settings, Depends(_settings)]
Database = Annotated[Engine, Depends(_engine)]
Sessions = Annotated[sessionmaker[Session], Depends(_sessions)]
TaskId = Annotated[int, Path(ge=1, le=MAX_ID)]
