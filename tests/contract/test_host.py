"""A real user of this machine, made as by `invoke host` and removed again; a real dockerd's word.

`--check` changes nothing. The engine, which the other tests share, is only looked at.
"""

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from pipeline.host import accounts, daemon_json, server
from pipeline.host.daemon_json import IMAGE_STORE, LIVE_RESTORE, LOG_LIMITS
from pipeline.host.machine import SBIN, Machine, observe
from pipeline.settings import Settings
from tests.e2e.support.command import CommandLine, clean_environment

ROOT = Path(__file__).resolve().parents[2]
SUDO = () if os.geteuid() == 0 else ("sudo", "--non-interactive")
TRIES = 3  # somebody else may change a file meanwhile, but hardly each time


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a user of this test's own."""
    name = f"pipeline-{uuid.uuid4().hex[:8]}"
    yield name
    if accounts.find(name) is not None:
        as_root("userdel", "--remove", name)
    assert accounts.find(name) is None
    assert not accounts.group_exists(name)


@pytest.fixture
def settings(name: str) -> Settings:
    return Settings(deploy_user=name, sources={"state_dir": "default"})


@pytest.fixture(scope="module")
def seen(engine: docker.DockerClient) -> Machine:
    """This machine, as one whose engine lacks nothing that is ours to do."""
    return replace(observe(), engine=engine.version()["Version"], root=True, managed=False)


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, seen: Machine) -> Callable[[Settings], list[str]]:
    """Prepare this server as root, all but its engine; return what was said."""
    monkeypatch.setattr("pipeline.host.docker.observe", lambda: seen)
    run = accounts._run
    monkeypatch.setattr(accounts, "_run", lambda *argv: run(*SUDO, *argv))

    def act(settings: Settings) -> list[str]:
        said: list[str] = []
        server.prepare(
            settings, yes=True, interactive=False, confirm=lambda _: False, report=said.append
        )
        return said

    return act


def as_root(*argv: str) -> str:
    ran = subprocess.run([*SUDO, *argv], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def changed(act: Callable[[], object]) -> set[str]:
    """Return what below /etc `act` changes, makes or removes, each time that it is done."""
    found: set[str] | None = None
    for _ in range(TRIES):
        before = listing()
        act()
        now = {name for name, _ in before.items() ^ listing().items()}
        found = now if found is None else found & now
        if not found:
            break
    return found or set()


def listing() -> dict[str, tuple[int, int, int, int]]:
    """Return of each file below /etc when it was changed, its size, mode and owner."""
    found = {}
    for folder, folders, files in os.walk("/etc"):
        for each in (folder, *(f"{folder}/{name}" for name in (*folders, *files))):
            with contextlib.suppress(FileNotFoundError):
                about = os.lstat(each)
                found[each] = (about.st_ctime_ns, about.st_size, about.st_mode, about.st_uid)
    return found


def test_a_user_is_made_once_with_what_a_deployment_needs(name, settings, prepare):
    said = prepare(settings)
    assert f"the user {name}, without a password" in said[0]
    account = accounts.find(name)
    assert account is not None
    assert account.uid >= accounts.LOWEST_UID
    assert account.shell == "/bin/bash"
    assert accounts.DOCKER in account.groups
    for folder in (".ssh", ".local/state/panager"):
        about = as_root("stat", "--format=%U %a", str(account.home / folder))
        assert about.split() == [name, "700"]
    assert as_root("getent", "shadow", name).split(":")[1] in {"!", "!!", "*", "!*"}
    # what it is all for
    version = ("docker", "version", "--format", "{{.Server.Version}}")
    assert as_root("runuser", "--user", name, "--", *version).strip()

    again = prepare(settings)
    assert [line for line in again if line.startswith("would")] == []
    assert not changed(lambda: prepare(settings))


def test_a_user_that_is_there_keeps_what_it_has(name, settings, prepare):
    as_root("useradd", "--create-home", "--shell", "/bin/sh", name)
    prepare(settings)
    account = accounts.find(name)
    assert account is not None
    assert account.shell == "/bin/sh"
    assert accounts.DOCKER in account.groups


def test_a_state_folder_outside_of_the_home_is_its_users_alone(name, settings, prepare):
    folder = Path("/var/lib") / name / "state"
    given = replace(settings, state_dir=folder, sources={"state_dir": "PIPELINE_STATE_DIR"})
    try:
        prepare(given)
        assert as_root("stat", "--format=%U %a", str(folder)).split() == [name, "700"]
    finally:
        as_root("rm", "-rf", f"/var/lib/{name}")


def test_check_names_everything_and_changes_no_file(name, engine):
    invoke = CommandLine(root=ROOT, environ=clean_environment())
    ran = invoke("host", "--check", "--user", name, "--json")
    assert ran.code == 1
    found = {(check["name"], check["status"]) for check in ran.json["checks"]}
    assert {("packages", "ok"), ("user", "would"), ("folders", "would")} <= found
    assert accounts.find(name) is None
    assert not changed(lambda: invoke("host", "--check", "--user", name))
    invoke("host", "--check", "--user", "root").refused(2)


def dockerd_takes(*flags: str) -> bool:
    """Return whether this machine's dockerd would start with its settings file and `flags`."""
    dockerd = shutil.which("dockerd") or shutil.which("dockerd", path=SBIN)
    assert dockerd, "the engine is this machine's own"
    argv = [dockerd, "--validate", f"--config-file={daemon_json.SETTINGS}", *flags]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return ran.returncode == 0


def test_dockerd_would_start_with_the_settings_that_we_write(tmp_path, monkeypatch):
    monkeypatch.setattr(daemon_json, "SETTINGS", tmp_path / "daemon.json")
    daemon_json.turn_on([LIVE_RESTORE, IMAGE_STORE, LOG_LIMITS])
    assert dockerd_takes()
    # and this is why limits are not written where flags say it
    assert not dockerd_takes("--log-opt=max-size=1m")
    assert not dockerd_takes("--log-driver=local")
