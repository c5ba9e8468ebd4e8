"""codecov-cli itself, against a server on loopback that writes down what it gets."""

import pytest

from pipeline import settings, shell
from pipeline.errors import CommandError
from pipeline.view import codecov
from tests.e2e.support import codecov as servers

SHA = "6d44cd4b1c3f" + 28 * "0"
TOKEN = "sentinel-token"


@pytest.fixture
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def checkout(tmp_path):
    remote = "https://github.com/Some/Repository.git"
    shell.run(["git", "init", "--quiet", "."], cwd=tmp_path, timeout=10)
    shell.run(["git", "remote", "add", "origin", remote], cwd=tmp_path, timeout=10)
    (tmp_path / "coverage.xml").write_text("<coverage/>")
    return tmp_path


def load(server):
    return settings.load(environ={"CODECOV_TOKEN": TOKEN, "PIPELINE_CODECOV_URL": server.url})


def test_the_report_arrives_for_the_commit(server, checkout):
    lines = []
    codecov.upload(load(server), sha=SHA, report=lines.append, cwd=checkout)
    (path, authorization, commit), (_raw, none, upload) = server.requests
    assert path == "/upload/github/Some::::Repository/upload-coverage"
    assert authorization == f"token {TOKEN}"
    assert commit["commitid"] == SHA
    assert none is None, "the storage gets no token"
    files = [file["filename"] for file in upload["coverage_files"]]
    assert files == [str(checkout / "coverage.xml")]
    assert TOKEN not in "\n".join(lines)


def test_a_refused_upload_is_an_error_that_shows_no_token(server, checkout):
    server.status = 401
    with pytest.raises(CommandError) as caught:
        codecov.upload(load(server), sha=SHA, report=lambda _line: None, cwd=checkout)
    assert "Upload queued for processing failed" in caught.value.details
    assert TOKEN not in repr(caught.value.as_dict())
