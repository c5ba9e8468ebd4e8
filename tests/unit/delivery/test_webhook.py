"""What is said of a deployment, and that saying it fails nothing; tests/contract sends it."""

import logging
import threading

import pytest

from pipeline import webhook
from pipeline.settings import Secret, Settings

URL = "https://hooks.example.org/services/T0/B0/sentinel"
LIVE = {"kind": "deploy", "sha": "a" * 40, "outcome": "live", "seconds": 12.34, "error": None}
FAILED = LIVE | {"outcome": "failed", "error": {"message": "It ended.", "exit_code": 3}}


@pytest.fixture
def settings(tmp_path):
    return Settings(webhook_url=Secret(URL), state_dir=tmp_path)


@pytest.fixture
def quiet():
    """Leave other tests the log as it was."""
    logger = logging.getLogger("urllib3")
    level = logger.level
    yield logger
    logger.setLevel(level)


def said(**changes):
    return webhook.message("panager", LIVE | changes, host="web-1")


def test_one_line_has_app_commit_outcome_host_seconds_and_cause():
    assert said() == "panager: deploy of aaaaaaaaaaaa is live on web-1 after 12.3 s"
    assert webhook.message("panager", FAILED, host="web-1") == (
        "panager: deploy of aaaaaaaaaaaa failed on web-1 after 12.3 s: It ended."
    )
    assert "rollback of aaaaaaaaaaaa was rolled back on web-1" in said(
        kind="rollback", outcome="rolled-back"
    )


def test_a_failure_before_there_was_a_commit():
    error = {"message": "No engine.", "exit_code": 1}
    text = said(kind="rollback", sha=None, outcome="failed", error=error)
    assert text == "panager: rollback failed on web-1 after 12.3 s: No engine."


def test_where_a_person_is_needed_it_says_so():
    text = said(outcome="failed", error={"message": "Undo failed.", "exit_code": 5})
    assert text.endswith(": Undo failed. A person is needed.")
    assert "person" not in webhook.message("panager", FAILED, host="web-1")


def test_a_cause_is_no_markup_and_calls_nobody():
    text = said(outcome="failed", error={"message": "<!channel> a & b", "exit_code": 3})
    assert text.endswith(": &lt;!channel&gt; a &amp; b")


def test_a_cause_is_not_without_end_and_has_no_secrets():
    error = {"message": "it said hunter2 " + "x" * 9000, "exit_code": 3}
    text = webhook.message("p", FAILED | {"error": error}, host="h", secrets=[Secret("hunter2")])
    assert len(text) < 700
    assert "hunter2" not in text


def test_what_cannot_be_sent_is_one_warning_without_the_address(settings, quiet, monkeypatch):
    lines = []

    def broken(*_, **__):
        raise RuntimeError(f"no way to {URL}")

    monkeypatch.setattr(webhook.requests.Session, "post", broken)
    webhook.send(settings, FAILED, report=lines.append)
    assert lines == ["warning: the webhook (webhook_url) did not get its message: RuntimeError"]


def test_who_never_answers_is_not_waited_for(settings, quiet, monkeypatch):
    lines, over = [], threading.Event()
    monkeypatch.setattr(webhook, "DEADLINE", 0.05)
    monkeypatch.setattr(webhook.requests.Session, "post", lambda *_, **__: over.wait(5))
    webhook.send(settings, LIVE, report=lines.append)
    over.set()
    assert lines == [
        "warning: the webhook (webhook_url) did not get its message: no answer within 0.05 s"
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (webhook.requests.exceptions.ConnectTimeout(URL), "no answer in time"),
        (webhook.requests.exceptions.SSLError(URL), "no trusted TLS connection"),
        (webhook.requests.exceptions.ConnectionError(URL), "no connection"),
        (webhook.requests.exceptions.InvalidURL(URL), "InvalidURL"),
    ],
)
def test_a_cause_is_in_our_words(error, words):
    assert webhook._cause(error) == words


def test_an_address_that_is_none_is_a_warning(tmp_path, quiet):
    lines = []
    settings = Settings(webhook_url=Secret("http://[sentinel"), state_dir=tmp_path)
    webhook.send(settings, LIVE, report=lines.append)
    (line,) = lines
    assert line.startswith("warning: the webhook")
    assert "sentinel" not in line


def test_the_log_of_the_library_has_no_part_in_it(settings, quiet, monkeypatch, caplog):
    def logs(*_, **__):
        logging.getLogger("urllib3.connectionpool").warning("retrying %s", URL)
        raise OSError(URL)

    monkeypatch.setattr(webhook.requests.Session, "post", logs)
    with caplog.at_level(logging.DEBUG):
        webhook.send(settings, LIVE, report=lambda _: None)
    assert "sentinel" not in caplog.text


def test_nobodys_login_is_sent_along(settings, quiet, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine hooks.example.org login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    sent = []

    def send(_adapter, request, **_):
        sent.append(request)
        raise OSError

    monkeypatch.setattr(webhook.HTTPAdapter, "send", send)
    webhook.send(settings, LIVE, report=lambda _: None)
    (request,) = sent
    assert "Authorization" not in request.headers
    assert request.url == URL
