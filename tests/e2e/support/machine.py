"""The machine under test: the docker command, free ports, bounded waiting."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
POLL = 0.02  # seconds


def docker(
    *argv: str, timeout: float = 60, check: bool = True, env: Mapping[str, str] | None = None
) -> str:
    """Return what `docker ...` wrote to standard output."""
    ran = subprocess.run(
        ["docker", *argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
    )
    if check and ran.returncode:
        raise AssertionError(f"docker {' '.join(argv)}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def inspect(name: str) -> dict[str, Any]:
    """Return what the engine knows of one container or image."""
    (found,) = json.loads(docker("inspect", name))
    return dict(found)


def containers(project: str, service: str = "") -> list[str]:
    """Return the ids of a Compose project's containers, running or not."""
    labels = [f"label={PROJECT}={project}"]
    labels += [f"label={SERVICE}={service}"] if service else []
    filters = [word for label in labels for word in ("--filter", label)]
    return docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], *, within: float, what: str) -> T:
    """Return the first true answer of `look`; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        time.sleep(POLL)
    return found


def remove_project(project: str) -> None:
    """Remove everything that Compose made for one project, data included."""
    label = ("--filter", f"label={PROJECT}={project}")
    _remove(("rm", "--force", "--volumes"), docker("ps", "--all", "--quiet", *label).split())
    _remove(("network", "rm"), docker("network", "ls", "--quiet", *label).split())
    _remove(("volume", "rm"), docker("volume", "ls", "--quiet", *label).split())


def remove_images(repository: str) -> None:
    """Remove a repository's names, and so its images where nobody else has a name for them."""
    columns = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    names = docker("images", "--digests", "--format", columns, repository).split()
    _remove(("rmi",), sorted({name for name in names if "<none>" not in name}))


def _remove(command: tuple[str, ...], names: Iterable[str]) -> None:
    if names := list(names):
        docker(*command, *names, check=False)
