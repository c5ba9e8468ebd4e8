import pytest
from anyio import to_thread
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import migrate, schema
from app.application import create_app
from tests.unit.app.conftest import SHA


def at(engine, revision):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def unready(answer):
    assert answer.status_code == 503
    assert answer.json()["status"] == "unready"
    return answer.json()["reason"]


def test_health_names_the_commit(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy", "sha": SHA})


def test_the_service_starts_without_its_database(unreachable):
    with TestClient(create_app(unreachable)) as client:
        assert client.get("/health").status_code == 200
        assert unready(client.get("/ready")) == "the database does not answer"


def test_the_embedded_database_is_migrated_at_the_start(client):
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_an_embedded_database_that_cannot_be_made_is_said_and_unready(settings, tmp_path, caplog):
    settings = settings.model_copy(
        update={"database_url": settings.database_url.set(database=f"{tmp_path}/none/tasks.db")}
    )
    with TestClient(create_app(settings)) as client:
        assert client.get("/health").status_code == 200
        assert unready(client.get("/ready")) == "the database does not answer"
    assert "the embedded database is not usable: unable to open" in caplog.text


def test_postgresql_is_not_migrated_at_the_start(unreachable, monkeypatch):
    asked = []
    monkeypatch.setattr(migrate, "upgrade", asked.append)
    with TestClient(create_app(unreachable)):
        pass
    assert asked == []


def test_a_database_without_tables_is_unready(settings):
    client = TestClient(create_app(settings))  # not entered: nothing migrates
    assert (
        unready(client.get("/ready"))
        == f"the schema is at nothing, this release needs {schema.HEAD}"
    )
    client.app.state.probe_engine.dispose()


def test_an_older_schema_is_unready(client, monkeypatch):
    monkeypatch.setattr(schema, "HEAD", "0099")
    reason = unready(client.get("/ready"))
    assert reason == "the schema is at 0001, this release needs 0099"


def test_a_version_table_without_a_version_is_unready(client, engine):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    assert "at nothing" in unready(client.get("/ready"))


def test_the_old_release_stays_ready_when_the_new_one_has_migrated(client, engine):
    at(engine, f"{int(schema.HEAD) + 1:04}")
    assert client.get("/ready").status_code == 200


def test_readiness_costs_one_query(client):
    from sqlalchemy import event

    asked = []
    event.listen(
        client.app.state.probe_engine, "before_cursor_execute", lambda *args: asked.append(args[2])
    )
    assert client.get("/ready").status_code == 200
    assert len(asked) == 1


def test_a_busy_service_stays_ready(client):
    """Every thread that users' requests can have is taken, and their connections are not used."""
    limiter = client.portal.call(to_thread.current_default_thread_limiter)
    borrowers = [object() for _ in range(int(limiter.total_tokens))]
    for borrower in borrowers:
        client.portal.call(limiter.acquire_on_behalf_of, borrower)
    before = client.app.state.engine.pool.checkedin()
    assert client.get("/ready").status_code == 200
    assert client.app.state.probe_engine.pool.checkedin() == 1
    assert client.app.state.engine.pool.checkedin() == before
    for borrower in borrowers:
        client.portal.call(limiter.release_on_behalf_of, borrower)


class BrokenConnection:
    def scalar(self, statement):
        raise OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)


def test_a_connection_that_breaks_is_no_empty_schema():
    with pytest.raises(OperationalError, match="gone"):
        schema.revision(BrokenConnection())
