"""A server on loopback that takes uploads as Codecov does, and writes down what it gets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Codecov(ThreadingHTTPServer):
    """The server.

    Attributes:
        status: What it answers with.
        url: Where it answers.
        requests: (path, Authorization header, JSON body) of each request so far.
    """

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, str | None, Any]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Codecov

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        url = self.server.url
        answer = json.dumps({"raw_upload_location": f"{url}/raw", "url": url}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST  # noqa: N815 - the name is http.server's

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@contextmanager
def running() -> Iterator[Codecov]:
    """Run the server while the `with` block runs."""
    with Codecov() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
