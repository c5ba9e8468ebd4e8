import importlib
import sys

import pytest

from app import settings
from app.database import POOL_SIZE, open_engine


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_spelling_of_postgresql_is_psycopg_3(scheme, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://me:p%40ss@db:5433/tasks?sslmode=require")
    loaded = settings.load()
    url = loaded.database_url
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://me:p%40ss@db:5433/tasks?sslmode=require"
    )
    assert not loaded.embedded


def test_the_default_is_an_embedded_file():
    loaded = settings.load()
    assert str(loaded.database_url) == "sqlite:///panager.db"
    assert loaded.embedded
    assert loaded.app_sha == "unknown"


def test_settings_never_show_the_password(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:sentinel@db/tasks")
    assert "sentinel" not in repr(settings.load())
    assert "***" in str(settings.load().database_url)


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        ("", "not a database URL"),
        ("sentinel", "not a database URL"),
        ("postgresql://me:sentinel@db:port/tasks", "not a database URL"),
        ("mysql://me:sentinel@db/tasks", "neither a postgresql:// nor a sqlite:// URL"),
        ("postgresql+psycopg2://me:sentinel@db/tasks", "neither a postgresql:// nor"),
    ],
)
def test_a_bad_url_is_named_without_its_value(raw, cause, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", raw)
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert "DATABASE_URL" in str(caught.value)
    assert cause in str(caught.value)
    assert "sentinel" not in str(caught.value)


def test_every_problem_is_said_at_once(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(settings.SettingsError, match=r"DATABASE_URL: .*; LOG_LEVEL: "):
        settings.load()


def test_the_pool_is_bounded_and_survives_a_restarted_database(unreachable):
    engine = open_engine(unreachable.database_url)
    assert engine.pool.size() == POOL_SIZE
    assert engine.pool._max_overflow == 0
    assert engine.pool._pre_ping
    assert engine.dialect.driver == "psycopg"


def import_main():
    sys.modules.pop("app.main", None)
    return importlib.import_module("app.main")


def test_what_uvicorn_runs_is_made_from_the_environment(monkeypatch):
    monkeypatch.setenv("APP_SHA", "abc")
    assert import_main().app.state.settings.app_sha == "abc"


def test_what_uvicorn_runs_refuses_a_bad_environment_in_one_line(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    with pytest.raises(SystemExit, match=r"^app\.main: DATABASE_URL: [^\n]+$"):
        import_main()
