"""What the settings want of the runner, what is seen of it, and the ways to its service."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import shell
from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.host import accounts
from pipeline.host.accounts import Account
from pipeline.host.runner import github, seen, user, wanted
from pipeline.host.runner.service import Service
from pipeline.host.runner.wanted import Wanted
from pipeline.settings import Settings
from tests.unit.host.runners import URL, USER, VERSION

SET = Settings(
    app="app", runner_url=URL, runner_version=VERSION, runner_sha256="a" * 64, runner_user=USER
)
ACCOUNT = Account(name=USER, uid=1234, gid=1234, home=Path("/srv/ci"), shell="/bin/bash")


@pytest.fixture(autouse=True)
def _user(monkeypatch):
    known = {USER: ACCOUNT, "toor": replace(ACCOUNT, name="toor", uid=0)}
    monkeypatch.setattr(accounts, "find", known.get)
    monkeypatch.setattr(accounts, "group_exists", lambda name: False)
    monkeypatch.setattr(accounts, "_is_folder", lambda path: True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("socket.gethostname", lambda: "web1.example.org")


def test_the_settings_name_one_release_for_this_machine():
    want = Wanted.of(replace(SET, runner_labels=("eu",)))
    assert want.archive.endswith(f"/v{VERSION}/actions-runner-linux-arm64-{VERSION}.tar.gz")
    assert (want.url, want.name, want.labels) == (URL, "app-web1.example.org", ("eu",))
    assert want.folder == Path("/srv/ci/actions-runner")


def test_the_user_is_the_one_of_deployments_unless_it_has_its_own():
    assert wanted.user(replace(SET, deploy_user="deploy")) == USER
    assert wanted.user(replace(SET, runner_user="", deploy_user="deploy")) == "deploy"
    assert wanted.user(replace(SET, runner_user="")) == "runner"
    assert wanted.folder(replace(SET, runner_user="")) == Path("/home/runner/actions-runner")


@pytest.mark.parametrize("tail", ["", "/", ".git", ".git/"])
def test_an_address_is_taken_as_people_copy_it(tail):
    assert Wanted.of(replace(SET, runner_url=f"{URL}{tail}")).url == URL


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"runner_url": ""}, "is not set"),
        ({"runner_version": ""}, "are not both set"),
        ({"runner_sha256": ""}, "are not both set"),
        ({"runner_user": "root"}, "root"),
        ({"runner_user": "toor"}, "root"),
        ({"runner_dir": Path("actions-runner")}, "cannot be the runner's folder"),
        ({"runner_dir": Path("/srv")}, "cannot be the runner's folder"),
        ({"runner_dir": Path("/srv/ci/../other")}, "cannot be the runner's folder"),
        ({"runner_dir": Path("/srv/ci")}, "home"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, says):
    with pytest.raises(UsageError, match=says) as caught:
        Wanted.of(replace(SET, **setting))
    assert caught.value.hint


def test_where_version_and_digest_are_shown_is_said():
    with pytest.raises(UsageError) as caught:
        Wanted.of(replace(SET, runner_version=""))
    assert "Settings > Actions > Runners > New self-hosted runner" in caught.value.hint


def test_a_machine_that_github_has_no_runner_for_is_named(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="riscv64"):
        Wanted.of(SET)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com",
        "https://github.com/a/b/c",
        "https://token@github.com/a/b",
        "https://github.com/a/b?x=1",
        "https://github.com/a/--help",
        "https://github.com/a/b#c",
        "https://[github.com/a/b",
    ],
)
def test_an_address_of_something_else_is_refused(url):
    with pytest.raises(UsageError, match="is no address") as caught:
        github.scope(url)
    assert "PIPELINE_RUNNER_URL" in caught.value.hint


def test_an_organisation_is_an_address():
    assert github.scope("https://github.com/owner/") == ("owner",)


def test_what_somebody_installed_by_hand_is_seen(tmp_path):
    for name in ("config.sh", "bin/"):
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    (tmp_path / ".runner").write_text('{"gitHubUrl": "u", "agentName": "n"}', encoding="utf-8-sig")
    found = seen.look(USER, tmp_path)
    assert (found.there, found.url, found.name) == (True, "u", "n")
    assert (found.version, found.labels, found.service) == ("", None, "not installed")


def test_a_registration_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / ".runner").write_text("{broken")
    (tmp_path / "bin").symlink_to("elsewhere")
    found = seen.look(USER, tmp_path)
    assert (found.url, found.version, found.updated) == ("", "", False)


def test_a_file_in_its_place_is_foreign(tmp_path):
    (tmp_path / "file").touch()
    assert seen.look(USER, tmp_path / "file").foreign


def test_a_folder_that_may_not_be_looked_at_is_an_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UnavailableError, match="may not be looked at"):
        seen.look(USER, tmp_path)


def test_another_programs_worker_is_no_job_of_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "PROC", tmp_path)
    for number, line in enumerate(
        [b"", b"/other/bin/Runner.Worker\0", b"/r/bin/Runner.Listener\0"]
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes(line)
    assert not seen.is_busy(Path("/r"))
    (tmp_path / "2/cmdline").write_bytes(b"/r/bin.2.331.0/Runner.Worker\0spawnclient\0")
    assert seen.is_busy(Path("/r"))


def test_what_runs_as_the_user_sees_little_of_us(monkeypatch):
    ran = {}

    def run(argv, **options):
        ran.update(options, argv=argv)

    monkeypatch.setattr(shell, "run", run)
    user.run(ACCOUNT, ["true"], cwd=Path("/"), timeout=1.0, env={"ADDED": "x"})
    assert ran["argv"] == [
        *("setpriv", "--reuid=1234", "--regid=1234", "--init-groups", "--", "true")
    ]
    assert ran["env"]["HOME"] == "/srv/ci"
    assert ran["env"]["ADDED"] == "x"
    assert ran["inherit"].fullmatch("https_proxy")
    assert not ran["inherit"].fullmatch("PIPELINE_RUNNER_TOKEN")
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    user.run(ACCOUNT, ["true"], cwd=Path("/"), timeout=1.0)
    assert ran["argv"] == ["true"]


def test_everything_below_a_folder_is_given_and_no_link_followed(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        os, "chown", lambda path, *ids, follow_symlinks: given.append((path, ids, follow_symlinks))
    )
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").touch()
    (tmp_path / "link").symlink_to("/etc")
    user.own(ACCOUNT, tmp_path)
    assert {each[0] for each in given} == {
        *(tmp_path, tmp_path / "inner", tmp_path / "inner/file", tmp_path / "link")
    }
    assert {each[1:] for each in given} == {((1234, 1234), False)}
    given.clear()
    user.own(ACCOUNT, tmp_path / "link")
    assert len(given) == 1


def test_the_engines_group_is_looked_at(monkeypatch):
    assert user.in_docker(ACCOUNT) is None
    monkeypatch.setattr(accounts, "group_exists", lambda name: name == "docker")
    assert user.in_docker(None) is False
    monkeypatch.setattr(Account, "groups", property(lambda self: ("docker",)))
    assert user.in_docker(ACCOUNT) is True


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("active\n", "active"),
        ("inactive\n", "inactive"),
        ("failed\n", "inactive"),
        ("", "unknown"),
        (CommandError("`systemctl` is not installed or not on PATH."), "unknown"),
    ],
)
def test_who_is_not_root_asks_systemd_itself(tmp_path, monkeypatch, answer, state):
    def run(argv, **_):
        assert argv == ["systemctl", "is-active", "--", "unit.service"]
        if isinstance(answer, Exception):
            raise answer
        return shell.Result(argv=(), code=0, stdout=answer, tail="", seconds=0.0)

    monkeypatch.setattr(shell, "run", run)
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    service = Service(folder=tmp_path, user=USER)
    assert service.state() == "not installed"
    (tmp_path / ".service").write_text("unit.service\n")
    assert service.state() == state
