"""The users: how they read answers, and what they count as lost."""

import asyncio
import json
import time

import pytest

from tests.bench import load
from tests.bench.load import Users, Wire, encode

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Transport:
    """Keeps what is written, and lets a wire know when it closes."""

    def __init__(self):
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True


def wired():
    wire, transport = Wire(), Transport()
    wire.connection_made(transport)
    return wire, transport


def answered(*pieces, then=lambda wire: None):
    """Return what one request gets where a server sends these pieces."""

    async def ask():
        wire, transport = wired()
        asked = asyncio.create_task(wire.ask(b"GET"))
        await asyncio.sleep(0)
        assert transport.written == b"GET"
        for piece in pieces:
            wire.data_received(piece)
        then(wire)
        return await asked, wire

    return asyncio.run(ask())


def test_an_answer_may_come_in_pieces():
    answer, wire = answered(OK[:10], OK[10:39], OK[39:])
    assert answer == (200, b"hi")
    assert not wire.closed


def test_an_answer_may_be_chunked():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answered(head, b"2\r\nhi\r\n0\r\n\r\n")[0] == (200, b"hi")


def test_a_server_that_closes_after_an_answer_loses_nothing():
    answer, wire = answered(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert answer.status == 200
    assert wire.closed


def test_a_connection_that_ends_early_is_an_error():
    with pytest.raises(ConnectionResetError):
        answered(OK[:-1], then=lambda wire: wire.connection_lost(None))


def test_what_is_no_answer_is_an_error():
    with pytest.raises(load.httptools.HttpParserError):
        answered(b"SSH-2.0-nothing\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_says_how_long_it_is(method):
    head, body = encode(method, "/x", "host:1", "a title").split(b"\r\n\r\n")
    assert head.startswith(f"{method} /x HTTP/1.1\r\nHost: host:1".encode())
    assert (f"Content-Length: {len(body)}".encode() in head) == (method == "POST")
    assert (json.loads(body) if body else None) == ({"title": "a title"} if body else None)


def served(monkeypatch, answer, *, turns, rate=200.0, connections=2, before=3):
    """Return the samples of users whose requests are answered by `answer(request)`."""

    class Server(Transport):
        def write(self, data):
            wire, reply = self.wire, answer(data)
            asyncio.get_running_loop().call_soon(
                wire.data_received if isinstance(reply, bytes) else wire.connection_lost, reply
            )

    async def connect(_loop, protocol, _host, _port):
        wire, server = protocol(), Server()
        server.wire = wire
        wire.connection_made(server)
        return server, wire

    users = Users("host:1", rate=rate, connections=connections, before=before, watch=False)
    users._until = time.monotonic() + turns / rate
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", connect)

    async def run():
        begin = time.monotonic()
        await asyncio.gather(*(users._user(n, begin) for n in range(connections)))

    asyncio.run(run())
    return users.samples


def reply(status, body):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def right(request):
    if request.startswith(b"GET /health"):
        return reply(200, '{"sha": "abc"}')
    return reply(201 if request.startswith(b"POST") else 200, "{}")


def test_every_other_answer_says_who_it_is_from(monkeypatch, capsys):
    found = served(monkeypatch, right, turns=12)
    assert not [sample for sample in found if sample.lost]
    named = [sample for sample in found if sample.sha == "abc"]
    assert abs(2 * len(named) - len(found)) <= 1
    assert capsys.readouterr().out == "warm\n"


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (lambda _: reply(503, "no"), "503"),
        (lambda _: ConnectionResetError(), "ConnectionResetError"),
        (lambda _: b"nonsense\r\n\r\n", "HttpParser"),
    ],
)
def test_whatever_is_not_the_right_answer_is_lost(monkeypatch, answer, lost):
    found = served(monkeypatch, answer, turns=6)
    assert found
    assert all(lost in sample.lost for sample in found)


def test_who_has_to_wait_for_the_answer_before_waits_longer(monkeypatch):
    """A stall is part of the latency of every request that it delays."""
    stalled = []

    def slow(request):
        if not stalled:
            stalled.append(time.sleep(0.1))
        return right(request)

    found = served(monkeypatch, slow, turns=30, connections=1)
    late = [sample for sample in found if sample.ended - sample.began > 0.02]
    assert len(late) > 5
