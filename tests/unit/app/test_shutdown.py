import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).resolve().parent.parent
BODY = b'{"title": "still in flight"}'


@pytest.fixture
def server(tmp_path):
    """The real server on a Unix socket (no network), up to where it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--uds", "socket", "--app-dir", ROOT],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "sqlite:///tasks.db"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        until(process, "Uvicorn running on")
        yield process
        process.kill()


def until(process, message):
    """Read the server's lines up to the one that says `message`; each must be JSON."""
    for line in process.stdout:
        if message in json.loads(line)["message"]:
            return
    pytest.fail(f"The server ended and never said {message!r}.")


@contextmanager
def connect():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect("socket")
        yield client


def test_sigterm_finishes_what_is_in_flight_and_takes_nothing_new(server, tmp_path):
    with connect() as client, client.makefile("rb") as answer:
        client.sendall(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: panager\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        )
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"  # it is in flight now
        assert answer.readline() == b"\r\n"

        server.send_signal(signal.SIGTERM)
        until(server, "Waiting for connections to close")
        with pytest.raises(ConnectionRefusedError), connect():
            pass

        client.sendall(BODY)
        assert answer.readline() == b"HTTP/1.1 201 Created\r\n"
        rest = answer.read()  # to the end: the server closes
        assert b"connection: close" in rest.lower()
        assert b"still in flight" in rest

    until(server, "Finished server process")
    assert server.wait(30) == -signal.SIGTERM
    with closing(sqlite3.connect(tmp_path / "tasks.db")) as database:
        assert database.execute("SELECT title FROM tasks").fetchall() == [("still in flight",)]
