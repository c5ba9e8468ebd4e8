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
    """

    host: str
    user: str = USER
    password: str = PASSWORD


@contextmanager
def running() -> Iterator[Registry]:
    """Run a registry while the `with` block runs; its content goes with it."""
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        Path(folder).chmod(0o755)
        htpasswd = Path(folder) / "htpasswd"
        htpasswd.write_text(HTPASSWD, encoding="utf-8")
        container = machine.docker(
            *("run", "--detach", "--label", "pipeline.test=registry"),
            *("--publish", "127.0.0.1::5000", "--volume", f"{htpasswd}:/auth/htpasswd:ro"),
            *("--env", "REGISTRY_AUTH=htpasswd", "--env", "REGISTRY_AUTH_HTPASSWD_REALM=test"),
            *("--env", "REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd", IMAGE),
        )
        try:
            host = machine.docker("port", container, "5000").splitlines()[0]
            machine.eventually(
                lambda: _asks_for_a_login(host), within=30, what=f"a registry on {host}"
            )
            yield Registry(host=host)
        finally:
            machine.docker("rm", "--force", "--volumes", container)


def _asks_for_a_login(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 401
    except OSError:
        return False
    finally:
        connection.close()
