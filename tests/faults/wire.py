"""The wire to the registry: a forwarder on loopback that fails when it is told to."""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.e2e.support.registry import Registry

CHUNK = 65536
HALF_WAY = b"/blobs/"  # asked for once the registry has said what the image is made of
NONSENSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Length: 8\r\n\r\nnonsense"
)
PATIENCE = 60.0  # seconds that "silent" lasts at most


class Wire:
    """Forwards connections to the registry until one asks for what it is to fail at.

    From then on, until it is mended, the registry is `gone` (nobody listens), it `drops` each
    connection, answers each request 200 and `garbage`, or takes each and stays `silent`.

    Attributes:
        registry: As it is reached over this wire.
        broken: Set while it fails.
    """

    def __init__(self, registry: Registry) -> None:
        name, port = registry.host.split(":")
        self.upstream = (name, int(port))
        self.how = ""
        self.broken = threading.Event()
        self.mended = threading.Event()
        self._listen(0)
        self._port = self._server.server_address[1]
        self.registry = replace(registry, host=f"127.0.0.1:{self._port}")

    def fail(self, how: str) -> None:
        """Fail from the next time on that a blob is asked for."""
        self.mended.clear()
        self.how = how

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Have nobody listen for a while."""
        self.fail("gone")
        self.broken.set()
        self.close()
        try:
            yield
        finally:
            self.mend()

    def mend(self) -> None:
        """Forward everything again."""
        gone = self.how == "gone" and self.broken.is_set()
        self.how = ""
        self.broken.clear()
        self.mended.set()
        if gone:
            self._listen(self._port)

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()

    def cut(self, asked: bytes) -> bool:
        """Tell whether a request gets no further than here."""
        if self.how and HALF_WAY in asked and not self.broken.is_set():
            self.broken.set()
            if self.how == "gone":
                self.close()
        return self.broken.is_set()

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Connection)
        self._server.wire = self
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    wire: Wire


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        wire = self.server.wire
        with socket.create_connection(wire.upstream) as upstream:
            other = {self.request: upstream, upstream: self.request}
            while True:
                for each in select.select(list(other), [], [])[0]:
                    data = self._received(each)
                    if each is self.request and data and wire.cut(data):
                        self._fail(wire)
                        return
                    if not data:
                        return
                    other[each].sendall(data)

    def _received(self, side: socket.socket) -> bytes:
        try:
            return side.recv(CHUNK)
        except ConnectionError:
            return b""

    def _fail(self, wire: Wire) -> None:
        if wire.how == "garbage":
            self.request.sendall(NONSENSE)
        elif wire.how == "silent":
            wire.mended.wait(PATIENCE)
