"""A registry that misbehaves by rule: a front that passes everything else on to a real one.

It listens on loopback, so the engine talks plain HTTP to it, as it does to the real one. The
real one makes the addresses of uploads of the `Host` that it is told, which is ours: nothing
goes past the front. What is held is held until the test has ended, or ought to have.
"""

import hashlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST = 20.0  # seconds of a front's life in which it holds anything
DRIP = 0.1  # seconds between two bytes
POLL = 0.02
TLS = b"\x16"  # how its first message begins
NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\n"  # for the engine a reason to go on without it
DIGEST = "docker-content-digest"
HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to be sent; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def naming(self, digest: str) -> "Answer":
        """Return the same, with another digest."""
        return replace(self, headers={**self.headers, DIGEST: digest})


class Exchange(BaseHTTPRequestHandler):
    """One request, which a behaviour answers by the methods below, or not at all."""

    protocol_version = "HTTP/1.1"
    front: "Hostile"
    body: bytes

    def passed_on(self) -> Answer:
        """Return what the real registry answers."""
        return self.front.ask(self.command, self.path, self.body, dict(self.headers.items()))

    def send(self, answer: Answer, *, only: int | None = None) -> None:
        """Send an answer, or not more than `only` bytes of its body."""
        length = str(len(answer.body))
        if self.command == "HEAD":  # the length of what GET would send
            length, only = answer.headers.get("content-length", "0"), 0
        self.send_response(answer.status)
        for name, value in {**answer.headers, "content-length": length}.items():
            self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(answer.body[:only])
        self.wfile.flush()

    def hold(self, seconds: float = LONGEST) -> bool:
        """Wait; tell whether the time for it is over."""
        left = self.front.began + LONGEST - time.monotonic()
        return self.front.ended.wait(max(0.0, min(seconds, left))) or seconds > left

    def is_alone(self) -> bool:
        """Tell whether whoever asked has hung up."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def drip(self, content: bytes) -> None:
        """Write byte by byte, for as long as the test takes."""
        for byte in content:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.hold(DRIP):
                return

    def handle(self) -> None:
        with suppress(OSError):  # whoever gave up has hung up, or we have
            if self.connection.recv(1, socket.MSG_PEEK) == TLS:
                self.connection.recv(65536)
                self.wfile.write(NO_TLS)
            else:
                super().handle()

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self) -> None:
        self.close_connection = True
        assert "transfer-encoding" not in self.headers, "the engine's image store is the old one"
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.front.behaviour(f"{self.command} {self.path}")(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's


Behaviour = Callable[[Exchange], None]


@dataclass(kw_only=True)
class Rule:
    """What happens to some requests instead of being passed on.

    Attributes:
        request: Pattern of `METHOD /path`.
        times: How often; None: always.
        since: It counts once there was a request like this.
        hits: How often it has happened.
    """

    request: str
    behaviour: Behaviour
    times: int | None = None
    since: str = ""
    hits: int = 0

    def applies(self, request: str, before: list[str]) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        begun = not self.since or any(re.fullmatch(self.since, each) for each in before)
        return begun and re.fullmatch(self.request, request) is not None


@dataclass(kw_only=True)
class Hostile:
    """The front.

    Attributes:
        behind: The real registry's `host:port`.
        host: Our own.
        seen: All requests, as `METHOD /path`.
        began: When, as `time.monotonic()` counts.
        ended: Set when the test has ended.
        left: Set when somebody has hung up who was not answered.
    """

    behind: str
    host: str = ""
    rules: list[Rule] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def on(
        self, request: str, behaviour: Behaviour, *, times: int | None = None, since: str = ""
    ) -> Rule:
        """Add a rule; the first one that applies counts."""
        rule = Rule(request=request, behaviour=behaviour, times=times, since=since)
        self.rules.append(rule)
        return rule

    def count(self, request: str) -> int:
        """Return how many requests there were like that."""
        return sum(re.fullmatch(request, each) is not None for each in self.seen)

    def behaviour(self, request: str) -> Behaviour:
        """Take note of a request; return what is to become of it."""
        with self.lock:
            before, self.seen = self.seen, [*self.seen, request]
            for rule in self.rules:
                if rule.applies(request, before):
                    rule.hits += 1
                    return rule.behaviour
        return lambda exchange: exchange.send(exchange.passed_on())

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Return the real registry's answer."""
        with closing(http.client.HTTPConnection(self.behind, timeout=LONGEST)) as connection:
            connection.request(method, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            kept = {name: value for name, value in said.items() if name not in HOP}
            return Answer(status=answer.status, headers=kept, body=answer.read())


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for each of them

    def __init__(self, handler: type[Exchange]) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        for connection in self.connections:  # the engine keeps some that it never uses
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


@contextmanager
def standing_before(registry: str) -> Iterator[Hostile]:
    """Run a front before the registry at `host:port` while the `with` block runs."""
    front = Hostile(behind=registry)
    server = _Server(type("FrontExchange", (Exchange,), {"front": front}))
    front.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL})
    thread.start()
    try:
        yield front
    finally:
        front.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, **headers: str) -> Behaviour:
    """Answer with a status; `retry_after="7"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.send(Answer(status=code, headers=named))


def naming(digest: str) -> Behaviour:
    """Answer rightly, but that this is another content's name."""
    return lambda exchange: exchange.send(exchange.passed_on().naming(digest))


def saying(body: bytes) -> Behaviour:
    """Answer rightly, but with another body."""
    return lambda exchange: exchange.send(replace(exchange.passed_on(), body=body))


def broken_off(exchange: Exchange) -> None:
    """Hang up in the middle of the body."""
    answer = exchange.passed_on()
    exchange.send(answer, only=len(answer.body) // 2)


def shortened(exchange: Exchange) -> None:
    """Send half of the body as if that were all."""
    answer = exchange.passed_on()
    exchange.send(replace(answer, body=answer.body[: len(answer.body) // 2]))


def corrupted(exchange: Exchange) -> None:
    """Send as many bytes as there should be, and one of them is another."""
    answer = exchange.passed_on()
    exchange.send(replace(answer, body=answer.body[:-1] + bytes([answer.body[-1] ^ 1])))


def nameless(exchange: Exchange) -> None:
    """Answer rightly, but do not tell the digest."""
    answer = exchange.passed_on()
    headers = {name: value for name, value in answer.headers.items() if name != DIGEST}
    exchange.send(replace(answer, headers=headers))


def hung_up(exchange: Exchange) -> None:
    """Hang up without a word."""
    exchange.connection.shutdown(socket.SHUT_RDWR)


def forgotten(exchange: Exchange) -> None:
    """Say that the manifest is kept, and keep nothing."""
    digest = f"sha256:{hashlib.sha256(exchange.body).hexdigest()}"
    exchange.send(Answer(status=201).naming(digest))


def silent(exchange: Exchange) -> None:
    """Take the request and never answer; take note where somebody gives up."""
    while not exchange.hold(POLL):
        if exchange.is_alone():
            exchange.front.left.set()
            return


def silent_in_the_middle(exchange: Exchange) -> None:
    """Send half of the body, then nothing."""
    answer = exchange.passed_on()
    exchange.send(answer, only=len(answer.body) // 2)
    exchange.hold()


def dripping(exchange: Exchange) -> None:
    """Send the body byte by byte, which takes longer than anybody waits."""
    answer = exchange.passed_on()
    exchange.send(answer, only=0)
    exchange.drip(answer.body)


def dripping_headers(exchange: Exchange) -> None:
    """Begin an answer that never comes to its body."""
    exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: on and on\r\n" * 20)
