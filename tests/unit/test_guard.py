"""The guard of tests/unit/conftest.py guards."""

import socket
import subprocess

import pytest


def test_the_network_is_out_of_reach():
    with pytest.raises(UserWarning, match="tried to use socket"):  # warnings are errors
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_the_docker_engine_is_out_of_reach():
    with (
        socket.socket(socket.AF_UNIX) as engine,
        pytest.raises(pytest.fail.Exception, match=r"docker\.sock"),
    ):
        engine.connect("/var/run/docker.sock")


def test_a_package_manager_is_out_of_reach(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")
    with pytest.raises(pytest.fail.Exception, match="/usr/bin/apt-get"):
        subprocess.run(["apt-get", "--version"], check=False)


def test_a_fake_of_it_may_run(tmp_path, monkeypatch):
    fake = tmp_path / "docker"
    fake.write_text("#!/bin/sh\necho fake\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert subprocess.run(["docker"], capture_output=True, check=True).stdout == b"fake\n"
