"""One question over real sockets: servers that drip, that nobody trusts, or that are not there."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http import server
from pathlib import Path

import pytest

from pipeline.image import http
from pipeline.settings import Settings


class Hello(server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody has signed; its key lies beside it."""
    path = tmp_path_factory.mktemp("tls") / "localhost.crt"
    new = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{path}.key", "-out", str(path)]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *new, *name], check=True, capture_output=True)
    return path


@pytest.fixture
def tls(certificate: Path) -> Iterator[str]:
    """The address of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    with server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as hello:
        hello.socket = context.wrap_socket(hello.socket, server_side=True)
        thread = threading.Thread(target=hello.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"https://localhost:{hello.server_port}/v2/"
        hello.shutdown()
        thread.join()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def ask(url: str, bundle: Path = Path()) -> bytes:
    settings = Settings(registry="127.0.0.1", ca_bundle=bundle)
    with http.session(settings) as session:
        return http.ask(session, "GET", url, what="a test").content


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v2/"


def test_a_certificate_of_ones_own(tls: str, certificate: Path) -> None:
    assert ask(tls, bundle=certificate) == b"hello"


def test_a_certificate_of_nobody(tls: str) -> None:
    with pytest.raises(http.NoAnswerError, match="its certificate is not trusted"):
        ask(tls)


def test_a_server_without_tls(listener: socket.socket) -> None:
    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        with pytest.raises(http.NoAnswerError, match="does not speak TLS"):
            ask(url_of(listener).replace("http", "https"))
    finally:
        thread.join()


@pytest.mark.parametrize(
    "begin",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"],
    ids=["silence", "headers", "body"],
)
def test_a_server_that_drips_is_given_up(
    begin: bytes, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "DEADLINE", 1.0)
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(begin)
            while not over.wait(0.1):
                connection.sendall(b"x" if begin else b"")

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    try:
        with pytest.raises(http.NoAnswerError, match="no answer within 1 s"):
            ask(url_of(listener))
    finally:
        over.set()
        thread.join()

    assert time.monotonic() - started < 5


def test_a_body_that_breaks_off(listener: socket.socket) -> None:
    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhel")

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        with pytest.raises(http.NoAnswerError, match="the connection broke off"):
            ask(url_of(listener))
    finally:
        thread.join()


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(http.NoAnswerError, match="connection refused"):
            ask(url_of(free))


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(http.NoAnswerError, match="could not be asked for a test"):
        ask("https://registry.invalid/v2/")
