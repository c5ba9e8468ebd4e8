"""The containerd image store: when it is turned on, by a restart, and when only looked at."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.errors import EngineError
from pipeline.host import daemon, daemon_json, docker
from pipeline.host import machine as looks
from pipeline.host.needs import Configure, Start, needed
from tests.unit.host.conftest import (
    BOTH,
    LIVE,
    READY,
    STORE,
    SURVIVE,
    engine_pings,
    ensure,
    info,
    without,
)


def test_an_engine_without_containers_gets_the_store_in_one_restart():
    assert needed(without("image_store")) == (BOTH,)
    only = Configure(settings=("containerd-snapshotter",), then="restart")
    assert needed(without("image_store", live_restore=True)) == (only,)


def test_it_is_set_before_an_engine_is_installed_or_started():
    settings, _ = needed(without("engine", "managed", "image_store", "restartable"))
    assert settings == Configure(settings=("live-restore", "containerd-snapshotter"), then="")


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"containers": 3}, "its 3 containers would not be seen with it. Remove them"),
        ({"containers": None}, "its containers would not be seen with it. Remove them"),
        ({"store_refused": True}, "turns it off"),
        ({"engine": "20.10.24+dfsg1"}, "it takes Docker Engine 24 or later"),
        ({"engine": "(version unknown)"}, "it takes Docker Engine 24 or later"),
        ({"restartable": False}, "restart it as it was started"),
        ({"swarm": True}, "a node of a swarm is left as it is"),
    ],
)
def test_where_it_cannot_be_turned_on_safely_it_is_said_why(monkeypatch, said, *, about, why):
    left = without("image_store", *about, live_restore=True, **about)
    assert needed(left) == ()
    monkeypatch.setattr(docker, "observe", lambda: left)
    ensure(said)
    (line,) = said
    assert "; without the containerd image store: " in line
    assert why in line


def test_live_restore_does_not_wait_for_it():
    assert needed(without("image_store", containers=3)) == (LIVE,)


def test_a_stopped_engine_with_containers_keeps_its_store():
    left = without("engine", "managed", "image_store", live_restore=True, containers=None)
    assert needed(left) == (Start(systemd=False),)


def test_an_engine_of_somebody_else_is_given_no_advice(monkeypatch, said):
    left = without("managed", "image_store", live_restore=True, containers=3)
    monkeypatch.setattr(docker, "observe", lambda: left)
    ensure(said)
    assert said == [f"{READY}; {SURVIVE}; without the containerd image store"]


def test_a_store_that_is_there_without_a_key_is_left_alone(clients, file, said):
    clients.commands.plan("docker info", info(containers=3))
    ensure(said)
    assert said == [f"{READY}; {SURVIVE}; {STORE}"]
    assert not file.exists()


def test_containers_of_a_stopped_engine_are_looked_for(stopped, file, said):
    (daemon_json.DATA_ROOT / "containers/0f5c").mkdir(parents=True)
    ensure(said)
    assert json.loads(file.read_text()) == {"live-restore": True}


# dockerd, as far as its restart goes: it ends at SIGTERM, and takes its pid file along.
DOCKERD_OF_ONE_WORD = """
import pathlib, signal
ends = {signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
print(flush=True)
signal.sigwait(ends)
pathlib.Path(PID_FILE).unlink()
"""


@pytest.fixture
def old_store(clients, file, monkeypatch):
    """Run this machine's engine with the store of old, until it is started again."""
    program = clients.path / "dockerd"
    program.symlink_to(sys.executable)
    clients.containers, clients.takes, clients.spawned = 0, True, []

    def say(_):
        new = bool(clients.spawned) and clients.takes
        return info(live_restore=new, image_store=new, containers=clients.containers)

    def spawn(argv, *, log, inherit):
        assert daemon.running() is None
        clients.spawned.append((argv, json.loads(file.read_text())))
        return os.getpid()

    clients.commands.plan("docker info", say)
    monkeypatch.setattr("pipeline.shell.spawn", spawn)
    engine_pings(monkeypatch, lambda: bool(clients.spawned))
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(
            DOCKERD_OF_ONE_WORD.replace("PID_FILE", repr(str(daemon.PID_FILE))).encode()
        )
        process.stdin.close()
        process.stdout.readline()
        daemon.PID_FILE.write_text(str(process.pid))
        clients.process = process
        yield clients
        process.kill()


def test_the_engine_is_restarted_once_for_both(old_store, file, said):
    ensure(said)
    wanted = {"live-restore": True, "features": {"containerd-snapshotter": True}}
    assert old_store.spawned == [(["dockerd"], wanted)]
    assert old_store.process.wait(10) == 0
    assert said[0] == str(BOTH)
    assert said[1].startswith("Docker Engine restarted in ")
    assert said[2] == f"live-restore and containerd-snapshotter are on in {file}"
    assert said[3] == f"{READY}; {SURVIVE}; {STORE}"


def test_without_agreement_nothing_is_restarted(old_store, file, said):
    ensure(said, yes=False)
    (line,) = said
    assert line.endswith("host --yes` turns live-restore and containerd-snapshotter on)")
    assert not file.exists()
    assert old_store.process.poll() is None


def test_a_container_that_came_meanwhile_is_not_lost(old_store, file, said, monkeypatch):
    seen = looks.observe()
    monkeypatch.setattr(docker, "observe", lambda: seen)
    old_store.containers = 1
    with pytest.raises(EngineError, match="has got containers meanwhile"):
        ensure(said)
    assert not file.exists()
    assert old_store.process.poll() is None


def test_an_engine_that_does_not_take_the_store_gets_its_settings_back(
    old_store, file, said, monkeypatch
):
    file.parent.mkdir()
    file.write_text('{"debug": true}')
    old_store.takes = False
    monkeypatch.setattr(daemon, "RELOAD_SECONDS", 0.01)
    with pytest.raises(EngineError, match="did not take live-restore and containerd-snapshotter"):
        ensure(said)
    assert json.loads(file.read_text()) == {"debug": True}
    assert [settings for _, settings in old_store.spawned][-1] == {"debug": True}
    assert said[-1].endswith("says what it said before, and dockerd runs with it")


def test_a_dockerd_that_does_not_end_is_an_error(old_store, file, said, monkeypatch):
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.01)
    with monkeypatch.context() as deaf:
        deaf.setattr("os.kill", lambda pid, number: None)
        with pytest.raises(EngineError, match=r"did not end within 0\.01 s"):
            ensure(said)
    assert json.loads(file.read_text()) == {}
    assert old_store.spawned == []


def test_systemd_restarts_what_is_its_own(old_store, file, said):
    (old_store.path / "systemd").mkdir()
    old_store.commands.plan("systemctl show", str(old_store.process.pid))
    old_store.commands.plan("systemctl restart docker", lambda _: old_store.spawned.append(None))
    ensure(said)
    assert "systemctl restart docker" in old_store.commands.ran
    assert old_store.process.poll() is None, "it is systemd's to end"
    assert said[-1] == f"{READY}; {SURVIVE}; {STORE}"


@pytest.mark.parametrize(("main_pid", "systemd"), [("0", True), ("", True), ("", False)])
def test_what_we_could_not_start_again_as_it_is_is_not_stopped(
    old_store, monkeypatch, *, main_pid, systemd
):
    old_store.commands.plan("systemctl show", main_pid)
    pid = old_store.process.pid
    assert daemon.can_restart(pid, systemd=False)
    monkeypatch.setattr(daemon, "_argv", lambda _: [b"dockerd", b"--debug"])
    assert not daemon.can_restart(pid, systemd=systemd)


def test_a_daemon_that_ended_has_no_flags_and_no_future(machine):
    gone = 2**22 + 1  # past the highest process id
    assert not daemon.has_own_flags(gone)
    assert not daemon.can_restart(gone, systemd=False)


@pytest.mark.parametrize("status", ["", "null", "{broken", "[]"])
def test_an_engine_that_says_nothing_of_its_store_has_not_this_one(clients, status):
    clients.commands.plan("docker info", f"true active 2 {status}")
    seen = daemon.about()
    assert seen == daemon.About(live_restore=True, swarm=True, containers=2)
    clients.commands.plan("docker info", "cannot connect", code=1)
    assert daemon.about() == daemon.About()


def test_a_daemon_that_ended_before_it_read_its_file_is_an_error(clients, file, said):
    clients.commands.plan("docker info", "cannot connect", code=1)
    with pytest.raises(EngineError, match="did not take live-restore"):
        daemon.turn_on(["live-restore"], then="reload", systemd=False, report=said.append)
    assert json.loads(file.read_text()) == {"live-restore": True}
