"""Unit tests reach no network, no Docker Engine and no package manager; trying to is a failure."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

MACHINE = {"apt-get", "curl", "docker", "dockerd", "dpkg", "mmdebstrap", "ssh", "systemctl"}
OWN = ("/usr/", "/bin/", "/sbin/", "/opt/")  # a test's fake stands elsewhere
armed = False


def _refuse(event: str, args: tuple[object, ...]) -> None:
    """Fail the test that is about to touch the machine (an audit hook: nothing gets past it)."""
    if not armed:
        return
    if event == "subprocess.Popen":
        executable, _argv, _cwd, env = args
        path = (env or os.environ).get("PATH")
        found = shutil.which(str(executable), path=path) or ""
        if Path(str(executable)).name in MACHINE and found.startswith(OWN):
            pytest.fail(f"A unit test started {found}.")
    elif event == "socket.connect" and str(args[1]).startswith(("/run/", "/var/run/")):
        pytest.fail(f"A unit test connected to {args[1]}.")


sys.addaudithook(_refuse)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    global armed  # noqa: PLW0603 - an audit hook cannot be taken away, only told to look away
    armed = True
    disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown(item):
    global armed  # noqa: PLW0603
    armed = False
    enable_socket()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """Take away what the caller's shell says about the pipeline."""
    for name in list(os.environ):
        if name.startswith(("PIPELINE_", "DOCKER_", "GITHUB_")) or name in {
            "ENV_FILE",
            "CODECOV_TOKEN",
        }:
            monkeypatch.delenv(name)
