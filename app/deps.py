"""What endpoints ask the application for."""

from asyncio import Task
from typing import Annotated

from fastapi import Depends, Path, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.settings import Settings
from app.tasks import MAX_ID

__all__ = ["AppSettings", "ProbeDatabase", "Sessions", "TaskId", "WarmUp"]

# `async` keeps them off the thread pool: they only look something up.


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _probe_engine(request: Request) -> Engine:
    engine: Engine = request.app.state.probe_engine
    return engine


async def _warm_up(request: Request) -> Task[None] | None:
    task: Task[None] | None = request.app.state.warm_up
    return task


async def _sessions(request: Request) -> sessionmaker[Session]:
    sessions: sessionmaker[Session] = request.app.state.sessions
    return sessions


AppSettings = Annotated[Settings, Depends(_settings)]
ProbeDatabase = Annotated[Engine, Depends(_probe_engine)]
Sessions = Annotated[sessionmaker[Session], Depends(_sessions)]
TaskId = Annotated[int, Path(ge=1, le=MAX_ID)]
WarmUp = Annotated[Task[None] | None, Depends(_warm_up)]
