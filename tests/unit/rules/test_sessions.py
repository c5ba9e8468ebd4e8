"""What a nox session sees of its caller."""

import noxfile


def test_a_session_can_reach_the_index_and_the_engine(monkeypatch):
    for name in ("HTTPS_PROXY", "no_proxy", "UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_CERT"):
        monkeypatch.setenv(name, "x")
        assert noxfile.environment()[name] == "x"
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    assert noxfile.environment()["DOCKER_HOST"] == "unix:///elsewhere"


def test_uv_asks_the_index_that_pip_asks(monkeypatch):
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    assert noxfile.environment()["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple")
    assert noxfile.environment()["UV_DEFAULT_INDEX"] == "https://other.example/simple"


def test_nothing_else_of_the_caller_reaches_it(monkeypatch):
    strangers = ("PYTEST_ADDOPTS", "DATABASE_URL", "PYTHONPATH", "ENV_FILE", "PIPELINE_PORT")
    misleading = ("VIRTUAL_ENV", "UV_PYTHON", "UV_NO_VERIFY_HASHES", "PIP_TARGET", "COVERAGE_FILE")
    for name in strangers + misleading:
        monkeypatch.setenv(name, "x")
    assert not {*strangers, *misleading} & set(noxfile.environment())


def test_what_varies_between_machines_is_fixed(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    assert noxfile.environment()["TZ"] == "UTC"
