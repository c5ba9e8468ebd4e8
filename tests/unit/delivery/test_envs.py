"""What is told of environments: keys, and never a value."""

import json

import pytest

from pipeline import envs
from pipeline.errors import PipelineError, UnavailableError, UsageError
from tests.unit.delivery.conftest import A, B, Host

NONE = {"added": [], "removed": [], "changed": []}


@pytest.fixture
def releases(host: Host):
    """Releases that were live, oldest first; what each has is in its comment."""
    made = [host.deploy(A)]  # KEY, DB_PASSWORD
    host.env |= {"EMPTY": "", "DB_PASSWORD": "another-secret"}
    made.append(host.deploy(A))  # and EMPTY
    del host.env["DB_PASSWORD"]
    made.append(host.deploy(B))  # KEY, EMPTY
    return [each.release for each in made]


@pytest.fixture
def parts(host):
    return host.delivery()


@pytest.fixture
def check(host, parts):
    """Check the text of an env file."""

    def check(text, mode=0o600):
        path = host.folder / "new.env"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return envs.check(parts, path)

    return check


def changes(found):
    return {how: found[how] for how in NONE}


def test_the_keys_of_the_live_release(host, parts, releases):
    assert envs.keys(parts) == {
        "release": releases[2].id,
        "sha": B,
        "source": str(host.folder / f"state/releases/{releases[2].id}/env"),
        "keys": [{"key": "EMPTY", "empty": True}, {"key": "KEY", "empty": False}],
    }


@pytest.mark.parametrize("ask", [envs.keys, envs.live_release])
def test_where_nothing_is_live(parts, ask):
    with pytest.raises(PipelineError, match="Nothing is live") as caught:
        ask(parts)
    assert caught.value.exit_code == 1
    assert "invoke deploy" in caught.value.hint


def test_where_nothing_was_ever_live_nothing_can_be_compared(parts):
    with pytest.raises(UsageError, match="was ever live here") as caught:
        envs.differences(parts, A)
    assert caught.value.hint == "These can be had: none."


def test_a_release_is_compared_with_the_live_one(parts, releases):
    found = envs.differences(parts, releases[0].id)
    assert found["from"] == {"release": releases[0].id, "sha": A}
    assert found["to"] == {"release": releases[2].id, "sha": B}
    assert changes(found) == {"added": ["EMPTY"], "removed": ["DB_PASSWORD"], "changed": []}


def test_two_releases_are_compared_with_each_other(parts, releases):
    found = envs.differences(parts, releases[0].id, releases[1].id)
    assert changes(found) == {"added": ["EMPTY"], "removed": [], "changed": ["DB_PASSWORD"]}
    assert "secret" not in json.dumps(found)


def test_of_a_commit_it_is_the_last_release(parts, releases):
    assert envs.differences(parts, A[:4])["from"]["release"] == releases[1].id
    assert envs.differences(parts, A, B[:12])["to"]["release"] == releases[2].id


@pytest.mark.parametrize(
    "named", ["", "aaa", "HEAD", "../..", "c" * 40, "ccccccc-00000000", "A" * 7]
)
def test_a_release_that_never_was_is_refused_with_those_that_were(parts, releases, named):
    with pytest.raises(UsageError, match="was ever live here") as caught:
        envs.differences(parts, named)
    assert A[:12] in caught.value.hint
    assert B[:12] in caught.value.hint


def test_a_shortened_commit_has_to_be_one(host, parts):
    near = "a" * 39 + "b"
    host.deploy(A)
    host.break_image(near)
    host.env["EMPTY"] = ""
    host.deploy(near)
    with pytest.raises(UsageError, match="more than one commit") as caught:
        envs.differences(parts, "aaaa")
    assert near in caught.value.hint


def test_files_that_are_gone_are_named(host, parts, releases):
    (host.folder / f"state/releases/{releases[0].id}/env").unlink()
    with pytest.raises(UnavailableError, match="cannot be read"):
        envs.differences(parts, releases[0].id)


def test_a_good_file(check, releases, host):
    found = check("KEY=value\nEMPTY=\n")
    assert found["file"] == str(host.folder / "new.env")
    assert found["keys"] == ["EMPTY", "KEY"]
    assert found["problems"] == found["warnings"] == []
    assert found["live"] == {"release": releases[2].id, "sha": B}
    assert changes(found) == NONE


def test_before_the_first_deployment_there_is_nothing_to_compare_with(check):
    found = check("KEY=1\n")
    assert found["live"] is None
    assert changes(found) == NONE


def test_a_file_is_compared_with_the_live_release(check, releases):
    found = check("KEY=sentinel\nMORE=sentinel\n")
    assert changes(found) == {"added": ["MORE"], "removed": ["EMPTY"], "changed": ["KEY"]}
    assert "sentinel" not in json.dumps(found)


def test_every_problem_is_told_with_its_line(check):
    found = check(
        "# comment\n\nGOOD='two\nlines'\n\nsecret words\n  export FINE=1 # why\nALONE\n=5\n"
        'BAD-NAME=1\nOPEN="secret\nLAST=1'
    )
    assert found["keys"] == ["FINE", "GOOD", "LAST"]
    assert found["problems"] == [
        "line 6: that is not KEY=value",
        "line 8: that is not KEY=value",
        "line 9: that is not KEY=value",
        "line 10: that is not KEY=value",
        "line 11: that is not KEY=value",
        "KEY is required and has no value",
    ]


def test_a_value_that_is_no_text_is_a_problem(check):
    assert check("KEY=1\nNUL=a\0b\n")["problems"] == ["line 2: the value of NUL is not text"]


def test_as_an_editor_on_windows_saves_it(check):
    assert check(b"\xef\xbb\xbfKEY=1\r\nbad line\r\n")["problems"] == [
        "line 2: that is not KEY=value"
    ]


@pytest.mark.parametrize("line", ["KEY=", "KEY=''", "# KEY=1"])
def test_a_required_key_needs_a_value(check, line):
    assert check(f"{line}\n")["problems"] == ["KEY is required and has no value"]


def test_a_key_that_is_there_twice(check):
    assert check("KEY=1\n\nB=2\nKEY=3\n")["warnings"] == [
        "line 4: KEY is also at line 1; this one counts"
    ]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_or_change(check, mode):
    (warning,) = check("KEY=1\n", mode)["warnings"]
    assert f"mode {mode:04o}" in warning
    assert "chmod 600" in warning


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_s_alone(check, mode):
    assert check("KEY=1\n", mode)["warnings"] == []


def test_a_file_that_cannot_be_read(host, parts, check):
    with pytest.raises(UsageError, match="No such file"):
        envs.check(parts, host.folder / "nowhere")
    with pytest.raises(UsageError, match="Is a directory"):
        envs.check(parts, host.folder)
    with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 4\)"):
        check(b"KEY=\xff\n")
