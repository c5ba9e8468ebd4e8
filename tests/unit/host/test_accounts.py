"""The user that deploys: who can be one, and what it is given."""

import stat

import pytest

from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.host import accounts
from pipeline.host.accounts import Folder, Group, Join, Make


def keys(name="deploy"):
    return Folder(path=accounts.Path(".ssh"), owner=name, what="folder of keys")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("root", "can do everything"),
        ("backup", "one of the system's own users (number 34)"),
        ("nobody", "one of the system's own users (number 65534)"),
        ("sudo", "a group of that name exists"),
        ("", "no name of a user"),
        ("-rf", "no name of a user"),
        ("Deploy", "no name of a user"),
        ("deploy\n", "no name of a user"),
        ("x" * 33, "no name of a user"),
    ],
)
def test_who_cannot_work_for_the_pipeline_is_refused(people, name, why):
    with pytest.raises(UsageError) as caught:
        accounts.refuse(name)
    assert why in caught.value.message
    assert "another name" in caught.value.hint
    assert people.did == []


def test_another_user_of_roots_number_is_root(people):
    people.add("toor", uid=0)
    with pytest.raises(UsageError, match="runs as root"):
        accounts.refuse("toor")


def test_a_user_without_a_home_is_named(people):
    people.add("deploy", home=False)
    with pytest.raises(UsageError, match="has no home folder") as caught:
        accounts.refuse("deploy")
    assert "mkhomedir_helper deploy" in caught.value.hint


def test_a_home_that_we_may_not_see_is_one(people, monkeypatch):
    def refuse(_):
        raise PermissionError

    people.add("deploy")
    monkeypatch.setattr(accounts.Path, "is_dir", refuse)
    accounts.refuse("deploy")


@pytest.mark.parametrize("name", ["deploy", "_web", "ci-7"])
def test_any_other_name_will_do(people, name):
    accounts.refuse(name)
    people.add(name)
    accounts.refuse(name)


def test_a_user_is_made_and_put_in_the_engines_group(people, said):
    for step in (Make(name="deploy"), Join(name="deploy")):
        step.do(said.append)
    assert people.did == [
        "useradd --create-home --user-group --shell /bin/bash deploy",
        "gpasswd --add deploy docker",
    ]
    assert said[0].endswith("/deploy/.ssh/authorized_keys")
    assert "next login" in said[1]
    found = accounts.find("deploy")
    assert found.groups == ("docker", "deploy")


def test_a_missing_group_is_made(people, said):
    del people.groups["docker"]
    assert not accounts.group_exists("docker")
    Group().do(said.append)
    assert people.did == ["groupadd --system docker"]
    assert accounts.group_exists("docker")


def test_what_would_be_done_says_that_the_group_equals_root():
    assert "as good as root" in str(Group())
    assert "as good as root" in str(Join(name="deploy"))
    assert "without a password" in str(Make(name="deploy"))
    assert "~deploy/.ssh, deploy's alone" in str(keys())


def test_what_the_system_refuses_is_shown(people, said, machine):
    machine.commands.plan("useradd", "useradd: cannot lock /etc/passwd\n", code=1)
    with pytest.raises(UnavailableError, match="users could not be changed") as caught:
        Make(name="deploy").do(said.append)
    assert "cannot lock /etc/passwd" in caught.value.details
    machine.commands.plan("useradd", CommandError("`useradd` is not installed or not on PATH."))
    with pytest.raises(UnavailableError, match="not installed"):
        Make(name="deploy").do(said.append)


def test_a_user_that_did_not_come_to_be_is_an_error(people, said, machine):
    machine.commands.plan("useradd")
    with pytest.raises(UnavailableError, match="deploy is not there"):
        Make(name="deploy").do(said.append)


def test_in_a_home_a_folder_is_made_as_its_owner(people, said):
    people.add("deploy")
    assert keys().lacks()
    keys().do(said.append)
    assert people.did == [
        "runuser --user deploy -- mkdir --parents --mode=0700 -- deploy/.ssh",
        "runuser --user deploy -- chmod 0700 -- deploy/.ssh",
    ]
    assert not keys().lacks()


def test_elsewhere_a_folder_is_made_for_its_owner(people, said, tmp_path):
    people.add("deploy")
    folder = Folder(path=tmp_path / "state", owner="deploy", what="state folder")
    assert folder.lacks()
    folder.do(said.append)
    (line,) = people.did
    assert line.startswith("install --directory --mode=0700 --owner=deploy --group=")
    assert not folder.lacks()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o500])
def test_a_folder_that_is_open_to_others_is_closed(people, said, mode):
    people.ready("deploy")
    folder = people.homes / "deploy/.ssh"
    folder.chmod(mode)
    assert keys().lacks()


def test_a_folder_of_a_user_that_is_not_there_is_lacking(people):
    assert keys().lacks()


def test_a_file_in_the_folders_place_is_left_alone(people):
    people.add("deploy")
    (people.homes / "deploy/.ssh").write_text("mine")
    with pytest.raises(UsageError, match="is there, and no folder"):
        keys().lacks()
    below = Folder(path=accounts.Path(".ssh/below"), owner="deploy", what="state folder")
    with pytest.raises(UsageError, match="on the way to it is no folder"):
        below.lacks()


def test_somebody_elses_state_is_left_alone(people):
    people.ready("deploy")
    people.owner = 0
    state = people.homes / "deploy/.local/state/panager"
    folder = Folder(path=state, owner="deploy", what="state folder")
    assert folder.lacks(), "an empty one is given to its owner"
    (state / "ledger.db").touch()
    with pytest.raises(UsageError, match="belongs to root and is not empty") as caught:
        folder.lacks()
    assert f"chown -R deploy: {state}" in caught.value.hint
    assert "./bin/invoke down" in caught.value.hint
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_an_owner_without_a_name_is_a_number(people):
    people.ready("deploy")
    people.owner = 4711
    (people.homes / "deploy/.ssh/config").touch()
    with pytest.raises(UsageError, match="the user of number 4711"):
        keys().lacks()


def test_what_we_may_not_see_is_not_called_lacking(people, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    people.add("deploy")
    monkeypatch.setattr(accounts.Path, "stat", refuse)
    assert not keys().lacks()
