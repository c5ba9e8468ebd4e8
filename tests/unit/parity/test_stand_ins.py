"""The scripts that stand in for actions/upload-artifact and actions/download-artifact."""

import subprocess

import pytest

from pipeline.parity.act import STAND_INS


@pytest.fixture
def job(tmp_path):
    """Run a script as a job would; return its exit code and what it said."""
    (tmp_path / "job").mkdir(exist_ok=True)

    def run(script, **environ):
        ran = subprocess.run(
            ["sh", STAND_INS / "actions" / script],
            cwd=tmp_path / "job",
            env={"PATH": "/usr/bin:/bin", "ACT_ARTIFACTS": str(tmp_path / "artifacts"), **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    return run


@pytest.fixture
def upload(job):
    def run(name="reports-tests", path="reports/", if_none="warn"):
        return job("upload-artifact/upload.sh", NAME=name, FROM=path, IF_NONE=if_none)

    return run


@pytest.fixture
def download(job, tmp_path):
    def run(name="", pattern="", merge="true", to="got"):
        code, said = job(
            "download-artifact/download.sh", NAME=name, PATTERN=pattern, MERGE=merge, TO=to
        )
        assert code == 0, said
        return files(tmp_path / "job" / to)

    return run


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "job/reports"
    write(folder, "tests.xml", "coverage/1a/tests", ".hidden", "coverage/.hidden/x")
    return folder


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_without_itself_and_what_is_hidden(reports, upload, download):
    code, said = upload()
    assert code == 0
    assert "2 file(s)" in said
    assert download(name="reports-tests") == {"tests.xml", "coverage/1a/tests"}


def test_a_pattern_brings_all_that_match_into_one_folder(reports, upload, download):
    upload("reports-tests")
    write(reports, "e2e.xml")
    (reports / "tests.xml").unlink()
    upload("reports-e2e")
    upload("other")
    got = download(pattern="reports-*", to="reports/merged")
    assert got == {"tests.xml", "e2e.xml", "coverage/1a/tests"}


def test_without_merging_each_has_a_folder_of_its_own(reports, upload, download):
    upload("reports-tests")
    got = download(pattern="reports-*", merge="false")
    assert got == {"reports-tests/tests.xml", "reports-tests/coverage/1a/tests"}
    assert download(merge="false", to="all") == got


def test_a_pattern_that_matches_nothing_brings_nothing(reports, upload, download):
    assert download(pattern="reports-*") == set()
    upload("other")
    assert download(pattern="reports-*") == set()


def test_a_name_that_nobody_has_kept_is_an_error(job):
    code, said = job("download-artifact/download.sh", NAME="x", PATTERN="", MERGE="", TO=".")
    assert code == 1
    assert "::error::" in said
    assert "'x'" in said


def test_one_file_is_kept_by_its_name(reports, upload, download):
    assert upload(path="reports/tests.xml\n")[0] == 0
    assert download(name="reports-tests") == {"tests.xml"}


@pytest.mark.parametrize("if_none", ["warn", "ignore", "error"])
@pytest.mark.parametrize("path", ["only-hidden/", "nothing/at/all"])
def test_nothing_to_keep(reports, upload, path, if_none):
    write(reports.with_name("only-hidden"), ".hidden")
    code, said = upload(path=path, if_none=if_none)
    assert code == (if_none == "error")
    assert ("no file" in said) == (if_none != "ignore")
    assert list(reports.parents[1].glob("artifacts/*")) == []


def test_a_name_can_be_given_once(reports, upload):
    assert upload()[0] == 0
    code, said = upload()
    assert code == 1
    assert "already" in said


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:b", "a*", "a\\b"])
def test_what_cannot_be_a_name(reports, upload, name):
    code, said = upload(name)
    assert code == 1
    assert "cannot be the name" in said


@pytest.mark.parametrize("path", ["reports/*.xml", "reports/\nother/", "!reports"])
def test_what_this_cannot_keep_is_said(reports, upload, path):
    code, said = upload(path=path)
    assert code == 1
    assert "only a file or a folder" in said


def test_a_stand_in_fetches_nothing_itself():
    texts = {path: path.read_text(encoding="utf-8") for path in STAND_INS.rglob("action.yml")}
    assert len(texts) == 5
    for path, text in texts.items():
        assert "using: composite" in text, path
        assert "uses:" not in text, path
