"""A registry of the tests' own, which wants a login."""

import http.client
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support import machine

IMAGE = "registry:2"
USER, PASSWORD = "ci", "s3cret-of-the-test"
# bcrypt of PASSWORD; made once, because nothing in the lock can make one
HTPASSWD = f"{USER}:$2b$05$panagerpanagerpanager.4bvvG3o3ppdmb1L4Y7tpct2zp5vzmJ2\n"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A running registry.

    Attributes:
        host: `127.0.0.1:<port>`.
        container: Its id.
    """

    host: str
    container: str
    user: str = USER
    password: str = PASSWORD

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have nobody answer there while the `with` block runs."""
        machine.docker("stop", "--time", "1", self.container)
        try:
            yield
        finally:
            machine.docker("start", self.container)
            _wait(self.host)


@contextmanager
def running() -> Iterator[Registry]:
    """Run a registry while the `with` block runs; its content goes with it."""
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        Path(folder).chmod(0o755)
        htpasswd = Path(folder) / "htpasswd"
        htpasswd.write_text(HTPASSWD, encoding="utf-8")
        host = f"127.0.0.1:{machine.free_port()}"  # the same one after a restart
        container = machine.docker(
            *("run", "--detach", "--label", "pipeline.test=registry"),
            *("--publish", f"{host}:5000", "--volume", f"{htpasswd}:/auth/htpasswd:ro"),
            *("--env", "REGISTRY_AUTH=htpasswd", "--env", "REGISTRY_AUTH_HTPASSWD_REALM=test"),
            *("--env", "REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd", IMAGE),
        )
        try:
            _wait(host)
            yield Registry(host=host, container=container)
        finally:
            machine.docker("rm", "--force", "--volumes", container)


def _wait(host: str) -> None:
    machine.eventually(lambda: _asks_for_a_login(host), within=30, what=f"a registry on {host}")


def _asks_for_a_login(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 401
    except (OSError, http.client.HTTPException):
        return False  # the engine listens before the registry does
    finally:
        connection.close()
