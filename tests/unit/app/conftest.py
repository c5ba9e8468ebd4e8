import asyncio
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import application
from app import settings as app_settings
from app.application import create_app

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch, tmp_path):
    for name in ("DATABASE_URL", "APP_SHA", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # where the embedded database would be made


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    names = (None, "uvicorn", "uvicorn.error", "uvicorn.access", "alembic.runtime.plugins")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def settings(tmp_path, no_power_cuts):
    return app_settings.Settings(database_url=f"sqlite:///{tmp_path}/tasks.db", app_sha=SHA)


@pytest.fixture
def unreachable(tmp_path):
    """PostgreSQL on a Unix socket that is not there: fails at once, and reaches no network."""
    return app_settings.Settings(
        database_url=f"postgresql://panager:sentinel@/panager?host={tmp_path}/none", app_sha=SHA
    )


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A database that is at head, to be copied; to migrate one takes longer."""
    from app import migrate
    from app.database import open_engine

    file = tmp_path_factory.mktemp("migrated") / "tasks.db"
    engine = open_engine(app_settings.parse_url(f"sqlite:///{file}"))
    migrate.upgrade(engine)
    engine.dispose()
    return file.read_bytes()


@pytest.fixture
def cold(monkeypatch):
    """Leave the warm-up out, for tests to which it makes no difference: it takes the most time."""

    async def nothing(app):
        pass

    monkeypatch.setattr(application, "warm_up", nothing)


@pytest.fixture
def client(settings, migrated):
    """A service that has been started and is warm, if the test is not `cold`."""
    Path(settings.database_url.database).write_bytes(migrated)
    with TestClient(create_app(settings)) as client:
        client.portal.call(asyncio.wait, {client.app.state.warm_up})
        yield client


@pytest.fixture
def engine(settings):
    from app.database import open_engine

    engine = open_engine(settings.database_url)
    yield engine
    engine.dispose()
