import os
import subprocess
import sys

import pytest

from pipeline import shell
from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon
from pipeline.host.machine import Machine
from pipeline.host.needs import Configure, Install, Start, needed
from tests.unit.host.conftest import engine_pings, ensure, info

BOOKWORM = apt.Distro(id="debian", codename="bookworm")
NOBLE = apt.Distro(id="ubuntu", codename="noble")
READY = {
    "daemon": True,
    "client": True,
    "compose": (2, 26),
    "buildx": True,
    "log_limits": True,
    "distro": BOOKWORM,
}

READY_LINE = (
    "Docker Engine 26.1.5 answers, with Compose 2.26 and buildx; "
    "containers survive its restart (live-restore); images are in containerd's store"
)


def install(machine):
    (found,) = [action for action in needed(machine) if isinstance(action, Install)]
    return found


def test_what_is_there_is_used(clients, said):
    ensure(said, yes=False)
    assert said == [READY_LINE]


def test_a_ready_machine_needs_nothing():
    assert needed(Machine(engine="26.1.5", **READY)) == ()


def test_a_clean_debian_12_needs_everything():
    settings, install, start = needed(Machine(distro=BOOKWORM))
    # before anything could start the engine
    wanted = ("live-restore", "containerd-snapshotter", "log-opts")
    assert settings == Configure(settings=wanted, then="")
    assert install == Install(
        packages=("docker.io", "ca-certificates", "docker-cli", "docker-compose", "docker-buildx"),
        parts=("engine", "client", "compose", "buildx"),
        origin="Debian (docker's from trixie, nothing else)",
        key=None,
    )
    assert start == Start(systemd=False)
    assert str(install).startswith("Docker Engine, the docker command, Compose v2, buildx: install")
    assert "dockerd.log" in str(start)


@pytest.mark.parametrize(
    ("have", "packages"),
    [
        ({"distro": NOBLE}, "docker.io ca-certificates docker-compose-v2 docker-buildx"),
        ({"distro": NOBLE, "client": True, "daemon": True}, "docker-compose-v2 docker-buildx"),
        (
            {"distro": BOOKWORM, "client": True},
            "docker.io ca-certificates docker-compose docker-buildx",
        ),
        ({**READY, "compose": (2, 23)}, "docker-compose"),
        ({**READY, "compose": (), "docker_ce": True}, "docker-compose-plugin"),
        ({**READY, "daemon": False, "apparmor": True}, "docker.io ca-certificates apparmor"),
        ({**READY, "buildx": False, "apparmor": True}, "docker-buildx"),
        (
            {"distro": NOBLE, "docker_key": b"k"},
            "docker-ce containerd.io docker-ce-cli docker-compose-plugin docker-buildx-plugin",
        ),
    ],
)
def test_only_what_is_missing_is_installed(have, packages):
    assert " ".join(install(Machine(**have)).packages) == packages


def test_the_sentence_names_the_vendor():
    origins = [
        str(install(Machine(**have))).rpartition(" from ")[2]
        for have in (
            {"distro": NOBLE},
            {"distro": NOBLE, "docker_key": b"k"},
            {"distro": apt.Distro(id="debian", codename="trixie")},
        )
    ]
    assert origins == ["Ubuntu", "Docker's own repository", "Debian"]


def test_a_stopped_engine_is_only_started():
    machine = Machine(**READY, systemd=True, live_restore=True, image_store=True)
    assert needed(machine) == (Start(systemd=True),)
    assert "systemctl enable --now docker" in str(Start(systemd=True))


@pytest.mark.parametrize("elsewhere", ["DOCKER_HOST=tcp://10.0.0.1:2376", "docker context far"])
def test_an_engine_elsewhere_is_never_replaced(elsewhere):
    with pytest.raises(EngineError, match=elsewhere) as caught:
        needed(Machine(distro=BOOKWORM, elsewhere=elsewhere))
    assert caught.value.exit_code == 1


def test_an_engine_that_refuses_this_user_is_named():
    with pytest.raises(EngineError, match="may not talk") as caught:
        needed(Machine(**READY, refused=True, root=False))
    assert "usermod -aG docker" in caught.value.hint


def test_only_root_can_set_a_machine_up(machine, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UsageError, match=r"Only root.*docker-cli.*dockerd") as caught:
        ensure(said)
    assert caught.value.hint == "sudo ./bin/invoke host --yes"


@pytest.mark.parametrize(
    ("id_", "codename", "named"),
    [
        ("fedora", "", "fedora"),
        ("", "", "something else"),
        ("debian", "bullseye", "debian bullseye"),
        ("ubuntu", "focal", "ubuntu focal"),
        ("linuxmint", "wilma", "linuxmint wilma"),
    ],
)
def test_an_unknown_release_is_left_to_its_owner(id_, codename, named):
    known = r"Debian 12, Debian 13, Ubuntu 22\.04 and Ubuntu 24\.04 only, and this is "
    with pytest.raises(UsageError, match=f"{known}{named}\\.") as caught:
        needed(Machine(distro=apt.Distro(id=id_, codename=codename)))
    assert "Install Docker Engine with Compose v2 and buildx" in caught.value.hint


def test_dockers_own_repository_may_have_packages_for_other_releases():
    bullseye = apt.Distro(id="debian", codename="bullseye")
    assert "docker-ce" in install(Machine(distro=bullseye, docker_key=b"k")).packages


def test_without_agreement_everything_missing_is_listed_and_nothing_done(machine, said):
    with pytest.raises(UsageError) as caught:
        ensure(said, yes=False)
    for word in ("docker.io", "docker-compose", "docker-buildx", "dockerd", "base images"):
        assert word in caught.value.message
    assert [line.split()[0] for line in machine.commands.ran] == ["dpkg-query"]
    assert said == []


def test_a_clean_machine_is_set_up(machine, said, monkeypatch):
    spawned = []

    def installing(_):
        machine.programs.update(docker="/usr/bin/docker", dockerd="/usr/sbin/dockerd")
        machine.commands.plan("docker version", "26.1.5")
        machine.commands.plan("docker info", info())
        machine.commands.plan("docker context show", "default")
        machine.commands.plan("docker compose version", "v2.26.1")
        machine.commands.plan("docker buildx version", "0.13.1")

    machine.commands.plan("apt-get install", installing)
    monkeypatch.setattr(
        shell, "spawn", lambda argv, log, inherit: spawned.append(argv) or os.getpid()
    )
    engine_pings(monkeypatch, lambda: bool(spawned))
    ensure(said)
    assert spawned == [["dockerd"]]
    assert said[-2].startswith("Docker Engine started in ")
    assert said[-1] == READY_LINE


def test_an_installation_that_left_something_out_is_an_error(stopped, said):
    stopped.commands.plan("docker buildx version", "unknown command", code=1)
    stopped.commands.plan("apt-get install")
    with pytest.raises(EngineError, match="still missing: buildx"):
        ensure(said)


def test_the_daemon_is_started_with_a_log(stopped, said):
    ensure(said)
    assert stopped.spawned == [(["dockerd"], stopped.path / "dockerd.log")]


def test_systemd_starts_the_engine_where_it_rules(stopped, said):
    (stopped.path / "systemd").mkdir()
    stopped.commands.plan("systemctl enable --now docker", stopped.start)
    ensure(said)
    assert stopped.spawned == []


def test_systemds_failure_shows_the_journal(stopped, said):
    (stopped.path / "systemd").mkdir()
    stopped.commands.plan("systemctl enable --now docker", code=1)
    stopped.commands.plan("journalctl -u docker", "failed to start daemon\n")
    with pytest.raises(EngineError, match="ended by itself") as caught:
        ensure(said)
    assert caught.value.details == "failed to start daemon"


def test_a_daemon_that_ends_shows_what_it_said_this_time(stopped, said, monkeypatch):
    log = stopped.path / "dockerd.log"
    log.write_text("an older failure\n")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    def spawn(argv, *, log, inherit):
        with log.open("a") as file:
            file.write('level=info msg="starting"\nunable to configure\n')
        return ended.pid

    monkeypatch.setattr(shell, "spawn", spawn)
    with pytest.raises(EngineError, match="ended by itself") as caught:
        ensure(said)
    assert caught.value.details == "unable to configure"


def test_a_daemon_that_never_answers_meets_the_deadline(stopped, said, monkeypatch):
    (stopped.path / "dockerd.log").touch()
    monkeypatch.setattr(shell, "spawn", lambda argv, log, inherit: os.getpid())
    monkeypatch.setattr(daemon, "START_SECONDS", 0.01)
    with pytest.raises(EngineError, match="does not answer"):
        ensure(said)


def test_a_daemon_that_somebody_else_just_started_is_waited_for(stopped, said, monkeypatch):
    program = stopped.path / "dockerd"  # the kernel names a process after its file
    program.symlink_to(sys.executable)
    with subprocess.Popen(
        [program, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()  # it runs, so it has its name
        (stopped.path / "docker.pid").write_text(str(other.pid))
        answers = iter([False, False, True])
        engine_pings(monkeypatch, lambda: next(answers))
        stopped.commands.plan("docker version", "", code=1)
        monkeypatch.setattr("time.sleep", lambda _: stopped.commands.plan("docker version", "26.1"))
        ensure(said)
        other.communicate(b"\n")
    assert stopped.spawned == []


def test_a_stale_pid_file_stops_nobody(stopped, said):
    (stopped.path / "docker.pid").write_text(str(os.getpid()))  # not a dockerd
    ensure(said)
    assert len(stopped.spawned) == 1
