"""Unit tests reach no network, no Docker Engine and no package manager; trying to is a failure."""

import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

MACHINE = {"apt-get", "curl", "docker", "dockerd", "dpkg", "mmdebstrap", "ssh", "systemctl"}
MACHINE |= {"useradd", "usermod", "gpasswd", "setpriv", "runuser"}
SOCKET = socket.socket  # pytest-socket puts a subclass of it in its place
OWN = ("/usr/", "/bin/", "/sbin/", "/opt/")  # a test's fake stands elsewhere


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown(item):
    enable_socket()


# No audit hook, although nothing could get past one: one that is written in Python lets other
# threads run while coverage starts to trace a thread, which CPython 3.11 does not survive.
@pytest.fixture(autouse=True)
def _guard(monkeypatch):
    """Fail the test that is about to touch the machine."""
    start, connect = subprocess.Popen.__init__, SOCKET.connect

    def guarded_start(self, args, *more, **options):
        program = str(options.get("executable") or (args if isinstance(args, str) else args[0]))
        path = (options.get("env") or os.environ).get("PATH")
        found = shutil.which(program, path=path) or ""
        if Path(program).name in MACHINE and found.startswith(OWN):
            pytest.fail(f"A unit test started {found}.")
        start(self, args, *more, **options)

    def guarded_connect(self, address):
        if str(address).startswith(("/run/", "/var/run/")):
            pytest.fail(f"A unit test connected to {address}.")
        connect(self, address)

    monkeypatch.setattr(subprocess.Popen, "__init__", guarded_start)
    monkeypatch.setattr(SOCKET, "connect", guarded_connect)


@pytest.fixture
def no_power_cuts(monkeypatch):
    """Spare the disk, for tests that nothing tells what a power cut would have left."""

    class Unsynced(sqlite3.Connection):
        def __init__(self, *where, **how):
            super().__init__(*where, **how)
            self.execute("PRAGMA synchronous = OFF")
            self.execute("PRAGMA journal_mode = MEMORY")

    def connect(*where, **how):
        return open_database(*where, factory=Unsynced, **how)

    open_database = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect)  # which is what SQLAlchemy calls
    monkeypatch.setattr(os, "fsync", os.fstat)  # which also takes nothing but open files


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """Take away what the caller's shell says about the pipeline."""
    for name in list(os.environ):
        if name.startswith(("PIPELINE_", "DOCKER_", "GITHUB_")) or name in {
            "ENV_FILE",
            "CODECOV_TOKEN",
        }:
            monkeypatch.delenv(name)
    # Repositories of tests need no sample hooks, and no disk to be waited for.
    monkeypatch.setenv("GIT_TEMPLATE_DIR", "")
    monkeypatch.setenv("GIT_TEST_FSYNC", "0")
