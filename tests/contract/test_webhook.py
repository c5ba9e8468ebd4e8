"""The message of a deployment over a real socket: busy, broken, silent and dripping servers."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import server

import pytest

from pipeline import webhook
from pipeline.settings import Secret, Settings

PATH = "/services/T0/B0/sentinel"
LIVE = {"kind": "deploy", "sha": "a" * 40, "outcome": "live", "seconds": 1.0, "error": None}


@dataclass
class Receiver:
    """Answers one status after the other, the last one for ever."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    texts: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.times.append(time.monotonic())
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.texts.append(json.loads(body)["text"])
            made.headers.append(dict(self.headers))
            status, headers = made.answers[min(len(made.texts), len(made.answers)) - 1]
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        made.url = f"http://127.0.0.1:{served.server_port}{PATH}"
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        served.shutdown()
        thread.join()


def send(url: str) -> tuple[list[str], float]:
    """Return what was warned of, and the seconds that it took."""
    lines: list[str] = []
    started = time.monotonic()
    webhook.send(Settings(webhook_url=Secret(url)), LIVE, report=lines.append)
    assert "sentinel" not in "".join(lines)
    return lines, time.monotonic() - started


def refused(url: str) -> tuple[str, float]:
    (line,), seconds = send(url)
    return line.removeprefix(
        "warning: the webhook (webhook_url) did not get its message: "
    ), seconds


def test_it_arrives_once(receiver: Receiver, tmp_path, monkeypatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    lines, seconds = send(receiver.url)
    assert lines == []
    (text,) = receiver.texts
    assert text == f"panager: deploy of aaaaaaaaaaaa is live on {socket.gethostname()} after 1.0 s"
    assert "Authorization" not in receiver.headers[0]
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert seconds < 2


def test_busy_and_then_well(receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "1"}), (200, {})]
    assert send(receiver.url)[0] == []
    assert len(receiver.texts) == 2
    assert receiver.times[1] - receiver.times[0] >= 1


def test_broken_and_then_well(receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (503, {}), (200, {})]
    assert send(receiver.url)[0] == []
    assert len(receiver.texts) == 3


def test_broken_for_good(receiver: Receiver) -> None:
    receiver.answers = [(500, {})]
    assert refused(receiver.url)[0] == "it answers HTTP status 500"
    assert len(receiver.texts) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_what_is_final_is_not_tried_again(status: int, receiver: Receiver) -> None:
    receiver.answers = [(status, {})]
    assert refused(receiver.url)[0] == f"it answers HTTP status {status}"
    assert len(receiver.texts) == 1


def test_it_is_not_carried_elsewhere(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url}), (200, {})]
    assert refused(receiver.url)[0] == "it answers HTTP status 307"
    assert len(receiver.texts) == 1


def test_come_again_tomorrow(receiver: Receiver, monkeypatch) -> None:
    monkeypatch.setattr(webhook, "LONGEST_PAUSE", 0.2)
    receiver.answers = [(503, {"Retry-After": "86400"})]
    words, seconds = refused(receiver.url)
    assert words == "it answers HTTP status 503"
    assert seconds < 3


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, but nobody listens
        words, seconds = refused(f"http://127.0.0.1:{free.getsockname()[1]}{PATH}")
    assert words == "no connection"
    assert seconds < 3


def test_a_login_in_the_address_is_used(receiver: Receiver) -> None:
    assert send(receiver.url.replace("127.", "user:pw@127."))[0] == []
    assert receiver.headers[0]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silence", "drip"])
def test_who_does_not_come_to_an_end_is_given_up(drip: bytes, monkeypatch) -> None:
    monkeypatch.setattr(webhook, "READ", 0.5)
    monkeypatch.setattr(webhook, "DEADLINE", 1.0)
    over, there = threading.Event(), []

    def speak() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                there.append(listener.accept()[0])
                there[-1].sendall(b"HTTP/1.1 200 OK\r\nX-Slow: " if drip else b"")
            for connection in there:
                with suppress(OSError):
                    connection.sendall(drip)
        for connection in there:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=speak)
        thread.start()
        try:
            words, seconds = refused(f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}")
        finally:
            over.set()
            thread.join()
    assert words.startswith("no answer")
    assert seconds < 2
    assert len(there) == 1, "what may have arrived is not said twice"
