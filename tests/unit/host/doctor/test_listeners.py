"""Who listens, by tables as the kernel writes them."""

import os
import socket

import pytest

from pipeline.host.doctor import listeners
from pipeline.host.doctor.listeners import Listener, listener

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  inode\n"
ROW = "   0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100\n"
LISTENS, TALKS = "0A", "01"
PORT = ":1F40"  # 8000
MINE = "0100007F"
MAPPED = "0000000000000000FFFF00000100007F"
ALL_6 = "0" * 32


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A /proc with one process, 7, that has socket 42."""
    monkeypatch.setattr(listeners, "PROC", tmp_path)
    for folder in ("net", "7/fd", "8", "sys"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "7/comm").write_text("nginx\n")
    (tmp_path / "7/cgroup").write_text("0::/system.slice/nginx.service\n")
    (tmp_path / "7/fd/0").symlink_to("/dev/null")
    (tmp_path / "7/fd/3").symlink_to("socket:[42]")

    def write(*rows, table="tcp"):
        lines = [ROW.format(f"{address}{PORT}", state, inode) for address, state, inode in rows]
        (tmp_path / "net" / table).write_text(HEAD + "".join(lines))
        return tmp_path

    return write


def test_a_process_and_its_service_are_named(proc):
    proc((MINE, LISTENS, 42))
    assert listener("127.0.0.1", 8000) == Listener(pid=7, program="nginx", unit="nginx.service")


@pytest.mark.parametrize(
    ("bound", "address", "taken"),
    [
        (MINE, "127.0.0.1", True),
        ("00000000", "127.0.0.1", True),
        ("0200007F", "127.0.0.1", False),
        ("0200007F", "0.0.0.0", True),
        (MAPPED, "127.0.0.1", True),
        (ALL_6, "127.0.0.1", True),
        ("00000000000000000000000001000000", "127.0.0.1", False),
    ],
)
def test_whose_address_is_in_the_way(proc, bound, address, taken):
    proc((bound, LISTENS, 42), table="tcp6" if len(bound) > 8 else "tcp")
    assert (listener(address, 8000) is not None) == taken


def test_who_only_talks_is_in_nobodys_way(proc):
    proc((MINE, TALKS, 42))
    assert listener("127.0.0.1", 8000) is None
    assert listener("127.0.0.1", 8001) is None


def test_somebody_whom_this_user_may_not_see(proc):
    proc((MINE, LISTENS, 43))
    assert listener("127.0.0.1", 8000) == Listener()


@pytest.mark.parametrize("line", ["0::/", "0::/user.slice/user-0.slice/session-1.scope"])
def test_a_process_of_no_service(proc, line):
    (proc((MINE, LISTENS, 42)) / "7/cgroup").write_text(line)
    assert listener("127.0.0.1", 8000).unit == ""


def test_the_real_tables(socket_enabled):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        found = listener("127.0.0.1", ours.getsockname()[1])
    assert found.pid == os.getpid()
    assert found.program
