"""What keeps apt from installing: seen before, explained after."""

import pytest

from pipeline.errors import CommandError, EngineError, UsageError
from pipeline.host import packages
from pipeline.host.apt import Distro
from pipeline.host.machine import Machine, observe
from pipeline.host.needs import Install, needed
from tests.unit.host.conftest import ensure

STATES = "ii  base-files\nrc  gone\niU  docker.io\niF  docker-buildx\nin  no\niHR libc6\niW  man\n"

UBUNTU = "docker.io ca-certificates docker-compose-v2 docker-buildx"
DEBIAN = "docker.io ca-certificates docker-cli docker-compose docker-buildx"


@pytest.mark.parametrize(
    ("release", "name", "all_of_it", "origin"),
    [
        (
            "ID=debian\nVERSION_CODENAME=bookworm",
            "Debian 12",
            DEBIAN,
            "Debian (docker's from trixie, nothing else)",
        ),
        ('ID=debian\nVERSION_CODENAME=trixie\nVERSION_ID="13"', "Debian 13", DEBIAN, "Debian"),
        ('ID=ubuntu\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy', "Ubuntu 22.04", UBUNTU, "Ubuntu"),
        ('VERSION_CODENAME="noble"\nID="ubuntu"', "Ubuntu 24.04", UBUNTU, "Ubuntu"),
    ],
)
def test_each_release_has_its_packages(machine, release, name, all_of_it, origin):
    (machine.path / "os-release").write_text(f"{release}\n")
    seen = observe()
    assert packages.name(seen.distro) == name
    (install,) = [action for action in needed(seen) if isinstance(action, Install)]
    assert " ".join(install.packages) == all_of_it
    assert install.origin == origin


def test_a_release_that_is_not_known_installs_nothing(machine, said):
    (machine.path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bullseye\n")
    with pytest.raises(UsageError, match="and this is debian bullseye"):
        ensure(said)
    assert said == []


def test_dockers_own_client_is_not_mixed_with_the_distributions_engine(machine):
    (machine.path / "docker-ce-cli.list").touch()
    (install,) = [action for action in needed(observe()) if isinstance(action, Install)]
    assert "docker-ce" in install.packages
    assert "docker.io" not in install.packages


def test_what_dpkg_has_not_ended_is_seen(machine):
    machine.commands.plan("dpkg-query --show", STATES)
    assert packages.broken() == ("docker.io", "docker-buildx", "libc6")


def test_without_dpkg_nothing_is_broken(machine):
    machine.commands.plan("dpkg-query --show", CommandError("`dpkg-query` is not installed"))
    assert packages.broken() == ()


def test_a_half_installed_engine_is_named_and_nothing_done(machine, said):
    machine.commands.plan("dpkg-query --show", STATES)
    with pytest.raises(EngineError, match=r"installation of docker\.io, docker-buildx, libc6 on"):
        ensure(said)
    assert said == []
    assert not any(line.startswith("apt-get") for line in machine.commands.ran)
    with pytest.raises(EngineError) as caught:
        needed(Machine(distro=Distro(id="debian", codename="trixie"), broken=("docker.io",)))
    assert "dpkg --configure -a" in caught.value.hint
    assert caught.value.exit_code == 1


def test_an_engine_that_was_only_unpacked_is_not_started(stopped, said):
    stopped.commands.plan("dpkg-query --show", "iU  docker.io\n")
    with pytest.raises(EngineError, match=r"installation of docker\.io on this machine was"):
        ensure(said)
    assert stopped.spawned == []


def test_an_engine_is_started_whatever_else_is_half_installed(stopped, said):
    stopped.commands.plan("dpkg-query --show", "iF  grub-pc\n")
    ensure(said)
    assert len(stopped.spawned) == 1


def test_podman_under_dockers_name_is_named(clients, said):
    (clients.path / "podman-docker.list").touch()
    with pytest.raises(EngineError, match="is Podman's") as caught:
        ensure(said)
    assert "apt-get remove podman-docker" in caught.value.hint
    assert said == []


def test_a_machine_that_lacks_nothing_may_install_what_it_likes(clients):
    clients.commands.plan("dpkg-query --show", STATES)
    assert observe().broken == ()


LOCKED = """\
E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)
E: Unable to acquire the dpkg frontend lock
"""
UNRESOLVED = """\
Err:1 http://mirror.example/debian trixie InRelease
  Temporary failure resolving 'mirror.example'
E: Unable to locate package docker.io
"""
INTERRUPTED = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct"
LISTS = "E: Could not get lock /var/lib/apt/lists/lock - open (11: Resource unavailable)"
DEPENDS = "The following packages have unmet dependencies:\n docker.io : Depends: containerd"
NO_SPACE = "E: You don't have enough free space in /var/cache/apt/archives/."


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (INTERRUPTED, "was interrupted", "`dpkg --configure -a`"),
        (LOCKED, "4711 (unattended-upgr) has /var/lib/dpkg/lock-frontend", "`ps -fp 4711`"),
        (LISTS, "/var/lib/apt/lists/lock is locked", "`ps -e"),
        (UNRESOLVED, "cannot find the address of mirror.example", "getent hosts mirror.example"),
        ("W: Could not resolve 'mirror.example'", "address of mirror.example", "resolv.conf"),
        ("E: Write error - write (28: No space left on device)", "free space", "`df -h / /var`"),
        (NO_SPACE, "free space", "`apt-get clean`"),
        ("E: Unable to locate package docker-buildx", "the package docker-buildx.", "universe"),
        ("E: Package 'docker.io' has no installation candidate", "package docker.io.", "universe"),
        (DEPENDS, "lack others", "--fix-broken"),
    ],
)
def test_what_apt_says_is_explained(machine, said, message, hint):
    machine.commands.plan("apt-get install", said, code=100)
    with pytest.raises(EngineError) as caught:
        ensure([])
    assert caught.value.message.startswith("apt could not install docker.io")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint.endswith("Then run this again.")
    assert said in caught.value.details


def test_what_we_do_not_know_is_shown_as_it_is():
    error = EngineError("apt could not install x.", hint="h", details="E: something new")
    assert packages.explained(error) is error
