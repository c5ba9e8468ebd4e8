"""The same command on another machine: what goes there, and how."""

import shutil
import stat

import pytest

from pipeline.errors import UnavailableError, UsageError
from pipeline.remote import flags
from tests.unit.remote.conftest import git

SECRET = "s3cret-value"
ENV = "DATABASE_URL=postgresql://x\nPOSTGRES_PASSWORD=s3cret-value\n"


def head(server, revision="HEAD"):
    return git(server.root, "rev-parse", revision)


def test_a_command_runs_there_and_its_exit_code_is_ours(server):
    code, there = server.run("status", {"PIPELINE_PORT": "8003"}, given={"json": True})
    assert code == 3
    assert there["argv"] == ["status", "--json"]
    assert there["stdin"] == ""
    assert there["env"]["PIPELINE_PORT"] == "8003"


def test_it_does_not_go_on_to_a_next_host(server):
    _, there = server.run()
    assert there["env"].get("PIPELINE_HOST", "local") == "local"


def test_the_code_that_runs_there_is_the_checkouts_own(server):
    server.run()
    checkout = server.base / "checkouts" / head(server)
    assert (checkout / "docker-compose.yml").exists()
    assert git(checkout, "status", "--porcelain") == ""


def test_a_commit_is_sent_once(server):
    server.run()
    assert any("git-receive-pack" in call for call in server.calls)
    before = len(server.calls)
    server.run()
    later = server.calls[before:]
    assert len(later) == 2
    assert not any("git-receive-pack" in call for call in later)
    assert server.told == [f"deploy@server: gets {head(server)[:12]}"]


def test_two_that_send_the_same_at_once_do_no_harm(server):
    pushed = 'case "$last" in git*) /bin/sh -c "$last"; exit 1 ;; esac\n'
    server.first(f'HOME="$SERVER/home"; {pushed}')
    assert server.run()[0] == 0


def test_a_shallow_checkout_is_enough(server, tmp_path, monkeypatch):
    server.commit()
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{server.root}", "shallow")
    monkeypatch.setattr("pipeline.settings.Settings.root", tmp_path / "shallow")
    code, _ = server.run()
    assert code == 0


def test_what_is_in_no_commit_is_named(pretended):
    (pretended.root / "docker-compose.yml").write_text("changed: {}\n", encoding="utf-8")
    pretended.run()
    assert (
        "not on ssh://deploy@server:2222, because it is in no commit: docker-compose.yml"
        in pretended.told
    )


@pytest.mark.parametrize("typed", [None, "HEAD", "main", "HEAD~0"])
def test_the_commit_is_what_it_is_here(pretended, typed):
    _, there = pretended.run("deploy", given={"sha": typed, "wait": 0.0}, defaults={"wait": 0.0})
    assert there["argv"] == ["deploy", f"--sha={head(pretended)}"]


def test_an_earlier_commit_is_there_for_its_compose_file(server):
    earlier = head(server)
    server.commit()
    server.run("deploy", given={"sha": earlier[:12]})
    repository = server.base / "repository.git"
    assert git(repository, "cat-file", "-t", earlier) == "commit"
    assert head(server) != earlier


def test_a_full_hash_need_not_be_here(pretended):
    _, there = pretended.run("deploy", given={"sha": "ab" * 20})
    assert there["argv"] == ["deploy", f"--sha={'ab' * 20}"]


@pytest.mark.parametrize("typed", ["nope", "--upload-pack=x", "a b"])
def test_an_unknown_commit_is_refused_before_anything_is_done(pretended, typed):
    with pytest.raises(UsageError):
        pretended.run("deploy", given={"sha": typed})
    assert pretended.calls == []


@pytest.mark.parametrize("typed", ["abc1234", "abc1234-0123abcd"])
def test_a_release_is_named_as_it_is_known_there(pretended, typed):
    _, there = pretended.run("rollback", given={"to": typed})
    assert there["argv"] == ["rollback", f"--to={typed}"]


def test_a_release_may_be_named_by_a_branch_of_ours(pretended):
    _, there = pretended.run("rollback", given={"to": "main"})
    assert there["argv"] == ["rollback", f"--to={head(pretended)}"]
    _, there = pretended.run("rollback", given={"to": None})
    assert there["argv"] == ["rollback"]


@pytest.mark.parametrize(
    ("given", "defaults", "expected"),
    [
        ({"yes": True, "json": False}, {"yes": False, "json": False}, ["--yes"]),
        ({"yes": False}, {"yes": True}, ["--no-yes"]),
        ({"wait": 1.5, "limit": 20}, {"wait": 0.0, "limit": 20}, ["--wait=1.5"]),
        ({"dry_run": True, "with_": "-x"}, {}, ["--dry-run", "--with=-x"]),
        ({"grep": None, "since": "10 m"}, {}, ["--since=10 m"]),
        ({"only": ["a", "b"]}, {}, ["--only=a", "--only=b"]),
        ({"action": "install"}, {}, ["--action=install"]),
    ],
)
def test_arguments_are_typed_again(given, defaults, expected):
    assert flags(given, defaults) == expected


def test_what_is_set_here_goes_along_and_nothing_else(pretended):
    given = {
        "PIPELINE_REPLICAS": "2",
        "PIPELINE_STATE_DIR": "~/state",
        "PIPELINE_REQUIRED_ENV": "A,B",
        "PIPELINE_STANDBY": "0.5",
        "PIPELINE_RUNNER_SHA256": "ab" * 32,
        "PIPELINE_HOOKS": '{"pre-deploy": ["echo \'a b\'"]}',
    }
    _, there = pretended.run("status", given)
    home = there["env"].pop("PIPELINE_STATE_DIR")
    assert home.endswith("/state")
    assert there["env"].pop("PIPELINE_HOOKS") == given["PIPELINE_HOOKS"]
    assert there["env"].pop("PIPELINE_ENV_FILE") == "/base/.env"
    there["env"].pop("PIPELINE_HOST", None)
    plain = {name: given[name] for name in there["env"] if name != "PIPELINE_APP"}
    assert there["env"] == {"PIPELINE_APP": "tried", **plain}
    assert len(plain) == 4


def test_a_folder_of_our_home_is_one_of_the_home_there(pretended, tmp_path):
    _, there = pretended.run("status", {"PIPELINE_STATE_DIR": str(tmp_path / "me/state")})
    assert there["env"]["PIPELINE_STATE_DIR"] == "~/state"


def test_a_state_folder_in_the_checkout_is_refused(pretended):
    pretended.environ["PIPELINE_STATE_DIR"] = str(pretended.root / "state")
    with pytest.raises(UsageError, match="is in this checkout"):
        pretended.run("status")


def test_after_a_change_of_users_ssh_connects_anew(pretended):
    pretended.run("host", given={"yes": True})
    assert pretended.calls[-1] == "close"
    pretended.run("status")
    assert pretended.calls[-1] != "close"


def test_secrets_go_along_and_are_in_no_command_line(server):
    names = ("PIPELINE_REGISTRY_PASSWORD", "PIPELINE_RUNNER_TOKEN", "ENV_FILE")
    given = dict.fromkeys(names, f"A={SECRET}")
    _, there = server.run("deploy", given, given={"sha": None})
    assert {name: there["env"][name] for name in names} == given
    assert SECRET not in "\n".join(server.calls)
    kept = [path for path in server.base.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)


def test_the_content_of_our_env_file_goes_along(pretended, tmp_path):
    named = tmp_path / "named"
    named.write_text(ENV, encoding="utf-8")
    _, there = pretended.run("deploy", given={"sha": None, "env_file": str(named)})
    assert there["env"]["ENV_FILE"] == ENV
    assert not any("env-file" in word for word in there["argv"])
    (pretended.root / ".env").write_text("A=1\n", encoding="utf-8")
    assert pretended.run("deploy", given={"sha": None})[1]["env"]["ENV_FILE"] == "A=1\n"
    assert "ENV_FILE" not in pretended.run("rollback")[1]["env"]


def test_an_env_file_that_cannot_be_read_is_refused_here(pretended, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        pretended.run("deploy", given={"sha": None, "env_file": str(tmp_path / "nothing")})
    (pretended.root / ".env").write_text("no assignment\n", encoding="utf-8")
    with pytest.raises(UsageError, match="malformed"):
        pretended.run("deploy", given={"sha": None})
    assert pretended.calls == []


def test_a_file_to_be_checked_is_one_of_ours(server, tmp_path):
    path = tmp_path / "candidate"
    path.write_text(ENV, encoding="utf-8")
    path.chmod(0o640)
    _, there = server.run("env", given={"check": str(path), "json": True})
    assert there["files"] == [[ENV, 0o640]]
    assert there["argv"][:2] == ["env", "--json"]
    assert there["argv"][2].endswith("/candidate")
    with pytest.raises(UsageError, match="cannot be read"):
        server.run("env", given={"check": str(tmp_path)})


def test_what_people_talk_to_has_our_streams_and_no_secret(server):
    words = ["sh", "-c", "echo 'a  b' $HOME; exit"]
    given = {"PIPELINE_REGISTRY_PASSWORD": SECRET, "PIPELINE_PORT": "8007"}
    code, there = server.run("exec", given, given={"service": "web"}, remainder=words)
    assert code == 7
    assert there["argv"] == ["exec", "--service=web", "--", *words]
    assert there["env"]["PIPELINE_PORT"] == "8007"
    assert there["env"].get("PIPELINE_HOST", "local") == "local"
    assert "PIPELINE_REGISTRY_PASSWORD" not in there["env"]
    assert " -T " in server.calls[-1]
    server.run("exec", terminal=True)
    assert " -t " in server.calls[-1]


@pytest.mark.parametrize("ending", ["exit 255", "kill -9 $$"])
def test_a_connection_that_is_lost_is_not_the_commands_end(server, ending):
    server.run()
    server.first(f'[ $(grep -c -- " -T " "$SERVER/calls") -eq 5 ] && {ending}\n')
    with pytest.raises(UnavailableError, match="connection to deploy@server was lost") as caught:
        server.run("deploy", given={"sha": None})
    assert "invoke resume" in caught.value.hint


def test_a_repository_that_keeps_nothing_is_named(server):
    server.run()
    server.commit()
    shutil.rmtree(server.base / "repository.git/objects")
    with pytest.raises(UnavailableError) as caught:
        server.run()
    assert "ssh" in caught.value.hint


def test_what_is_kept_there_is_for_its_user_only(server):
    server.run()
    assert stat.S_IMODE(server.base.stat().st_mode) == 0o700
