"""live-restore: when it is turned on, and when only looked at; what goes for all settings."""

import json
import subprocess
import sys

import pytest

from pipeline.errors import EngineError, UsageError
from pipeline.host import daemon, docker
from pipeline.host.machine import Machine
from pipeline.host.needs import Configure, Start, needed
from tests.unit.host.conftest import (
    BOTH,
    LIVE,
    OURS,
    READY,
    STORE,
    SURVIVE,
    ensure,
    info,
    without,
)

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
