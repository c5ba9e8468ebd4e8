"""Space, memory, clock and the state folder."""

import os
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from pipeline.host import apt
from pipeline.host.doctor import machine
from pipeline.host.doctor.greeting import Greeting
from tests.unit.host.doctor.conftest import GIB, space

REGISTRY = "https://ghcr.io/v2/"


@pytest.fixture
def disks(look, monkeypatch):
    """What statvfs() says, by the start of the path; everything else has plenty."""
    said = {}
    monkeypatch.setattr(
        machine.os,
        "statvfs",
        lambda folder: next(
            (said[start] for start in said if str(folder).startswith(start)), space()
        ),
    )
    return said


@pytest.mark.parametrize(
    ("there", "status", "message"),
    [
        ({"free": GIB // 2}, "fail", "0.5 GiB (0%) free at /srv/docker; a release needs 1.0 GiB"),
        ({"free": 2 * GIB}, "warn", "2.0 GiB (2%) free at /srv/docker"),
        ({"free": 20 * GIB}, "ok", "20.0 GiB (20%) free at /srv/docker"),
        ({"free": 40 * GIB, "inodes": 0.03}, "warn", "3% of the inodes are free at /srv/docker"),
    ],
)
def test_space_is_looked_at_where_there_is_least(look, disks, monkeypatch, there, status, message):
    disks["/srv/docker"] = space(**there)
    monkeypatch.setattr(machine, "nearest", lambda path: path)
    look.engine.about["DockerRootDir"] = "/srv/docker"
    found = look("disk")
    assert found.status == status
    assert found.message.startswith(message)
    assert found.remedy.startswith("./bin/invoke prune" if status != "ok" else "")


def test_two_of_the_newest_image_must_fit(look, disks):
    disks["/"] = space(free=7 * GIB, total=20 * GIB)
    assert look("disk").status == "ok"
    look.engine.api.images = lambda name: [{"Created": 1, "Size": 4 * GIB}]
    assert look("disk").message.endswith("a release needs 8.0 GiB")


def test_a_file_system_without_inodes_has_enough(look, disks):
    disks["/"] = SimpleNamespace(**{**vars(space()), "f_files": 0})
    assert look("disk").status == "ok"


def test_the_disk_of_another_machines_engine_is_not_seen(look, no_engine, disks, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2375")
    disks["/var/lib/containerd"] = space(free=0)
    assert look("disk").status == "ok"


def test_little_memory(look):
    machine.MEMORY.write_text("MemTotal: 900000 kB\nMemAvailable: 204800 kB\n")
    found = look("memory")
    assert (found.status, found.message) == ("warn", "0.2 GiB available")
    assert found.remedy.startswith("./bin/invoke retire")


@pytest.mark.parametrize(
    ("skew", "status", "message"),
    [
        (0.0, "ok", "as that of ghcr.io"),
        (-4.9, "ok", "as that of ghcr.io"),
        (30.0, "warn", "30 s ahead of that of ghcr.io"),
        (-30.0, "warn", "30 s behind that of ghcr.io"),
        (-3600.0, "fail", "3600 s behind that of ghcr.io"),
    ],
)
def test_a_clock_that_is_wrong(look, greetings, skew, status, message):
    greetings[REGISTRY] = Greeting(status=401, date=datetime.now(UTC), skew=skew)
    found = look("clock")
    assert (found.status, found.message) == (status, message)
    assert found.remedy.startswith("sudo timedatectl set-ntp true" if status != "ok" else "")


def test_a_clock_that_nobody_can_be_asked_about(look, greetings):
    greetings[REGISTRY] = Greeting(trouble="connection refused")
    assert "ghcr.io does not say what time it is there" in look("clock").message
    assert look("clock").status == "ok"


def test_a_clock_that_is_behind_this_checkout(look, greetings, monkeypatch):
    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1970, 1, 1, 0, 3, tzinfo=UTC)

    monkeypatch.setattr(machine, "datetime", Behind)
    found = look("clock")
    assert found.status == "fail"
    assert found.message.startswith("it is 1970-01-01 00:03:00 UTC here, and this checkout is of")


def test_without_systemd_the_time_is_said(look, greetings, monkeypatch, tmp_path):
    monkeypatch.setattr(apt, "SYSTEMD", tmp_path / "nothing")
    date = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    greetings[REGISTRY] = Greeting(status=401, date=date, skew=-90)
    assert look("clock").remedy == "sudo date --utc --set='2030-01-02 03:04:05'"


def closed(monkeypatch, *names):
    """Let this user write everything but these."""
    monkeypatch.setattr(machine.os, "access", lambda path, mode: path.name not in names)


def test_a_state_folder_of_another_user(look, monkeypatch):
    folder = look.settings.state_dir
    closed(monkeypatch, folder.name)
    found = look("state folder")
    assert (found.status, found.message) == ("fail", f"user ci cannot write {folder}")
    assert found.remedy == f"sudo chown --recursive ci: {folder}"


def test_a_state_folder_that_cannot_be_made(look, monkeypatch):
    folder = look.settings.state_dir
    folder.rmdir()
    assert look("state folder").message == f"{folder} can be made"
    closed(monkeypatch, "state")
    found = look("state folder")
    assert found.remedy == f"sudo install -d -m 0700 -o ci {folder}"


def test_a_ledger_that_root_made(look, monkeypatch):
    folder = look.settings.state_dir
    (folder / "ledger.db").touch()
    (folder / "proxy").mkdir()
    closed(monkeypatch, "ledger.db", "proxy")
    found = look("state folder")
    assert found.message == f"user ci cannot write ledger.db in {folder}"
    assert found.remedy == f"sudo chown --recursive ci: {folder}"


def test_a_state_folder_that_everybody_can_write(look):
    folder = look.settings.state_dir
    folder.chmod(0o777)
    found = look("state folder")
    assert (found.status, found.remedy) == ("warn", f"chmod go-w {folder}")


def test_a_file_where_the_state_folder_should_be(look):
    folder = look.settings.state_dir
    folder.rmdir()
    folder.touch()
    found = look("state folder")
    assert found.message == f"{folder} is in its way: it is no folder"
    assert found.remedy == "export PIPELINE_STATE_DIR=$HOME/.local/state/panager"


def test_a_file_system_that_became_read_only(look, monkeypatch):
    monkeypatch.setattr(machine.os, "statvfs", lambda folder: space(flags=os.ST_RDONLY))
    found = look("state folder")
    assert "read-only" in found.message
    assert found.remedy.startswith("sudo mount -o remount,rw /")
