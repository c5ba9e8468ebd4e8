"""What is seen of a machine: engine, client, plugins, settings."""

import pytest

from pipeline.errors import CommandError, EngineError
from pipeline.host.machine import observe
from tests.unit.host.conftest import engine_pings


def test_the_context_and_docker_host_are_seen(clients, monkeypatch):
    clients.commands.plan("docker version", "cannot connect", code=1)
    clients.commands.plan("docker context show", "far\n")
    assert observe().elsewhere == "docker context far"
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    assert observe().elsewhere == "DOCKER_HOST=tcp://10.0.0.1:2376"


def test_wrong_certificates_for_docker_host_are_named(clients, monkeypatch, tmp_path):
    clients.commands.plan("docker version", "cannot connect", code=1)
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nothing"))
    with pytest.raises(EngineError, match="DOCKER_HOST") as caught:
        observe()
    assert "DOCKER_CERT_PATH" in caught.value.hint


def test_an_engine_without_a_client_is_seen_on_its_socket(machine, monkeypatch):
    engine_pings(monkeypatch, lambda: True)
    machine.commands.plan("docker info", CommandError("`docker` is not installed"))
    assert observe().lacks == ("client", "compose", "buildx")


def test_a_client_that_hangs_or_lacks_its_plugins_is_no_answer(clients):
    clients.commands.plan("docker version", CommandError("did not finish"))
    clients.commands.plan("docker compose version", "unknown command", code=1)
    seen = observe()
    assert (seen.engine, seen.compose, seen.client) == ("", (), True)


def test_a_socket_that_this_user_may_not_write_is_seen(machine, monkeypatch):
    (machine.path / "docker.sock").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert observe().refused


def test_apparmor_without_its_tools_is_seen(machine):
    (machine.path / "apparmor").write_text("Y\n")
    assert observe().apparmor
    machine.programs["apparmor_parser"] = "/usr/sbin/apparmor_parser"
    assert not observe().apparmor
