import base64
import hashlib
import json

import pytest

from pipeline.errors import CommandError, UsageError
from pipeline.parity import fingerprint
from pipeline.parity.fingerprint import Fingerprint


def install(folder, name, version, files):
    """Put a distribution's files and its list of them into an environment."""
    packages = folder / "lib/python3.11/site-packages"
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    rows = [f"{name}-{version}.dist-info/{each},," for each in ("RECORD", "INSTALLER")]
    (info / "INSTALLER").write_text(str(folder))
    for path, content in files.items():
        (packages / path).parent.mkdir(parents=True, exist_ok=True)
        (packages / path).write_text(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest())
        rows.append(f"{path},sha256={digest.decode().rstrip('=')},{len(content)}")
    (info / "RECORD").write_text("\n".join(rows) + "\n")


@pytest.fixture
def make(tmp_path):
    def make(place, *, text="1", version="1.0", python="3.11.7"):
        folder = tmp_path / place
        (folder / "bin").mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text(f"home = {folder}\nversion_info = {python}\n")
        script = {"../../../bin/tool": f"#!{folder}/bin/python\nimport tool\n"}
        install(folder, "tool", version, {"tool/__init__.py": text, **script})
        install(folder, "other", "2.0", {"other.py": ""})
        fingerprint.write(folder)
        return folder

    return make


def test_the_same_packages_are_the_same_wherever_they_are(make):
    here, there = fingerprint.read(make("here")), fingerprint.read(make("there"))
    assert here == there
    assert here.digest == there.digest
    assert here.python == "3.11.7"
    assert here.distributions["tool"]["version"] == "1.0"
    assert fingerprint.compare(here, there) == []


def test_each_difference_is_named(make):
    here = fingerprint.read(make("here"))
    there = fingerprint.read(make("there", text="2", python="3.11.9"))
    python, files = fingerprint.compare(here, there)
    assert python == {"what": "Python", "here": "3.11.7", "there": "3.11.9"}
    assert files["what"] == "files of tool 1.0"
    assert files["here"] != files["there"]
    assert here.digest != there.digest


def test_other_versions_and_packages_are_named():
    pinned = {"version": "1.0", "files": "sha256:1"}
    here = Fingerprint(python="3.11.7", distributions={"a": pinned, "b": pinned})
    there = Fingerprint(
        python="3.11.7", distributions={"a": {"version": "2.0", "files": "x"}, "c": pinned}
    )
    assert fingerprint.compare(here, there) == [
        {"what": "a", "here": "1.0", "there": "2.0"},
        {"what": "b", "here": "1.0", "there": "none"},
        {"what": "c", "here": "none", "there": "1.0"},
    ]


def test_a_file_that_is_not_as_its_package_lists_it_is_refused(make):
    folder = make("here")
    (folder / "lib/python3.11/site-packages/tool/__init__.py").write_text("poisoned")
    with pytest.raises(CommandError, match=r"tool/__init__\.py is not what") as caught:
        fingerprint.write(folder)
    assert "uv cache clean" in caught.value.hint


def test_reports_of_two_places_are_compared_by_session(tmp_path):
    pinned = {"version": "1.0", "files": "sha256:1"}
    for place, version in (("here", "1.0"), ("there", "2.0")):
        (tmp_path / place).mkdir()
        for session in ("lint", "tests", f"only-{place}"):
            held = {"tool": pinned | {"version": version if session == "tests" else "1.0"}}
            text = json.dumps({"python": "3.11.7", "distributions": held})
            (tmp_path / place / f"env-{session}.json").write_text(text)
    here, there = tmp_path / "here", tmp_path / "there"
    difference = {"session": "tests", "what": "tool", "here": "1.0", "there": "2.0"}
    assert fingerprint.compare_reports(here, there) == [difference]
    assert fingerprint.compare_reports(here, there / "env-tests.json") == [difference]
    assert fingerprint.compare_reports(here, there / "env-lint.json") == []
    with pytest.raises(UsageError, match="no session in common"):
        fingerprint.compare_reports(here, there / "env-only-there.json")


def test_where_no_session_ran_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(UsageError, match="There is no env-"):
        fingerprint.reports(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"python": "3", "distributions": {"a": {}}}', '{"distributions": 1}']
)
def test_what_is_no_fingerprint_is_said_to_be_none(tmp_path, text):
    (tmp_path / "env-lint.json").write_text(text)
    with pytest.raises(UsageError, match="There is no fingerprint in"):
        fingerprint.load(tmp_path / "env-lint.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"env-lint\.json"):
        fingerprint.load(tmp_path / "env-lint.json")
