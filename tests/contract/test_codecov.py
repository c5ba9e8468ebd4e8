"""codecov-cli itself, against a server on loopback that writes down what it gets."""

import json
import os

import pytest
from invoke.context import Context

import tasks
from pipeline import settings, shell
from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.view import codecov, github, oidc
from tests.e2e.support import codecov as servers

SHA, MERGE, BASE = "6d44cd4b1c3f" + 28 * "0", "e" * 40, "b" * 40
TOKEN, KEY = "sentinel-token", "sentinel-key"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "ACTIONS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def server():
    with servers.running() as running:
        yield running


@pytest.fixture
def checkout(tmp_path):
    remote = "https://github.com/Some/Repository.git"
    commit = ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--allow-empty"]
    for argv in (["init", "-q", "-b", "topic"], [*commit, "-q", "-m", "one"]):
        shell.run(["git", *argv], cwd=tmp_path, timeout=10)
    shell.run(["git", "remote", "add", "origin", remote], cwd=tmp_path, timeout=10)
    (tmp_path / "coverage.xml").write_text("<coverage/>")
    return tmp_path


@pytest.fixture
def head(checkout):
    return shell.run(["git", "rev-parse", "HEAD"], cwd=checkout, timeout=10).stdout.strip()


@pytest.fixture
def on_github(tmp_path, monkeypatch):
    """Make this a run of GitHub's for an event."""

    def run(name, payload, ref):
        path = tmp_path / "event.json"
        path.write_text(json.dumps(payload))
        given = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_REPOSITORY": "Some/Repository",
            "GITHUB_REF": ref,
            "GITHUB_HEAD_REF": payload.get("pull_request", {}).get("head", {}).get("ref", ""),
            "GITHUB_SHA": MERGE,
        }
        for variable, value in given.items():
            monkeypatch.setenv(variable, value)

    return run


@pytest.fixture
def upload(server, checkout, monkeypatch, capsys):
    """Do what the command does, errors left as they are; return what was shown."""

    def call(token=TOKEN, sha=None):
        monkeypatch.setattr(settings.Settings, "root", checkout)
        monkeypatch.setenv("CODECOV_TOKEN", token)
        monkeypatch.setenv("PIPELINE_CODECOV_URL", server.url)
        tasks.coverage_upload.body.__wrapped__(Context(), sha=sha)
        return "".join(capsys.readouterr())

    return call


@pytest.fixture
def offered(server, monkeypatch):
    """Have GitHub offer an identity token."""
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.url}/identity?api-version=1")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", KEY)
    monkeypatch.setattr(oidc, "PAUSES", (0.0, 0.0))


def pull(owner):
    return {
        "pull_request": {
            "number": 12,
            "head": {
                "sha": SHA,
                "ref": "topic",
                "label": f"{owner}:topic",
                "repo": {"full_name": f"{owner}/Repository"},
            },
            "base": {"sha": BASE, "repo": {"full_name": "Some/Repository"}},
        }
    }


def test_the_report_arrives_for_the_commit(server, checkout, head, upload):
    said = upload()
    (path, authorization, commit), (_raw, none, sent) = server.requests
    assert path == "/upload/github/Some::::Repository/upload-coverage"
    assert authorization == f"token {TOKEN}"
    assert (commit["commitid"], commit["branch"], commit["pullid"]) == (head, "topic", None)
    assert none is None, "the storage gets no token"
    files = [file["filename"] for file in sent["coverage_files"]]
    assert files == [str(checkout / "coverage.xml")]
    assert TOKEN not in said


def test_the_commit_that_is_named_need_not_be_here(server, on_github, upload):
    on_github("push", {"before": BASE}, "refs/heads/feature/x")
    upload(sha=SHA)
    assert server.requests[0][2]["commitid"] == SHA


def test_a_push(server, on_github, upload):
    on_github("push", {"before": BASE}, "refs/heads/feature/x")
    upload()
    commit = server.requests[0][2]
    assert (commit["commitid"], commit["branch"], commit["pullid"]) == (MERGE, "feature/x", None)


def test_a_pull_requests_commit_is_its_head_not_githubs_merge(server, on_github, upload):
    on_github("pull_request", pull("Some"), "refs/pull/12/merge")
    upload()
    path, authorization, commit = server.requests[0]
    assert path == "/upload/github/Some::::Repository/upload-coverage"
    assert authorization == f"token {TOKEN}"
    assert (commit["commitid"], commit["branch"], commit["pullid"]) == (SHA, "topic", "12")


def test_a_fork_uploads_without_a_token_as_its_owners_branch(server, on_github, upload):
    on_github("pull_request", pull("them"), "refs/pull/12/merge")
    upload(token="")
    path, authorization, commit = server.requests[0]
    assert path == "/upload/github/Some::::Repository/upload-coverage"
    assert authorization is None
    assert (commit["commitid"], commit["branch"], commit["pullid"]) == (SHA, "them:topic", "12")


def test_without_a_token_a_push_is_refused_here(server, on_github, upload):
    on_github("push", {"before": BASE}, "refs/heads/feature/x")
    with pytest.raises(UsageError, match="no token"):
        upload(token="")
    assert server.requests == []


def test_githubs_proof_of_identity_goes_before_the_token(server, on_github, offered, upload):
    on_github("push", {"before": BASE}, "refs/heads/feature/x")
    said = upload()
    assert server.identities == [(server.url, f"Bearer {KEY}")]
    assert server.requests[0][1] == f"token {servers.PROOF}"
    everything = said + json.dumps([body for _path, _authorization, body in server.requests])
    for secret in (TOKEN, KEY, servers.PROOF):
        assert secret not in everything


def test_codecovs_own_server_has_its_own_audience(server, offered):
    assert github.oidc_token("https://codecov.io").reveal() == servers.PROOF
    assert server.identities == [("https://codecov.io", f"Bearer {KEY}")]


@pytest.mark.parametrize(("status", "times"), [(403, 1), (503, 3), (302, 1)])
@pytest.mark.usefixtures("offered")
def test_an_identity_that_is_refused(status, times, server, upload):
    server.identity_status = status
    with pytest.raises(UnavailableError, match=f"answered {status}") as caught:
        upload()
    assert len(server.identities) == times, "nobody else gets the key"
    assert server.requests == []
    assert KEY not in repr(caught.value.as_dict())


def test_an_identity_that_never_comes(server, offered, upload, monkeypatch):
    monkeypatch.setattr(oidc, "TIMEOUT", 0.2)
    server.silent = True
    with pytest.raises(UnavailableError, match="timed out"):
        upload()
    assert server.requests == []


def test_nobody_gives_identities(offered, upload, monkeypatch):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/identity")
    with pytest.raises(UnavailableError, match="refused"):
        upload()


def test_a_key_that_is_none_is_not_shown(offered, upload, monkeypatch):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", f"{KEY}\nX-Evil: 1")
    with pytest.raises(UnavailableError, match="malformed") as caught:
        upload()
    assert KEY not in repr(caught.value.as_dict())


@pytest.mark.parametrize("status", [401, 404])
def test_a_refused_upload_is_an_error_that_shows_no_token(status, server, upload):
    server.status = status
    with pytest.raises(CommandError) as caught:
        upload()
    assert "Upload queued for processing failed" in caught.value.details
    assert TOKEN not in repr(caught.value.as_dict())


def test_codecov_in_trouble_is_asked_again_and_then_an_error(server, upload):
    server.status = 503
    with pytest.raises(CommandError) as caught:
        upload()
    assert len(server.requests) == 3
    assert "failed after too many retries" in caught.value.details
    assert "CODECOV_TOKEN" in caught.value.hint
    assert TOKEN not in repr(caught.value.as_dict())


def test_codecov_that_never_answers_has_a_deadline(server, upload, monkeypatch):
    monkeypatch.setattr(codecov, "TIMEOUT", 5.0)
    server.silent = True
    with pytest.raises(CommandError, match="did not finish within 5 s"):
        upload()
    assert len(server.requests) == 1


def test_no_report(checkout, server, offered, upload):
    (checkout / "coverage.xml").unlink()
    with pytest.raises(UsageError, match=r"no coverage\.xml"):
        upload()
    assert server.identities == []


def test_a_broken_event(tmp_path, server, on_github, upload):
    on_github("pull_request", pull("Some"), "refs/pull/12/merge")
    (tmp_path / "event.json").write_text("{")
    with pytest.raises(UsageError, match="event cannot be read"):
        upload()
    assert server.requests == []


def test_the_runners_keys_reach_no_program(offered, monkeypatch):
    for name in settings.RUNNER_KEYS:
        monkeypatch.setenv(name, KEY)
    assert KEY not in shell.run(["env"], timeout=10).stdout
