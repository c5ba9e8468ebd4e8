"""The docker SDK at this wing's edge: imported when used, its errors made ours."""

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

__all__ = ["connect", "engine_host"]


@contextmanager
def connect(*, seconds: float = 10.0) -> "Iterator[DockerClient]":
    """Give a client of the engine for the length of a `with` block.

    Args:
        seconds: Deadline of each call.

    Raises:
        EngineError: The engine does not answer, or refused something in the block.
    """
    import docker
    import docker.errors
    import requests.exceptions

    failures = (docker.errors.DockerException, requests.exceptions.RequestException)
    try:
        client = docker.from_env(timeout=math.ceil(seconds))
    except failures as exc:
        raise EngineError(
            "No Docker Engine answers.",
            hint="`./bin/invoke host --yes` makes sure of one.",
            details=str(exc),
        ) from exc
    try:
        yield client
    except failures as exc:
        raise EngineError(f"The Docker Engine refused: {exc}") from exc
    finally:
        client.close()


def engine_host() -> str:
    """Return what DOCKER_HOST says; "" where it says nothing.

    Raises:
        EngineError: The variables for its certificates are wrong.
    """
    import docker.errors
    from docker.utils import kwargs_from_env

    try:
        return str(kwargs_from_env().get("base_url") or "")
    except docker.errors.DockerException as exc:
        raise EngineError(
            f"The Docker Engine that DOCKER_HOST names cannot be asked: {exc}",
            hint="Correct DOCKER_CERT_PATH and DOCKER_TLS_VERIFY, or unset all DOCKER_ variables.",
        ) from exc
