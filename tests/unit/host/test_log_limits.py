"""Limits for containers' logs: written where nobody else said how, and never worth a restart."""

import json

import pytest

from pipeline.host import daemon, daemon_json
from pipeline.host.daemon_json import LIVE_RESTORE, LOG_LIMITS
from pipeline.host.machine import observe
from pipeline.host.needs import Configure, Start, needed
from tests.unit.host.conftest import READY, STORE, SURVIVE, ensure, info, without

logs_by_flags = daemon.logs_by_flags  # the real one: conftest puts another in its place
LIMITS = {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}
PID = 4711


@pytest.fixture
def argv(clients, monkeypatch):
    """Run an engine with live-restore and the new store; return its command line, to change."""
    words = [b"dockerd"]
    monkeypatch.setattr(daemon, "logs_by_flags", logs_by_flags)
    monkeypatch.setattr(daemon, "_argv", lambda _: words)
    monkeypatch.setattr(daemon, "running", lambda: PID)
    clients.commands.plan("docker info", info(containers=3))
    return words


def test_they_are_written_and_nothing_is_reloaded_or_restarted(argv, file, said, monkeypatch):
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("dockerd serves"))
    ensure(said)
    assert json.loads(file.read_text()) == LIMITS
    assert said[0].endswith(f"made after dockerd's next start): set it in {file}")
    assert said[1] == f"log-opts is on in {file}"
    assert said[2] == f"{READY}; {SURVIVE}; {STORE}"
    before = file.stat().st_mtime_ns
    ensure(said)
    assert len(said) == 4
    assert file.stat().st_mtime_ns == before


def test_without_agreement_the_engine_is_used_as_it_is(argv, file, said):
    ensure(said, yes=False)
    (line,) = said
    assert line.endswith("(`./bin/invoke host --yes` turns log-opts on)")
    assert not file.exists()


def test_other_keys_stay(argv, file, said):
    file.parent.mkdir()
    file.write_text('{"debug": true, "log-level": "warn", "log-opts": {}}')
    ensure(said)
    assert json.loads(file.read_text()) == {"debug": True, "log-level": "warn", **LIMITS}


@pytest.mark.parametrize(
    "theirs",
    [
        {"log-opts": {"max-size": "500m"}},
        {"log-driver": "json-file", "log-opts": {"labels": "a"}},
        {"log-driver": "local"},  # has a limit by itself
        {"log-driver": "journald"},  # does not start with limits of another driver's
        {"log-driver": "none"},
    ],
)
def test_what_somebody_has_said_of_logs_stays(argv, file, said, theirs):
    file.parent.mkdir()
    file.write_text(json.dumps(theirs))
    ensure(said)
    assert json.loads(file.read_text()) == theirs
    assert said == [f"{READY}; {SURVIVE}; {STORE}"]


@pytest.mark.parametrize("flag", [b"--log-driver=local", b"--log-opt", b"--log-opt=max-size=1m"])
def test_flags_and_file_would_keep_dockerd_from_starting(argv, file, said, flag):
    argv.append(flag)
    ensure(said)
    assert said == [f"{READY}; {SURVIVE}; {STORE}"]
    assert not file.exists()


@pytest.mark.parametrize(
    ("systemd", "started_with", "limits"),
    [
        (True, "{ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd --log-opt max-size=1m ; }", True),
        (True, "{ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// ; }", False),
        (True, "", False),
        (False, "", False),
    ],
)
def test_systemd_knows_the_flags_of_an_engine_that_does_not_run(
    machine, *, systemd, started_with, limits
):
    machine.commands.plan("systemctl show --property=ExecStart", started_with)
    assert logs_by_flags(None, systemd=systemd) is limits
    assert bool(machine.commands.ran) is systemd


def test_they_come_along_with_what_takes_a_reload_or_a_restart():
    def settings(*names, then):
        return Configure(settings=names, then=then)

    reload = settings(LIVE_RESTORE, LOG_LIMITS, then="reload")
    assert needed(without("log_limits")) == (reload,)
    assert needed(without("log_limits", live_restore=True)) == (settings(LOG_LIMITS, then=""),)
    (both,) = needed(without("log_limits", "image_store"))
    assert both == settings(LIVE_RESTORE, "containerd-snapshotter", LOG_LIMITS, then="restart")
    stopped = without("engine", "managed", "log_limits", live_restore=True)
    assert needed(stopped) == (settings(LOG_LIMITS, then=""), Start(systemd=False))


def test_an_engine_of_somebody_else_is_only_looked_at():
    assert needed(without("log_limits", "managed")) == ()


def test_a_user_sees_them_too(argv, file, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert not observe().log_limits
    file.parent.mkdir()
    file.write_text(json.dumps(LIMITS))
    assert observe().log_limits


def test_a_file_younger_than_dockerd_is_seen(machine, file):
    assert not daemon.file_is_younger()
    daemon.PID_FILE.touch()
    assert not daemon.file_is_younger()
    daemon_json.turn_on([LOG_LIMITS])
    assert daemon.file_is_younger()
