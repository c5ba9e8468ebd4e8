import time

import pytest

from pipeline.errors import UnavailableError
from pipeline.settings import Secret
from pipeline.view import github, oidc

KEY = "sentinel-key"


@pytest.fixture
def answers(monkeypatch):
    """Have GitHub's token service answer what is in this list; return what it was asked."""
    given, asked = [], []

    def get(url, key):
        asked.append((url, key.reveal()))
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(oidc, "_get", get)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return given, asked


def offered(url="https://token.example/?v=1"):
    return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": KEY}


def test_a_token_is_for_one_audience(answers):
    given, asked = answers
    given += [(200, b'{"value": "a.b.c"}')] * 2
    token = github.oidc_token("https://codecov.io", offered())
    assert isinstance(token, Secret)
    assert token.reveal() == "a.b.c"
    github.oidc_token("a b", offered("https://token.example/"))
    assert asked == [
        ("https://token.example/?v=1&audience=https%3A%2F%2Fcodecov.io", KEY),
        ("https://token.example/?audience=a+b", KEY),
    ]


@pytest.mark.parametrize("missing", sorted(offered()))
def test_no_token_where_none_is_offered(missing, answers):
    assert github.oidc_token("x", {**offered(), missing: ""}) is None
    assert answers[1] == []


def test_the_servers_own_errors_are_asked_again(answers):
    given, asked = answers
    given += [(503, b""), (500, b""), (200, b'{"value": "t"}')]
    assert github.oidc_token("x", offered()).reveal() == "t"
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([(503, b"")] * 3, "answered 503"),
        ([(403, b"")], "answered 403"),
        ([(302, b"")], "answered 302"),
        ([(200, b"<html>")], "malformed"),
        ([(200, b"[]")], "malformed"),
        ([(200, b'{"value": ""}')], "malformed"),
        ([(200, b'{"value": "a\\nb"}')], "malformed"),
        ([ValueError(f"Invalid header value b'Bearer {KEY}'")], "malformed"),
        ([TimeoutError("timed out")], "timed out"),
        ([TimeoutError()], "TimeoutError"),
    ],
)
def test_no_token_is_an_error_that_shows_no_key(given, said, answers):
    answers[0].extend(given)
    with pytest.raises(UnavailableError) as caught:
        github.oidc_token("x", offered())
    assert said in caught.value.message
    assert "id-token" in caught.value.hint
    assert KEY not in repr(caught.value.as_dict())
    assert answers[0] == []


def test_only_the_web_is_asked():
    with pytest.raises(UnavailableError, match="malformed"):
        github.oidc_token("x", offered("file:///etc/passwd"))
