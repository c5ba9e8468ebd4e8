"""A user who is not root, with and without a sudo that asks for no password."""

import pytest

from pipeline.errors import CommandError, EngineError
from pipeline.host import daemon_json, sudo
from tests.unit.host.conftest import ensure, info


@pytest.fixture
def user(machine, monkeypatch):
    """Be a user whom sudo asks nothing; return the machine."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    machine.commands.plan("sudo")
    return machine


def test_nobody_becomes_root_who_did_not_say_yes(user):
    assert not sudo.works(yes=False)
    assert user.commands.ran == []


def test_root_has_no_need_of_it(machine):
    assert not sudo.works(yes=True)
    assert machine.commands.ran == []


@pytest.mark.parametrize("answer", ["a password is required", CommandError("not installed")])
def test_a_sudo_that_asks_or_is_missing_is_none(user, answer):
    assert sudo.works(yes=True)
    user.commands.plan("sudo", answer, code=1)
    assert not sudo.works(yes=True)


def test_it_never_waits_for_a_password_and_leaves_no_bytecode():
    argv = sudo.host_argv("--engine")
    assert argv[:2] == ["sudo", "-n"]
    assert "-B" in argv
    assert argv[-3:] == ["host", "--yes", "--engine"]


def test_what_fails_as_root_is_explained(user, said):
    user.commands.plan("sudo", "E: no such package", code=2)
    with pytest.raises(EngineError, match="as root") as caught:
        sudo.host(report=said.append)
    assert caught.value.details == "E: no such package"


def test_an_engine_is_installed_as_root_once_it_was_named(user, said):
    def set_up(argv):
        if argv[-1] == "--engine":
            user.programs.update(docker="/usr/bin/docker", dockerd="/usr/sbin/dockerd")
            user.commands.plan("docker version", "26.1.5")
            user.commands.plan("docker info", info())
            user.commands.plan("docker context show", "default")
            user.commands.plan("docker compose version", "v2.26.1")
            user.commands.plan("docker buildx version", "0.13.1")

    user.commands.plan("sudo", set_up)
    ensure(said)
    named = [line.startswith("as root: sudo -n ") for line in said].index(True)
    assert "docker.io" in said[1]
    assert "--engine" in said[named]
    assert said[-1].startswith("Docker Engine 26.1.5 answers")
    assert not any(line.startswith("apt-get install") for line in user.commands.ran)


def test_a_user_who_may_not_talk_to_the_new_engine_is_told_so(user, said, monkeypatch):
    def set_up(argv):
        if argv[-1] == "--engine":
            (user.path / "docker.sock").touch()

    user.commands.plan("sudo", set_up)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(EngineError, match="may not talk") as caught:
        ensure(said)
    assert "usermod -aG docker" in caught.value.hint


@pytest.fixture
def runner(clients, user, monkeypatch):
    """Let the user have an engine of this machine's, with containers or without, as it comes."""
    monkeypatch.setattr("pipeline.host.daemon.running", lambda: 4711)
    monkeypatch.setattr("pipeline.host.daemon._argv", lambda pid: [b"dockerd"])
    user.commands.plan("docker info", info(live_restore=False, image_store=False))
    return user


def test_settings_are_turned_on_as_root(runner, said):
    def set_up(argv):
        if argv[-1] == "--engine":
            runner.commands.plan("docker info", info())

    runner.commands.plan("sudo", set_up)
    ensure(said)
    assert "restart dockerd" in said[0]
    assert said[-1].endswith("images are in containerd's store")


@pytest.mark.parametrize("yes", [True, False])
def test_without_sudo_the_engine_is_used_as_it_is(runner, said, yes):
    runner.commands.plan("sudo", "a password is required", code=1)
    ensure(said, yes=yes)
    (line,) = said
    assert "; without live-restore; without the containerd image store" in line
    assert line.endswith(
        "(`sudo ./bin/invoke host --yes` turns live-restore and containerd-snapshotter on)"
    )


def test_a_settings_file_that_is_broken_is_roots_to_refuse(runner, said):
    file = daemon_json.SETTINGS
    file.parent.mkdir()
    file.write_text("{broken")
    ensure(said, yes=False)
    assert "used" not in said[0]
    assert file.read_text() == "{broken"
