"""A server on loopback that plays Codecov, and GitHub's identity service; it notes what it gets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROOF = "proof.of.identity"


class Codecov(ThreadingHTTPServer):
    """The server.

    Attributes:
        status: What it answers an upload with.
        identity_status: What it answers with who asks for an identity token.
        silent: Whether it keeps everybody waiting.
        url: Where it answers.
        requests: (path, Authorization header, JSON body) of each upload so far.
        identities: (audience, Authorization header) of each request for an identity token.
    """

    status = 200
    identity_status = 200
    silent = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, str | None, Any]] = []
        self.identities: list[tuple[str, str | None]] = []
        self.ended = threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: Codecov

    def do_GET(self) -> None:
        (audience,) = parse_qs(urlsplit(self.path).query)["audience"]
        self.server.identities.append((audience, self.headers.get("Authorization")))
        self._answer(self.server.identity_status, {"value": PROOF})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        url = self.server.url
        self._answer(self.server.status, {"raw_upload_location": f"{url}/raw", "url": url})

    do_PUT = do_POST  # noqa: N815 - the name is http.server's

    def _answer(self, status: int, value: Any) -> None:
        if self.server.silent:
            self.server.ended.wait()
            return
        body = json.dumps(value).encode()
        self.send_response(status)
        if status // 100 == 3:
            self.send_header("Location", f"{self.server.url}/elsewhere?audience=none")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@contextmanager
def running() -> Iterator[Codecov]:
    """Run the server while the `with` block runs."""
    with Codecov() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
