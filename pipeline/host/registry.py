"""A registry on this machine's loopback, for `up`: no login, reachable from here only."""

import contextlib
import time
from typing import TYPE_CHECKING

from pipeline.errors import EngineError, UnavailableError
from pipeline.host.client import connect
from pipeline.host.consent import Report
from pipeline.host.probes import http_status, port_trouble

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["ensure_local_registry", "remove_local_registry"]

IMAGE = "registry:2"
HOST = "127.0.0.1"
LABEL = "pipeline.registry"
START_SECONDS = 20.0
POLL_SECONDS = 0.05


def ensure_local_registry(*, app: str, port: int, report: Report) -> str:
    """Make sure that the registry of `app` answers on 127.0.0.1:`port`; return that address.

    Raises:
        UnavailableError: Somebody else has the port.
        EngineError: It does not start.
    """
    address = f"{HOST}:{port}"
    with connect() as client:
        container = _ours(client, app)
        if container is not None and not _publishes(container, port):
            container.remove(force=True)  # the images stay, in the volume
            container = None
        if container is None or container.status != "running":
            _refuse_taken(port, app)
            container = container or _create(client, app, port)
            container.start()
            report(f"Local registry started on {address}")
        began = time.monotonic()
        while http_status(HOST, port, "/v2/") != 200:  # noqa: PLR2004 - HTTP
            if time.monotonic() - began > START_SECONDS:
                raise EngineError(
                    f"The local registry does not answer on {address}.",
                    hint=f"`docker logs {_name(app)}` shows why.",
                    details=container.logs(tail=20).decode(errors="replace"),
                )
            time.sleep(POLL_SECONDS)
    return address


def remove_local_registry(app: str, *, volumes: bool) -> None:
    """Remove the registry of `app`, its images only with `volumes`; there may be none.

    Raises:
        EngineError: The engine refused.
    """
    import docker.errors

    with connect() as client:
        container = _ours(client, app)
        if container is not None:
            container.remove(force=True)
        if volumes:
            with contextlib.suppress(docker.errors.NotFound):
                client.volumes.get(_name(app)).remove()


def _name(app: str) -> str:
    return f"{app}-registry"


def _ours(client: "DockerClient", app: str) -> "Container | None":
    import docker.errors

    try:
        container = client.containers.get(_name(app))
    except docker.errors.NotFound:
        return None
    if container.labels.get(LABEL) != app:
        raise UnavailableError(
            f"A container named {_name(app)} exists, and it is not this pipeline's.",
            hint=f"Rename or remove it: `docker rename {_name(app)} <other>`.",
        )
    return container


def _publishes(container: "Container", port: int) -> bool:
    bindings = container.attrs["HostConfig"].get("PortBindings") or {}
    return any(binding.get("HostPort") == str(port) for binding in bindings.get("5000/tcp") or [])


def _refuse_taken(port: int, app: str) -> None:
    trouble = port_trouble(HOST, port)
    if trouble:
        raise UnavailableError(
            f"Port {port}, which {_name(app)} needs, cannot be had: {trouble}.",
            hint=f"`ss -ltnp sport = :{port}` names who has it; end that or choose another port.",
        )


def _create(client: "DockerClient", app: str, port: int) -> "Container":
    from docker.types import LogConfig

    return client.containers.create(
        IMAGE,
        name=_name(app),
        labels={LABEL: app},
        environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
        ports={"5000/tcp": (HOST, port)},
        volumes={_name(app): {"bind": "/var/lib/registry", "mode": "rw"}},
        restart_policy={"Name": "unless-stopped"},  # type: ignore[arg-type] # not in its stubs
        log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
    )
