import json
import subprocess
import sys

import pytest

from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon, docker
from pipeline.host.docker import LiveRestore, Machine, Start, needed
from tests.unit.host.conftest import ensure

OURS = {
    "engine": "26.1.5",
    "managed": True,
    "daemon": True,
    "client": True,
    "compose": (2, 26),
    "buildx": True,
    "distro": apt.Distro(id="debian", codename="bookworm"),
}
READY = "Docker Engine 26.1.5 answers, with Compose 2.26 and buildx"
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
    return daemon.SETTINGS


@pytest.fixture
def running(clients, file):
    """Run this machine's engine, without live-restore until it is told to read its file."""
    program, reloaded = clients.path / "dockerd", clients.path / "reloaded"
    program.symlink_to(sys.executable)  # the kernel names a process after its file
    clients.reloaded, clients.state = reloaded, "inactive"

    def info(argv):
        on = reloaded.exists() and json.loads(file.read_text())["live-restore"]
        return (
            argv[-1]
            .replace("{{.LiveRestoreEnabled}}", "true" if on else "false")
            .replace("{{.Swarm.LocalNodeState}}", clients.state)
        )

    clients.commands.plan("docker info", info)
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
    assert needed(Machine(**OURS)) == (LiveRestore(reload=True),)
    assert needed(Machine(**OURS, live_restore=True)) == ()


def test_it_is_set_before_the_engine_starts():
    assert needed(without("engine", "managed")) == (LiveRestore(reload=False), Start(systemd=False))
    assert needed(without("engine", "managed", live_restore=True)) == (Start(systemd=False),)


def test_the_client_that_asks_for_it_is_installed_first():
    actions = needed(without("client", "compose"))
    assert [type(action).__name__ for action in actions] == ["Install", "LiveRestore"]


def test_a_swarm_node_is_left_without():
    assert needed(Machine(**OURS, swarm=True)) == ()
    assert needed(without("engine", "managed", swarm=True)) == (Start(systemd=False),)


def test_an_engine_that_is_not_ours_is_only_looked_at():
    assert needed(without("managed")) == ()
    assert needed(without("managed", elsewhere="DOCKER_HOST=tcp://10.0.0.1:2376")) == ()
    assert needed(without("managed", unusable=UsageError("broken"))) == ()


def test_what_would_be_done_is_a_sentence(file):
    assert str(LiveRestore(reload=False)) == (
        f"live-restore, with which containers survive a restart of the engine: set it in {file}"
    )
    assert str(LiveRestore(reload=True)).endswith(", reload dockerd (nothing is stopped)")


def test_a_running_engine_reads_its_file_again_and_is_then_only_looked_at(running, file, said):
    ensure(said)
    assert said == [
        str(LiveRestore(reload=True)),
        f"live-restore is on in {file}",
        f"{READY}; containers survive its restart (live-restore)",
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
        f"{READY}; without live-restore (`./bin/invoke host --yes` turns it on)",
    ]
    assert not file.exists()
    assert not running.reloaded.exists()


def test_whoever_says_no_goes_on_without(running, file, said):
    docker.ensure_engine(yes=False, interactive=True, confirm=lambda _: False, report=said.append)
    assert said[0] == str(LiveRestore(reload=True))
    assert not file.exists()


@pytest.mark.parametrize("state", ["active", "locked", "pending", "error"])
def test_a_node_of_a_swarm_is_said_to_be_one(running, file, said, state):
    running.state = state
    ensure(said)
    (line,) = said
    assert line.endswith("without live-restore, which a swarm node cannot have")
    assert not file.exists()


def test_a_stopped_node_of_a_swarm_would_not_start_with_it(stopped, file, said):
    file.parent.mkdir()
    file.write_text(json.dumps({"data-root": str(stopped.path / "elsewhere")}))
    state = stopped.path / "elsewhere/swarm/docker-state.json"
    state.parent.mkdir(parents=True)
    state.touch()
    stopped.commands.plan("docker info", "false active")
    ensure(said)
    assert "live-restore" not in file.read_text()
    assert said[-1].endswith("which a swarm node cannot have")


def test_a_stopped_engine_finds_it_in_its_file(stopped, file, said, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pipeline.shell.spawn",
        lambda argv, log, inherit: seen.append(json.loads(file.read_text())) or stopped.start(),
    )
    ensure(said)
    assert seen == [{"live-restore": True}]


@pytest.mark.parametrize("flag", ["--config-file=/srv/own.json", "--live-restore=false"])
def test_flags_of_its_own_go_before_the_file(running, file, said, monkeypatch, *, flag):
    cmdline = running.path / "cmdline"
    cmdline.write_text(f"dockerd\0{flag}\0")
    real = daemon.Path

    def path(name):
        return cmdline if str(name).endswith("/cmdline") else real(name)

    monkeypatch.setattr(daemon, "Path", path)
    ensure(said)
    assert said[0].endswith("without live-restore")
    assert not file.exists()


def test_docker_host_names_an_engine_that_is_only_looked_at(running, file, said, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    ensure(said)
    assert said[0].endswith("without live-restore")
    assert not file.exists()


def test_a_user_who_is_not_root_only_looks(running, file, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ensure(said)
    assert said[0].endswith("without live-restore")
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
    running.commands.plan("docker info", lambda argv: argv[-1] and "false inactive")
    monkeypatch.setattr(daemon, "RELOAD_SECONDS", 0.01)
    daemon.LOG.write_text("unable to configure the Docker daemon with file\n")
    with pytest.raises(EngineError, match="did not take live-restore") as caught:
        ensure(said)
    assert "dockerd.log" in caught.value.hint
