"""A registry that wants tokens, as public ones do: a token service, and a front before a real one.

The front lets in who has a token of that service for what is asked, and passes the question on
to the registry behind it, which knows nothing of tokens.
"""

import base64
import http.client
import http.server
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.e2e.support.registry import Registry

SERVICE = "registry of the test"
IDENTITY = "identity-token-of-the-test"
PASSED = ("Content-Type", "Docker-Content-Digest", "Location", "Docker-Upload-UUID", "Range")


@dataclass(kw_only=True)
class Front:
    """What both servers share, and what a test may turn.

    Attributes:
        backend: The registry behind the front.
        host: The front, as `host:port`.
        realm: The token service's address, as the challenge names it.
        tokens: Scopes by token, as long as they are valid.
        asked: (method, scope) of each question to the token service.
        denied: Words in a scope for which nobody gets a token.
        challenges: 401s of the front.
    """

    backend: Registry
    host: str = ""
    realm: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    denied: frozenset[str] = frozenset()
    challenges: int = 0

    @property
    def basic(self) -> str:
        pair = f"{self.backend.user}:{self.backend.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *args: object) -> None:
        pass


class _Tokens(_Handler):
    def do_GET(self) -> None:
        given = self.headers.get("Authorization") == self.front.basic
        self.give(parse_qs(urlsplit(self.path).query), given=given)

    def do_POST(self) -> None:
        form = parse_qs(self.body().decode())
        given = form.get("grant_type") == ["refresh_token"]
        self.give(form, given=given and form.get("refresh_token") == [IDENTITY])

    def give(self, said: dict[str, list[str]], *, given: bool) -> None:
        scope = said.get("scope", [""])[0]
        self.front.asked.append((self.command, scope))
        actions = set(re.split("[:,]", scope))
        if not given or said.get("service") != [SERVICE] or actions & self.front.denied:
            self.answer(401, b'{"details": "no"}')
            return
        token = secrets.token_urlsafe(16)
        self.front.tokens[token] = scope
        name = "token" if self.command == "GET" else "access_token"
        self.answer(200, json.dumps({name: token, "expires_in": 60}).encode())


class _Registry(_Handler):
    def pass_on(self) -> None:
        body = self.body()
        if not self.is_allowed():
            self.front.challenges += 1
            challenge = f'Bearer realm="{self.front.realm}",service="{SERVICE}"'
            self.answer(401, WWW_Authenticate=challenge)
            return
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"host", "authorization", "connection", "content-length"}
        }
        behind = http.client.HTTPConnection(self.front.backend.host, timeout=10)
        try:
            behind.request(
                self.command,
                self.path,
                body=body or None,
                headers={**headers, "Host": self.front.host, "Authorization": self.front.basic},
            )
            said = behind.getresponse()
            content = said.read()
            told = {name.replace("-", "_"): said.headers[name] for name in PASSED}
            length = said.headers["Content-Length"] if self.command == "HEAD" else len(content)
            told["Content_Length"] = str(length or 0)
            self.answer(said.status, content, **{k: v for k, v in told.items() if v})
        finally:
            behind.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def is_allowed(self) -> bool:
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        scope = self.front.tokens.get(token, "") if kind == "Bearer" else ""
        _, name, actions = scope.split(":") if scope else ("", "", "")
        wanted = "pull" if self.command in {"GET", "HEAD"} else "push"
        return self.path.startswith(f"/v2/{name}/") and wanted in actions.split(",")


@contextmanager
def running(backend: Registry) -> Iterator[Front]:
    """Run both while the `with` block runs."""
    front = Front(backend=backend)
    servers = []
    for kind in (_Tokens, _Registry):
        handler = type(kind.__name__, (kind,), {"front": front})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True  # a connection that is kept open holds nobody up
        servers.append(server)
    front.realm = f"http://127.0.0.1:{servers[0].server_port}/token"
    front.host = f"127.0.0.1:{servers[1].server_port}"
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield front
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
