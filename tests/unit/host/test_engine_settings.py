"""live-restore and the containerd image store: when they are turned on, and when only looked at."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon, daemon_json, docker
from pipeline.host import machine as looks
from pipeline.host.docker import Configure, Start, needed
from pipeline.host.machine import Machine
from tests.unit.host.conftest import engine_pings, ensure, info

OURS = {
    "engine": "26.1.5",
    "managed": True,
    "restartable": True,
    "image_store": True,
    "daemon": True,
    "client": True,
    "compose": (2, 26),
    "buildx": True,
    "distro": apt.Distro(id="debian", codename="bookworm"),
}
READY = "Docker Engine 26.1.5 answers, with Compose 2.26 and buildx"
SURVIVE = "containers survive its restart (live-restore)"
STORE = "images are in containerd's store"
LIVE = Configure(settings=("live-restore",), then="reload")
BOTH = Configure(settings=("live-restore", "containerd-snapshotter"), then="restart")
# It waits for the signal: a handler does not run while Python is about to read, and then reads.
DOCKERD = """
import pathlib, signal, sys, threading
hangups = {signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, hangups)
def reload():
    while signal.sigwait(hangups):
        pathlib.Path(sys.argv[1]).touch()
threading.Thread(target=reload, daemon=True).start()
print(flush=True)
input()
"""


def without(*names, **values):
    return Machine(**{name: OURS[name] for name in OURS if name not in names} | values)


@pytest.fixture
def file(machine):
    """Return dockerd's settings file, which is not there."""
    return daemon_json.SETTINGS


@pytest.fixture
def running(clients, file):
    """Run this machine's engine, without live-restore until it is told to read its file."""
    program, reloaded = clients.path / "dockerd", clients.path / "reloaded"
    program.symlink_to(sys.executable)  # the kernel names a process after its file
    clients.reloaded, clients.state = reloaded, "inactive"

    def say(argv):
        on = reloaded.exists() and json.loads(file.read_text())["live-restore"]
        return info(live_restore=on, swarm=clients.state)

    clients.commands.plan("docker info", say)
    with subprocess.Popen(
        [program, "-I", "-S", "-c", DOCKERD, reloaded],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()  # it has its name, and waits
        daemon.PID_FILE.write_text(str(process.pid))
        yield clients
        process.communicate(b"\n")


def test_an_engine_that_is_ours_gets_it():
    assert needed(Machine(**OURS)) == (LIVE,)
    assert needed(Machine(**OURS, live_restore=True)) == ()


def test_it_is_set_before_the_engine_starts():
    settings = Configure(settings=("live-restore",), then="")
    assert needed(without("engine", "managed")) == (settings, Start(systemd=False))
    assert needed(without("engine", "managed", live_restore=True)) == (Start(systemd=False),)


def test_the_client_that_asks_for_it_is_installed_first():
    actions = needed(without("client", "compose"))
    assert [type(action).__name__ for action in actions] == ["Install", "Configure"]


def test_a_swarm_node_is_left_without():
    assert needed(Machine(**OURS, swarm=True)) == ()
    assert needed(without("engine", "managed", swarm=True)) == (Start(systemd=False),)


def test_an_engine_that_is_not_ours_is_only_looked_at():
    assert needed(without("managed")) == ()
    assert needed(without("managed", elsewhere="DOCKER_HOST=tcp://10.0.0.1:2376")) == ()
    assert needed(without("managed", unusable=UsageError("broken"))) == ()


def test_what_would_be_done_is_a_sentence(file):
    assert str(Configure(settings=("live-restore",), then="")) == (
        f"live-restore, with which containers survive a restart of the engine: set it in {file}"
    )
    assert str(LIVE).endswith(", reload dockerd (nothing is stopped)")
    assert str(BOTH).endswith(
        f"set them in {file}, restart dockerd (it has no containers; images in its store of now "
        "are not seen afterwards)"
    )


def test_a_running_engine_reads_its_file_again_and_is_then_only_looked_at(running, file, said):
    ensure(said)
    assert said == [
        str(LIVE),
        f"live-restore is on in {file}",
        f"{READY}; {SURVIVE}; {STORE}",
    ]
    assert running.reloaded.exists()
    before = file.stat().st_mtime_ns
    ensure(said)
    assert len(said) == 4
    assert file.stat().st_mtime_ns == before


def test_a_file_that_was_changed_and_never_read_is_read(running, file, said):
    file.parent.mkdir()
    file.write_text('{"live-restore":true}')
    ensure(said)
    assert running.reloaded.exists()
    assert file.read_text() == '{"live-restore":true}'


def test_without_agreement_the_engine_is_used_as_it_is(running, file, said):
    ensure(said, yes=False)
    assert said == [
        f"{READY}; without live-restore; {STORE} (`./bin/invoke host --yes` turns live-restore on)",
    ]
    assert not file.exists()
    assert not running.reloaded.exists()


def test_whoever_says_no_goes_on_without(running, file, said):
    docker.ensure_engine(yes=False, interactive=True, confirm=lambda _: False, report=said.append)
    assert said[0] == str(LIVE)
    assert not file.exists()


@pytest.mark.parametrize("state", ["active", "locked", "pending", "error"])
def test_a_node_of_a_swarm_is_said_to_be_one(running, file, said, state):
    running.state = state
    ensure(said)
    (line,) = said
    assert "; without live-restore, which a swarm node cannot have; " in line
    assert not file.exists()


def test_a_stopped_node_of_a_swarm_would_not_start_with_it(stopped, file, said):
    file.parent.mkdir()
    file.write_text(json.dumps({"data-root": str(stopped.path / "elsewhere")}))
    state = stopped.path / "elsewhere/swarm/docker-state.json"
    state.parent.mkdir(parents=True)
    state.touch()
    stopped.commands.plan("docker info", info(live_restore=False, swarm="active"))
    ensure(said)
    assert "live-restore" not in file.read_text()
    assert "which a swarm node cannot have" in said[-1]


def test_a_stopped_engine_finds_it_in_its_file(stopped, file, said, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipeline.shell.spawn",
        lambda argv, log, inherit: seen.append(json.loads(file.read_text())) or stopped.start(),
    )
    ensure(said)
    assert seen == [{"live-restore": True, "features": {"containerd-snapshotter": True}}]


@pytest.mark.parametrize(
    "flag", ["--config-file=/srv/own.json", "--feature=x", "--live-restore=false"]
)
def test_flags_of_its_own_go_before_the_file(running, file, said, monkeypatch, *, flag):
    cmdline = running.path / "cmdline"
    cmdline.write_text(f"dockerd\0{flag}\0")
    real = daemon.Path

    def path(name):
        return cmdline if str(name).endswith("/cmdline") else real(name)

    monkeypatch.setattr(daemon, "Path", path)
    ensure(said)
    assert said == [f"{READY}; without live-restore; {STORE}"]
    assert not file.exists()


def test_docker_host_names_an_engine_that_is_only_looked_at(running, file, said, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    ensure(said)
    assert said == [f"{READY}; without live-restore; {STORE}"]
    assert not file.exists()


def test_a_user_who_is_not_root_only_looks(running, file, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ensure(said)
    assert said[0].endswith("(`sudo ./bin/invoke host --yes` turns live-restore on)")
    assert not file.exists()


@pytest.mark.parametrize("content", [b"{broken", b"[]", b'"text"', b"\xff"])
@pytest.mark.parametrize("engine", ["running", "stopped"])
def test_a_file_that_is_no_object_is_refused_unchanged(request, file, said, *, engine, content):
    machine = request.getfixturevalue(engine)
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(UsageError, match=f"{file} is no JSON object") as caught:
        ensure(said)
    assert caught.value.exit_code == 2
    assert file.read_bytes() == content
    assert said == []
    assert not getattr(machine, "spawned", [])


def test_an_engine_that_does_not_take_it_is_an_error(running, file, said, monkeypatch):
    running.commands.plan("docker info", info(live_restore=False))
    monkeypatch.setattr(daemon, "RELOAD_SECONDS", 0.01)
    daemon.LOG.write_text("unable to configure the Docker daemon with file\n")
    with pytest.raises(EngineError, match="did not take live-restore") as caught:
        ensure(said)
    assert "dockerd.log" in caught.value.hint


# The image store.


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
    monkeypatch.setattr("os.kill", lambda pid, number: None)
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.01)
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
