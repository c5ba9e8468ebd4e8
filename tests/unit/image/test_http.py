import ssl
import threading
from dataclasses import replace
from socket import gaierror
from types import SimpleNamespace

import pytest
from requests import exceptions
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from pipeline.errors import RegistryError
from pipeline.image import http
from tests.unit.image.planned_answers import Planned, answer

URL = "https://registry.example/v2/team/app/blobs/x"
BUCKET = "https://bucket.example/x?signature=s"


@pytest.fixture
def planned():
    return Planned()


@pytest.fixture
def ask(planned, settings):
    session = http.session(settings)
    session.mount("https://", planned)
    session.mount("http://", planned)

    def ask(method="GET", url=URL, **more):
        return http.ask(session, method, url, what="a test", **more)

    yield ask
    session.close()


def wrapped(cause):
    """Return an error of requests, as deep as it puts what has happened."""
    inner = NewConnectionError(None, "it failed")
    inner.__cause__ = cause
    return exceptions.ConnectionError(MaxRetryError(None, "/secret", inner))


def test_what_comes_back(ask, planned):
    planned.on("GET", URL, answer(404, b"content", X_Told="this"))

    found = ask(headers={"Accept": "a"}, authorization="Basic b")

    assert (found.status, found.content, found.url) == (404, b"content", URL)
    assert found.headers["x-told"] == "this"
    assert planned.asked == [("GET", URL, "Basic b")]


def test_a_netrc_is_not_read(ask, planned, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine registry.example login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    planned.on("GET", URL, answer())

    ask()

    assert planned.asked == [("GET", URL, "")]


class TestTrust:
    def test_the_bundle_counts_where_it_exists(self, settings, tmp_path):
        bundle = tmp_path / "ca.crt"
        assert http.session(replace(settings, ca_bundle=bundle)).verify is True

        bundle.touch()
        assert http.session(replace(settings, ca_bundle=bundle)).verify == str(bundle)

    @pytest.mark.parametrize(
        ("registry", "counts"), [("registry.example", True), ("127.0.0.1:5000", False)]
    )
    def test_variables_for_proxies(self, registry, counts, settings):
        assert http.session(replace(settings, registry=registry)).trust_env is counts


class TestLimits:
    def test_an_answer_without_end(self, ask, planned):
        planned.on("GET", URL, answer(200, b"x" * 11))

        with pytest.raises(RegistryError, match="more than 10 bytes"):
            ask(limit=10)

        assert ask(limit=11).content == b"x" * 11

    def test_a_redirect_without_end(self, ask, planned):
        planned.on("GET", URL, answer(307, b"x" * 11, Location=BUCKET))

        with pytest.raises(RegistryError, match="more than 10 bytes"):
            ask(limit=10)

    def test_silence_ends_at_the_deadline(self, ask, planned, monkeypatch):
        over = threading.Event()
        monkeypatch.setattr(planned, "send", lambda *args, **how: over.wait(60))
        try:
            with pytest.raises(http.NoAnswerError, match=r"a test: no answer within 0.05 s\."):
                ask(deadline=0.05)
        finally:
            over.set()

    def test_what_comes_too_late_is_not_taken_for_the_whole(self, ask, planned, monkeypatch):
        clock = iter([0, 0, 0])  # what is read after these, the answer's first bytes, is late
        late = SimpleNamespace(monotonic=lambda: next(clock, 99))
        monkeypatch.setattr(http, "time", late)
        planned.on("GET", URL, answer(200, b"content"))

        with pytest.raises(http.NoAnswerError, match="no answer within 20 s"):
            ask()

    def test_redirects_share_the_deadline(self, ask, planned, monkeypatch):
        clock = iter(range(0, 100, 3))
        monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        planned.on("GET", URL, answer(307, Location=BUCKET))
        planned.on("GET", BUCKET, answer())

        ask(deadline=60)

        (first, _), (second, _) = planned.timeouts
        reads = [read for _, read in planned.timeouts]
        assert (first, second) == (5.0, 5.0)
        assert reads[1] < reads[0] < 60


class TestRedirects:
    def test_the_login_stays_at_home(self, ask, planned):
        planned.on("GET", URL, answer(307, Location="/elsewhere"))
        planned.on("GET", "https://registry.example/elsewhere", answer(302, Location=BUCKET))
        planned.on("GET", BUCKET, answer(200, b"content"))

        found = ask(authorization="Bearer t")

        assert (found.content, found.url) == (b"content", BUCKET)
        assert [sent for _, _, sent in planned.asked] == ["Bearer t", "Bearer t", ""]

    @pytest.mark.parametrize(
        "location", ["http://bucket.example/x", "http://127.0.0.1/x", "file:///x", "https://[", URL]
    )
    def test_that_lead_nowhere(self, location, ask, planned):
        planned.on("GET", URL, answer(302, Location=location))

        with pytest.raises(RegistryError, match="in circles, or to an unsafe address"):
            ask()

        assert {url for _, url, _ in planned.asked} == {URL}

    def test_content_is_not_sent_elsewhere(self, ask, planned):
        planned.on("PUT", URL, answer(307, Location=BUCKET))

        assert ask("PUT", data=b"content").status == 307


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "cause"),
        [
            (wrapped(ConnectionRefusedError(111, "Connection refused")), "connection refused"),
            (wrapped(gaierror(-2, "Name or service not known")), "its name is not known"),
            (wrapped(OSError(101, "Network is unreachable")), "network is unreachable"),
            (exceptions.ConnectTimeout("x"), "no connection within 5 s"),
            (exceptions.ReadTimeout("x"), "no answer within 20 s"),
            (exceptions.ProxyError("x"), "the proxy on the way there"),
            (exceptions.SSLError(ssl.SSLCertVerificationError("x")), "certificate is not trusted"),
            (exceptions.SSLError(ssl.SSLError("x")), "does not speak TLS"),
            (exceptions.ChunkedEncodingError(ProtocolError("x")), "the connection broke off"),
            (exceptions.InvalidURL("x"), "the connection broke off"),
        ],
        ids=lambda given: given if isinstance(given, str) else "",
    )
    def test_the_cause_is_named(self, error, cause, ask, planned):
        planned.on("GET", URL, error)

        with pytest.raises(http.NoAnswerError, match=cause) as raised:
            ask()

        assert "registry.example could not be asked for a test" in raised.value.message
        assert "secret" not in raised.value.message
        assert raised.value.__cause__ is error

    @pytest.mark.parametrize("status", [429, 500, 503, 599])
    def test_a_busy_registry(self, status, ask, planned):
        planned.on("GET", URL, answer(status))

        with pytest.raises(http.BusyError, match=r"registry\.example is busy or out") as raised:
            ask()

        assert raised.value.wait is None
        assert str(status) in raised.value.details

    @pytest.mark.parametrize(
        ("said", "wait"), [("7", 7.0), (" 0 ", 0.0), ("-1", None), ("Wed, 21", None)]
    )
    def test_a_busy_registry_may_say_when(self, said, wait, ask, planned):
        planned.on("GET", URL, answer(429, Retry_After=said))

        with pytest.raises(http.BusyError) as raised:
            ask()

        assert raised.value.wait == wait

    def test_a_mistake_of_ours_is_not_the_registrys(self, ask, planned):
        planned.on("GET", URL, LookupError("a mistake"))

        with pytest.raises(LookupError, match="a mistake"):
            ask()
