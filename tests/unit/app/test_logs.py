import io
import json
import logging
import re
import sys

import pytest
from fastapi.testclient import TestClient

from app.application import create_app
from app.logs import RequestLog, configure


class Lines:
    """All that is logged, as it would leave the process."""

    def __init__(self):
        self.out = io.StringIO()

    def configure(self, level):
        configure(level)
        (handler,) = logging.getLogger().handlers
        assert handler.setStream(self.out) is sys.stdout

    def __call__(self):
        said = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return [line for line in said if not line["logger"].startswith("httpx")]  # the test's own


@pytest.fixture
def lines():
    lines = Lines()
    lines.configure("info")
    return lines


@pytest.fixture
def broken(client):
    """A service with an endpoint that nobody expected to fail."""

    @client.app.get("/broken")
    def fail():
        raise RuntimeError("sentinel")

    return client


def requests(lines):
    return [line for line in lines if line["message"] == "request"]


def test_a_request_is_one_json_line(client, lines):
    answer = client.post("/api/v1/tasks?q=private", json={"title": "x"})
    (line,) = lines()
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/tasks", 201)
    assert line["duration_ms"] > 0
    assert line["level"] == "info"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])


def test_a_line_cannot_be_broken_by_what_is_asked_for(client, lines):
    client.get("/a%0A%7B%22level%22:%22fatal%22%7D")
    (line,) = lines()
    assert line["path"] == '/a\n{"level":"fatal"}'


def test_a_given_request_id_is_kept(client, lines):
    answer = client.get("/", headers={"X-Request-ID": "proxy-1.2_3"})
    assert answer.headers["X-Request-ID"] == "proxy-1.2_3"
    assert lines()[0]["request_id"] == "proxy-1.2_3"


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, 'a"b', "a\tb"])
def test_a_bad_request_id_is_replaced(client, given):
    answer = client.get("/", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_two_requests_have_two_ids(client, lines):
    client.get("/")
    client.get("/")
    first, second = lines()
    assert first["request_id"] != second["request_id"]


def test_probes_are_logged_only_where_they_fail(client, unreachable, lines):
    client.get("/health")
    client.get("/ready")
    assert lines() == []
    with TestClient(create_app(unreachable)) as other:
        other.get("/ready")
    (line,) = requests(lines())
    assert (line["path"], line["status"]) == ("/ready", 503)


def test_an_unexpected_error_is_a_clean_500_with_the_request_id(broken, lines):
    answer = broken.get("/broken", headers={"X-Request-ID": "abc"})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal Server Error", "request_id": "abc"}
    assert answer.headers["X-Request-ID"] == "abc"
    error, request = lines()
    assert (error["level"], error["message"]) == ("error", "unhandled error")
    assert "RuntimeError: sentinel" in error["traceback"]
    assert {error["request_id"], request["request_id"]} == {"abc"}
    assert request["status"] == 500


def test_an_error_after_the_answer_has_begun_is_passed_on(lines):
    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("sentinel")

    with pytest.raises(RuntimeError, match="sentinel"):
        TestClient(RequestLog(half)).get("/half")
    assert [line["message"] for line in lines()] == ["unhandled error", "request"]


def test_the_database_that_is_lost_is_logged_with_the_request(unreachable, lines):
    with TestClient(create_app(unreachable)) as client:
        client.get("/", headers={"X-Request-ID": "abc"})
    (warning,) = [line for line in lines() if line["level"] == "warning"]
    assert warning["request_id"] == "abc"


def test_the_servers_own_lines_are_json_too(lines):
    for name in ("uvicorn", "uvicorn.access"):  # as uvicorn sets them up
        logging.getLogger(name).addHandler(logging.StreamHandler())
        logging.getLogger(name).propagate = False
    lines.configure("info")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
    (line,) = lines()
    assert line["logger"] == "uvicorn.error"
    assert line["message"] == "Started server process [1]"
    assert "request_id" not in line
    assert not logging.getLogger("uvicorn.access").hasHandlers()  # uvicorn then logs none


def test_the_level_is_a_setting(client, lines):
    lines.configure("warning")
    client.get("/")
    assert lines() == []
    lines.configure("debug")
    client.get("/health")
    assert requests(lines())[0]["path"] == "/health"
