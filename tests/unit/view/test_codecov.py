import pytest

from pipeline import settings, shell
from pipeline.errors import UsageError
from pipeline.view import codecov, oidc
from pipeline.view.github import Event

SHA = "6d44cd4b1c3f" + 28 * "0"


@pytest.fixture
def started(monkeypatch):
    """Return what would have been started, instead of starting it."""
    calls = []
    monkeypatch.setattr(shell, "run", lambda argv, **options: calls.append((argv, options)))
    return calls


@pytest.fixture
def upload(tmp_path, started):
    """Upload, and return the argv and the options of what would have been started."""
    (tmp_path / "coverage.xml").touch()

    def call(*, event=None, **environ):
        given = settings.load(environ={"CODECOV_TOKEN": "sentinel", **environ})
        codecov.upload(given, sha=SHA, event=event, report=print, cwd=tmp_path)
        return started.pop()

    return call


def event(**changes):
    given = {"name": "push", "commit": SHA, "branch": "main", "number": None, "fork": False}
    return Event(**{**given, "base": None, **changes})


FORK = event(name="pull_request", branch="them:topic", number=12, fork=True)


def test_it_uploads_this_file_for_this_commit(tmp_path, upload):
    argv, options = upload()
    line = " ".join(argv)
    assert f"--disable-search --file coverage.xml --sha {SHA}" in line
    assert "--fail-on-error" in line
    for guessed in ("--url", "--branch", "--pr"):
        assert guessed not in line
    assert options["cwd"] == tmp_path


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (event(), ["--branch=main"]),
        (event(branch=None), []),
        (FORK, ["--branch=them:topic", "--pr=12"]),
    ],
)
def test_branch_and_pull_request_are_the_events(event, words, upload):
    argv, _options = upload(event=event)
    assert argv[argv.index(SHA) + 1 :] == words


def test_the_token_is_in_the_environment_only(upload):
    argv, options = upload()
    assert options.pop("env") == {"CODECOV_TOKEN": "sentinel"}
    assert "sentinel" not in repr((argv, options))


def test_an_own_server_is_used(upload):
    argv, _options = upload(PIPELINE_CODECOV_URL="https://codecov.example")
    assert argv[argv.index("--url") + 1] == "https://codecov.example"


@pytest.mark.parametrize("own", ["", "https://codecov.example"])
def test_githubs_proof_goes_before_the_token(own, upload, monkeypatch):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://token.example")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "key")
    monkeypatch.setattr(
        oidc, "fetch", lambda _url, _key, audience: settings.Secret(f"proof for {audience}")
    )
    _argv, options = upload(PIPELINE_CODECOV_URL=own)
    assert options["env"] == {"CODECOV_TOKEN": f"proof for {own or 'https://codecov.io'}"}
    assert [secret.reveal() for secret in options["secrets"]] == [*options["env"].values()]


def test_a_fork_needs_no_token(upload):
    _argv, options = upload(event=FORK, CODECOV_TOKEN="")
    assert options["env"] == {}


@pytest.mark.parametrize("given", [None, event()])
def test_no_token_says_which_variable(given, upload, started):
    with pytest.raises(UsageError) as caught:
        upload(event=given, CODECOV_TOKEN="")
    assert "CODECOV_TOKEN" in caught.value.hint
    assert started == []


def test_no_report_says_what_writes_it(tmp_path, upload, started):
    (tmp_path / "coverage.xml").unlink()
    with pytest.raises(UsageError) as caught:
        upload()
    assert "nox -s tests" in caught.value.hint
    assert started == []
