import asyncio
import io
import json
import logging
import threading
import time

import pytest
from fastapi.testclient import TestClient
from jinja2.utils import LRUCache
from sqlalchemy import event, text

from app import pages, warm
from app.application import create_app
from app.logs import configure


@pytest.fixture
def lines():
    """All that is logged, down to debug."""
    configure("debug")
    (handler,) = logging.getLogger().handlers
    out = io.StringIO()
    handler.setStream(out)
    return lambda logger: [
        line for line in map(json.loads, out.getvalue().splitlines()) if line["logger"] == logger
    ]


@pytest.fixture
def held(monkeypatch):
    """Hold every warm-up up until this is set."""
    release = threading.Event()
    connect = warm._connect

    def wait_and_connect(engine):
        assert release.wait(30)
        connect(engine)

    monkeypatch.setattr(warm, "_connect", wait_and_connect)
    yield release
    release.set()


def finish(client):
    client.portal.call(asyncio.wait, {client.app.state.warm_up})


def test_ready_waits_for_the_warm_up_and_health_does_not(settings, held, monkeypatch):
    monkeypatch.setattr(warm, "SECONDS", 30)
    with TestClient(create_app(settings)) as client:
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "warming up")
        assert client.get("/health").status_code == 200
        held.set()
        finish(client)
        assert client.get("/ready").status_code == 200


def test_a_warm_up_that_hangs_holds_nobody_up(settings, held, monkeypatch, lines):
    assert warm.SECONDS <= 1
    monkeypatch.setattr(warm, "SECONDS", 0.05)
    with TestClient(create_app(settings)) as client:
        began = time.monotonic()
        finish(client)
        assert time.monotonic() - began < 25
        assert client.get("/ready").status_code == 200
        assert client.get("/").status_code == 200
        held.set()
    (line,) = lines("app.warm")
    assert line["level"] == "info"
    assert line["message"] == "the warm-up is not over after 0.05 s; it is not waited for"


def test_a_service_that_stops_ends_its_warm_up(settings, monkeypatch):
    monkeypatch.setattr(warm, "SECONDS", 30)
    hanging, ended = asyncio.Event(), asyncio.Event()

    async def hang(app):
        hanging.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def live():
        app = create_app(settings)
        async with app.router.lifespan_context(app), asyncio.timeout(25):
            await hanging.wait()
        await asyncio.wait_for(ended.wait(), 25)
        assert app.state.warm_up.cancelled()

    monkeypatch.setattr(warm, "_exercise", hang)
    asyncio.run(live())


def test_a_warm_up_that_fails_is_one_line_and_the_service_is_ready(settings, monkeypatch, lines):
    def fail(engine):
        raise ValueError("one\nsentinel")

    monkeypatch.setattr(warm, "_connect", fail)
    with TestClient(create_app(settings)) as client:
        finish(client)
        assert client.get("/ready").status_code == 200
    (line,) = lines("app.warm")
    assert (line["level"], line["message"]) == (
        "info",
        "the warm-up failed (ValueError): one sentinel",
    )
    assert "traceback" not in line


def test_without_a_database_the_warm_up_is_the_only_one_to_say_so(unreachable, lines):
    with TestClient(create_app(unreachable)) as client:
        finish(client)
    (line,) = lines("app.warm")
    assert line["message"].startswith("the warm-up failed (OperationalError): connection is bad")
    assert lines("app.application") == []


def test_an_answer_that_nobody_expects_is_a_failure(settings, monkeypatch, lines):
    monkeypatch.setattr(warm, "REQUESTS", (("GET", "/nothing", b"", b""),))
    with TestClient(create_app(settings)) as client:
        finish(client)
    (line,) = lines("app.warm")
    assert line["message"] == "the warm-up failed (RuntimeError): GET /nothing answered 404"


def test_an_endpoint_that_fails_is_named_by_its_error(client, monkeypatch, lines):
    def fail(request, **context):
        raise LookupError("sentinel")

    monkeypatch.setattr(pages, "render", fail)
    client.portal.call(warm.warm_up, client.app)
    (line,) = lines("app.warm")
    assert line["message"] == "the warm-up failed (LookupError): sentinel"


def test_nothing_is_stored(client, engine):
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tasks")) == 0
    assert client.post("/api/v1/tasks", json={"title": "first"}).json()["id"] == 1
    assert client.app.state.engine.pool.checkedout() == 0


def test_nothing_is_sent_that_would_change_a_database(client):
    sent = []
    event.listen(
        client.app.state.engine, "after_cursor_execute", lambda *args: sent.append(args[2])
    )
    client.portal.call(warm.warm_up, client.app)
    assert sent
    assert {statement.split()[0] for statement in sent} == {"SELECT"}


def test_it_logs_no_request(client, lines):
    client.portal.call(warm.warm_up, client.app)
    assert lines("app.logs") == []
    (line,) = lines("app.warm")
    assert line["level"] == "debug"
    assert line["message"].startswith("warm after ")
    assert "request_id" not in line


def test_what_users_do_first_is_warm(settings, monkeypatch):
    monkeypatch.setattr(pages.templates.env, "cache", LRUCache(10))
    cold = []

    def see(*about):
        statement, context = about[2], about[4]
        if context.compiled and context.cache_hit.name != "CACHE_HIT":
            cold.append(statement)

    with TestClient(create_app(settings)) as client:
        finish(client)
        assert client.app.state.engine.pool.checkedin() == warm.CONNECTIONS
        assert len(pages.templates.env.cache) == 1
        event.listen(client.app.state.engine, "before_cursor_execute", see)
        assert client.get("/").status_code == 200
        assert client.get("/api/v1/tasks?limit=5").status_code == 200
        assert client.post("/api/v1/tasks", json={"title": "x"}).status_code == 201
        assert client.post("/tasks", data={"title": "x"}).status_code == 200
        assert cold == []
        assert client.get("/api/v1/tasks/1").status_code == 200
        assert len(cold) == 1  # which is what a statement looks like that nobody warmed
