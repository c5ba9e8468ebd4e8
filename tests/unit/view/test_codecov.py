import pytest

from pipeline import settings, shell
from pipeline.errors import UsageError
from pipeline.view import codecov

SHA = "6d44cd4b1c3f" + 28 * "0"


@pytest.fixture
def started(monkeypatch):
    """Return what would have been started, instead of starting it."""
    calls = []
    monkeypatch.setattr(shell, "run", lambda argv, **options: calls.append((argv, options)))
    return calls


def load(**environ):
    return settings.load(environ={"CODECOV_TOKEN": "sentinel", **environ})


def test_it_uploads_this_file_for_this_commit(tmp_path, started):
    (tmp_path / "coverage.xml").touch()
    codecov.upload(load(), sha=SHA, report=print, cwd=tmp_path)
    ((argv, options),) = started
    line = " ".join(argv)
    assert f"--disable-search --file coverage.xml --sha {SHA}" in line
    assert "--fail-on-error" in line
    assert "--url" not in line
    assert options["cwd"] == tmp_path


def test_the_token_is_in_the_environment_only(tmp_path, started):
    (tmp_path / "coverage.xml").touch()
    codecov.upload(load(), sha=SHA, report=print, cwd=tmp_path)
    ((argv, options),) = started
    assert options.pop("env") == {"CODECOV_TOKEN": "sentinel"}
    assert "sentinel" not in repr((argv, options))


def test_an_own_server_is_used(tmp_path, started):
    (tmp_path / "coverage.xml").touch()
    own = load(PIPELINE_CODECOV_URL="https://codecov.example")
    codecov.upload(own, sha=SHA, report=print, cwd=tmp_path)
    ((argv, _options),) = started
    assert argv[argv.index("--url") + 1] == "https://codecov.example"


def test_no_token_says_which_variable(tmp_path, started):
    (tmp_path / "coverage.xml").touch()
    with pytest.raises(UsageError) as caught:
        codecov.upload(load(CODECOV_TOKEN=""), sha=SHA, report=print, cwd=tmp_path)
    assert "CODECOV_TOKEN" in caught.value.hint
    assert started == []


def test_no_report_says_what_writes_it(tmp_path, started):
    with pytest.raises(UsageError) as caught:
        codecov.upload(load(), sha=SHA, report=print, cwd=tmp_path)
    assert "nox -s tests" in caught.value.hint
    assert started == []
