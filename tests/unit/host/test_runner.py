"""The runner is installed, kept as it should be, and removed; whatever fails leaves what runs."""

import json

import pytest

from pipeline.errors import CommandError, PipelineError, UnavailableError, UsageError
from pipeline.host import runner
from pipeline.settings import Secret
from tests.unit.host.runners import REFUSED, TOKEN, URL, USER, VERSION, World

NEWER = "2.331.0"


@pytest.fixture
def world(monkeypatch, tmp_path):
    made = World(root=tmp_path)
    made.patch(monkeypatch)
    return made


@pytest.fixture
def ready(world):
    """A machine whose runner runs; what led there is forgotten."""
    world.install()
    world.forget()
    return world


def test_an_empty_server_gets_all_of_it(world):
    world.there, world.member = False, False
    found = world.install()
    assert [line.split()[0] for line in world.changes()] == [
        *("useradd", "gpasswd", "config.sh", "svc.sh", "svc.sh"),
    ]
    assert world.changes()[2] == (
        f"config.sh --unattended --url {URL} --name app-web1"
        " --labels production --work _work --replace"
    )
    assert world.changes()[3:] == [f"svc.sh install {USER}", "svc.sh start"]
    assert (found.configured, found.version, found.service) == (True, VERSION, "active")
    assert (found.labels, found.trouble, found.remedy) == (("production",), "", "")
    assert world.folder in world.owned
    assert json.loads((world.folder / ".pipeline.json").read_text())["sha256"] == "a" * 64
    assert not list(world.folder.glob(".pipeline-*"))


def test_only_the_configuration_gets_the_token(world):
    world.install()
    having = [line for line, given in world.environments.items() if TOKEN in given.values()]
    assert [line.split()[0] for line in having] == ["config.sh"]
    assert TOKEN not in "".join(world.said)


def test_a_second_time_there_is_nothing_to_do(ready):
    ready.wants(runner_token=Secret(""))
    ready.install(yes=False)
    assert ready.changes() == []
    assert ready.asked == []
    assert ready.said == ["the runner is as it should be; nothing to do"]


def test_all_is_named_before_anything_is_done(world):
    with pytest.raises(UsageError, match=f"register app-web1 at {URL}") as caught:
        world.install(yes=False)
    assert "./bin/invoke runner install --yes" in caught.value.hint
    assert world.changes() == []
    assert not world.folder.exists()


def test_another_version_takes_no_token(ready):
    (ready.folder / "runsvc.sh").write_text("old")
    (ready.folder / "_work").mkdir()
    (ready.folder / ".env").write_text("KEY=ours")
    ready.holds = NEWER
    ready.wants(runner_version=NEWER, runner_token=Secret(""))
    assert ready.install().version == NEWER
    assert ready.changes() == ["svc.sh stop", "svc.sh start"]
    assert (ready.folder / "runsvc.sh").read_text() == NEWER
    assert (ready.folder / "_work").is_dir()
    assert (ready.folder / ".env").read_text() == "KEY=ours"
    assert ready.status().labels == ("production",)


def test_what_has_updated_itself_further_stays(ready):
    (ready.folder / "bin").rename(ready.folder / f"bin.{NEWER}")
    (ready.folder / "bin").symlink_to(ready.folder / f"bin.{NEWER}")
    assert ready.install().version == NEWER
    assert ready.changes() == []
    assert ready.said[0] == f"the runner has brought itself to version {NEWER}"


def test_what_its_own_updates_left_is_replaced_with_it(ready):
    (ready.folder / "bin").rename(ready.folder / "bin.2.329.0")
    (ready.folder / "bin").symlink_to(ready.folder / "bin.2.329.0")
    assert ready.install().version == VERSION
    assert not (ready.folder / "bin").is_symlink()
    assert not (ready.folder / "bin.2.329.0").exists()


@pytest.mark.parametrize("failing", ["download", "config.sh --version"])
def test_what_fails_before_the_service_stops_changes_nothing(ready, failing):
    ready.failing[failing] = "no"
    ready.wants(runner_version=NEWER)
    before = sorted(ready.folder.iterdir())
    with pytest.raises(PipelineError):
        ready.install()
    assert "svc.sh stop" not in ready.ran
    assert sorted(ready.folder.iterdir()) == before
    ready.failing.clear()
    assert ready.status().service == "active"


def test_a_folder_that_was_made_for_nothing_is_removed(world):
    world.failing["download"] = "no"
    with pytest.raises(PipelineError):
        world.install()
    assert not world.folder.exists()


def test_what_was_killed_while_it_downloaded_is_begun_again(world):
    stage = world.folder / ".pipeline-new"
    stage.mkdir(parents=True)
    (stage / "archive.part").touch()
    assert world.install().service == "active"
    assert not stage.exists()


def test_the_archive_of_another_version_is_refused(world):
    world.holds = NEWER
    with pytest.raises(UsageError, match=f"holds the runner {NEWER}, not {VERSION}"):
        world.install()


def test_packages_that_it_lacks_are_installed_by_its_own_script(world):
    world.lacks_packages = True
    assert world.install().service == "active"
    assert "installdependencies.sh" in world.ran


def test_a_rename_that_fails_puts_everything_back(ready, monkeypatch):
    rename = type(ready.folder).rename

    def refuse(path, target):
        if path.name == "externals" and "files" in path.parts:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    ready.holds = NEWER
    ready.wants(runner_version=NEWER)
    monkeypatch.setattr(type(ready.folder), "rename", refuse)
    with pytest.raises(UnavailableError, match="No space left"):
        ready.install()
    assert ready.said[-1] == "the runner's service runs again as before"
    found = ready.status()
    assert (found.version, found.service) == (VERSION, "active")
    assert (ready.folder / "config.sh").read_text() == VERSION


def test_other_labels_are_registered_anew(ready):
    ready.wants(runner_labels=("production", "eu"))
    assert ready.install().labels == ("production", "eu")
    assert [line.split()[:2] for line in ready.changes()] == [
        ["svc.sh", "stop"],
        ["svc.sh", "uninstall"],
        ["config.sh", "--unattended"],
        ["svc.sh", "install"],
        ["svc.sh", "start"],
    ]
    assert ready.downloaded == []


def test_of_another_address_it_is_said_what_stays_behind(ready):
    ready.wants(runner_url="https://github.com/owner/other")
    assert ready.install().url == "https://github.com/owner/other"
    assert any(line.endswith(f"remove app-web1 at {URL} on GitHub's page") for line in ready.said)


def test_no_link_in_its_folder_leads_us_astray(ready):
    for name in ("runsvc.sh", ".pipeline.new"):
        (ready.root / f"outside{name}").write_text("precious")
        (ready.folder / name).symlink_to(ready.root / f"outside{name}")
    ready.holds = NEWER
    ready.wants(runner_version=NEWER)
    assert ready.install().version == NEWER
    assert {path.read_text() for path in ready.root.glob("outside*")} == {"precious"}
    assert (ready.folder / "runsvc.sh").read_text() == NEWER


def test_a_token_that_is_refused_brings_back_what_was(ready):
    ready.wants(runner_url="https://github.com/owner/other")
    ready.failing["config.sh --unattended"] = REFUSED
    with pytest.raises(UnavailableError, match="does not accept the token") as caught:
        ready.install()
    assert "PIPELINE_RUNNER_TOKEN" in caught.value.hint
    found = ready.status()
    assert (found.url, found.service) == (URL, "active")
    assert (ready.folder / ".credentials").read_text() == "production"


def test_a_service_that_does_not_come_back_is_said(ready):
    ready.wants(runner_labels=())
    ready.failing |= {"config.sh --unattended": "no", "svc.sh install": "no"}
    with pytest.raises(UnavailableError, match="own configuration failed"):
        ready.install()
    assert ready.said[-1].startswith("the runner's service does not run: ")


def test_a_registration_of_one_that_was_killed_is_found_again(ready):
    aside = ready.folder / ".pipeline-before"
    aside.mkdir()
    for name in (".runner", ".credentials"):
        (ready.folder / name).rename(aside / name)
    ready.failing["config.sh --unattended"] = REFUSED
    with pytest.raises(UnavailableError):
        ready.install()
    assert ready.status().url == URL


def test_without_a_token_it_is_said_where_one_comes_from(world):
    world.wants(runner_token=Secret(""))
    with pytest.raises(UsageError, match="PIPELINE_RUNNER_TOKEN is not set") as caught:
        world.install()
    assert "registration-token" in caught.value.hint
    assert world.ran == []


def test_a_public_repository_is_refused_before_anything_is_named(world):
    world.public = UsageError("it is public")
    with pytest.raises(UsageError, match="it is public"):
        world.install()
    assert world.said == []
    world.install(allow_public=True)
    assert world.asked == [URL]


def test_without_the_engines_group_a_warning_is_given(world):
    world.member = None
    world.install()
    assert any("no group docker" in line for line in world.said)


def test_nothing_changes_while_a_job_runs(ready):
    process = ready.root / "proc/77"
    process.mkdir(parents=True)
    program = f"{ready.folder}/bin/Runner.Worker"
    (process / "cmdline").write_bytes(f"{program}\0spawnclient\0".encode())
    (ready.root / "proc/78").mkdir()
    ready.wants(runner_version=NEWER)
    for change in (ready.install, ready.remove):
        with pytest.raises(UnavailableError, match="A job is running"):
            change()
    assert ready.changes() == []


def test_only_root_changes_anything(ready, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    (ready.folder / ".service").unlink()
    for change in (ready.install, ready.remove):
        with pytest.raises(UnavailableError, match="Only root") as caught:
            change()
        assert "--preserve-env=PIPELINE_RUNNER_TOKEN" in caught.value.hint


def test_a_folder_of_something_else_is_left_alone(world):
    world.folder.mkdir()
    (world.folder / "precious").touch()
    with pytest.raises(UsageError, match="is no runner"):
        world.install()
    assert not world.remove()
    assert (world.folder / "precious").exists()


def test_the_status_says_what_is_wrong(world):
    found = world.status()
    assert found.trouble == f"it is not registered at {URL}"
    assert "runner install --yes" in found.remedy
    world.install()
    (world.folder / ".active").unlink()
    found = world.status()
    assert found.trouble == "it is registered, but its service is inactive"
    assert found.as_dict()["service"] == "inactive"
    world.wants(runner_url="")
    (world.folder / ".runner").unlink()
    assert world.status().trouble == ""


def test_a_service_that_dies_at_once_is_an_error(world):
    world.failing["svc.sh status"] = "failed"
    with pytest.raises(UnavailableError, match="is not active") as caught:
        world.install()
    assert "journalctl -u actions.runner.app.service" in caught.value.hint


def test_without_systemd_the_way_to_run_it_is_named(world, monkeypatch, tmp_path):
    monkeypatch.setattr(runner.service, "SYSTEMD", tmp_path / "systemd")
    configure = world._config_sh

    def with_systemd(argv, cwd):
        said = configure(argv, cwd)
        (cwd / "svc.sh").write_text("systemctl start\n")
        return said

    monkeypatch.setattr(world, "_config_sh", with_systemd, raising=False)
    with pytest.raises(UnavailableError, match="does not run systemd") as caught:
        world.install()
    assert f"sudo -u {USER} ./run.sh" in caught.value.hint
    assert world.status().configured


def test_an_action_that_does_not_exist_is_named():
    assert "invoke runner status" not in runner.unknown("start").message
    assert "install" in runner.unknown("start").hint


def test_a_user_who_cannot_be_made_is_an_error(world):
    world.there = False
    world.failing["useradd"] = "useradd: cannot lock /etc/passwd"
    with pytest.raises((UnavailableError, CommandError)) as caught:
        world.install()
    assert "cannot lock" in caught.value.details
