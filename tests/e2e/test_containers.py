"""What runs: hardened, bounded, and able to stop and to come back."""

import http.client
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.support import load, machine
from tests.e2e.support.command import Ran
from tests.e2e.support.site import SENTINEL, Site

OCI = "org.opencontainers.image"
SHARED = ("proxy", "db")


def test_compose_reads_its_file_without_our_tools(site: Site):
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=site.invoke.root,
        env=own,
        check=True,
        timeout=30,
    )


@pytest.mark.parametrize("service", [*SHARED, "app"])
def test_containers_are_hardened(a_live: Site, service: str):
    (colour,) = a_live.colours()
    found = a_live.container(colour if service == "app" else service)
    host = found["HostConfig"]
    user, _, group = found["Config"]["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "3"},
    }
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["State"]["Health"]["Status"] in {"healthy", "starting"}
    assert bool(host["PortBindings"]) == (service == "proxy"), "only the proxy is published"
    mounts = {mount["Destination"]: mount["Type"] for mount in found["Mounts"]}
    assert (mounts.get("/var/lib/postgresql/data") == "volume") == (service == "db")


def test_the_image_says_what_it_is_and_holds_nothing_to_build_with(
    site: Site, shipped: dict[str, dict[str, Ran]]
):
    sha = site.commits["a"]
    reference = f"{site.repository}:{sha}"
    config = machine.inspect(reference)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Cmd"][0] == "uvicorn"
    assert not config["Entrypoint"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert f"APP_SHA={sha}" in config["Env"]
    labels = config["Labels"]
    assert labels[f"{OCI}.revision"] == sha
    assert labels[f"{OCI}.title"] == "panager"
    assert {f"{OCI}.{name}" for name in ("created", "version", "source")} <= set(labels)
    assert len(labels["pipeline.migrations"]) == 40
    look = (
        "import importlib.util as u, shutil as s; print([n for n in {} if s.which(n)], {})".format(
            ("gcc", "cc", "make", "poetry"), "[n for n in ('pip', 'setuptools') if u.find_spec(n)]"
        )
    )
    assert (
        machine.docker("run", "--rm", "--network=none", reference, "python", "-c", look) == "[] []"
    )


@pytest.fixture
def alone(site: Site, shipped: dict[str, dict[str, Ran]], run_id: str) -> Iterator[tuple[str, str]]:
    """The image by itself, on its embedded database: container name and address."""
    name, port = f"panager-e2e-{run_id}-alone", machine.free_port()
    machine.docker(
        *("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000"),
        *("--env", "DATABASE_URL=sqlite:////tmp/panager.db"),
        f"{site.repository}:{site.commits['a']}",
    )
    try:
        address = f"127.0.0.1:{port}"
        machine.eventually(lambda: load.served(address), within=20, what="the service")
        yield name, address
    finally:
        machine.docker("rm", "--force", "--volumes", name)


def test_sigterm_finishes_what_is_in_flight(alone: tuple[str, str]):
    name, address = alone
    body = json.dumps({"title": "sent before, acknowledged after"}).encode()
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest("POST", "/api/v1/tasks")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:10])
    machine.docker("kill", "--signal", "TERM", name)
    machine.eventually(lambda: not load.served(address), within=5, what="no new requests")
    connection.send(body[10:])
    assert connection.getresponse().status == 201
    connection.close()
    machine.eventually(
        lambda: machine.inspect(name)["State"]["Status"] == "exited", within=10, what="its end"
    )
    assert machine.inspect(name)["State"]["ExitCode"] == 0


def test_a_restarted_database_is_survived(a_live: Site):
    with load.Load(a_live.address, rate=30) as before:
        machine.eventually(lambda: len(before.acknowledged) > 3, within=10, what="some tasks")
    assert before.lost == []
    (colour,) = a_live.colours()
    container = a_live.container(colour)["Id"]
    machine.docker("restart", a_live.container("db")["Id"])
    machine.eventually(
        lambda: load.get(a_live.address, "/")[0] == 200, within=20, what="the service"
    )
    assert before.missing() == {}
    with a_live.under_load():
        pass
    assert a_live.container(colour)["Id"] == container
    assert a_live.container(colour)["RestartCount"] == 0


def test_a_restarted_proxy_sends_people_to_the_same_release(a_live: Site):
    machine.docker("restart", a_live.container("proxy")["Id"])
    machine.eventually(lambda: a_live.served() == "a", within=20, what="the release")
    with a_live.under_load():
        a_live.deploy("b").ok()
    assert a_live.served() == "b"


def test_the_logs_hold_no_secrets(a_live: Site):
    for container in machine.containers(a_live.app):
        ran = subprocess.run(
            ["docker", "logs", container], capture_output=True, timeout=30, check=True
        )
        assert SENTINEL.encode() not in ran.stdout + ran.stderr
