"""`invoke doctor` asks web servers: of whom nobody knows, with wrong clocks, behind a proxy."""

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import server
from pathlib import Path

import pytest

from pipeline.host.doctor.greeting import SECONDS, Greeting, greet

DAYS = 10


class Hello(server.BaseHTTPRequestHandler):
    """Answers 200; its clock is as wrong as the path says, in seconds."""

    def do_HEAD(self) -> None:
        self.send_response_only(200)
        behind = int(self.path.strip("/") or 0)
        self.send_header("Date", self.date_time_string(time.time() - behind))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Proxy(server.BaseHTTPRequestHandler):
    """Takes those who say who they are to this machine, whatever name they ask for."""

    def do_CONNECT(self) -> None:
        if self.headers["Proxy-Authorization"] != "Basic bWU6cEBzcw==":
            self.send_error(407)
            return
        port = int(self.path.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as there:
            self.send_response(200)
            self.end_headers()
            pairs = {self.connection: there, there: self.connection}
            while ready := select.select([*pairs], [], [], 5)[0]:
                for each in ready:
                    if not (data := each.recv(65536)):
                        return
                    pairs[each].sendall(data)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(
    handler: type[server.BaseHTTPRequestHandler], certificate: Path | None = None
) -> Iterator[int]:
    with server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            served.socket = context.wrap_socket(served.socket, server_side=True)
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served.server_port
        finally:
            served.shutdown()
            thread.join()


def openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two certificates for panager.test, good.crt and old.crt, and their keys."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "names").write_text("subjectAltName=DNS:panager.test,IP:127.0.0.1\n")
    for name, days in {"good": DAYS, "old": -1}.items():
        key, request = str(folder / f"{name}.key"), str(folder / f"{name}.csr")
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", key, "-out", request, "-subj", "/CN=panager.test"),
        )
        openssl(
            *("x509", "-req", "-in", request, "-signkey", key, "-days", str(days)),
            *("-extfile", str(folder / "names"), "-out", str(folder / f"{name}.crt")),
        )
    return folder


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def ask(certificates: Path, name: str, *, trusted: str = "", path: str = "/") -> Greeting:
    with serving(Hello, certificates / f"{name}.crt") as port:
        trust = certificates / (trusted or f"{name}.crt")
        return greet(f"https://127.0.0.1:{port}{path}", trust=trust)


def test_when_a_certificate_expires(certificates: Path) -> None:
    seen = ask(certificates, "good")
    assert (seen.status, seen.trouble) == (200, "")
    assert seen.expires is not None
    left = seen.expires - datetime.now(UTC)
    assert timedelta(days=DAYS, hours=-1) < left <= timedelta(days=DAYS)
    assert seen.skew == 0


def test_a_certificate_that_has_expired(certificates: Path) -> None:
    seen = ask(certificates, "old")
    assert seen.distrusted
    assert seen.trouble == "its certificate is refused: certificate has expired"


def test_a_certificate_that_nobody_has_signed(certificates: Path) -> None:
    seen = ask(certificates, "good", trusted="old.crt")
    assert seen.distrusted
    assert "self-signed certificate" in seen.trouble


@pytest.mark.parametrize("behind", [-90, 0, 90])
def test_how_far_a_clock_is_off(certificates: Path, behind: int) -> None:
    seen = ask(certificates, "good", path=f"/{behind}")
    assert abs(seen.skew - behind) <= 2


def test_the_proxy_of_the_environment(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hello, certificates / "good.crt") as port, serving(Proxy) as proxy:
        url = f"https://panager.test:{port}/"
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy}")
        assert greet(url, trust=certificates / "good.crt").status == 200
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy}")
        assert "407" in greet(url, trust=certificates / "good.crt").trouble
        monkeypatch.setenv("NO_PROXY", "panager.test")
        assert "its name is not known" in greet(url, trust=certificates / "good.crt").trouble


def test_what_does_not_speak_tls(certificates: Path) -> None:
    with serving(Hello) as port:
        seen = greet(f"https://127.0.0.1:{port}/", trust=certificates / "good.crt")
    assert seen.trouble
    assert not seen.distrusted


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_says_nothing(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        seen = greet(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", trust=Path("/nowhere"))
    assert seen.trouble == f"no answer within {SECONDS:g} s"
    assert time.monotonic() - began < SECONDS + 0.5


def test_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert (
        greet(f"http://127.0.0.1:{port}/", trust=Path("/nowhere")).trouble == "connection refused"
    )
