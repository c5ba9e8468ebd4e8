import dataclasses
import json
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.errors import UsageError
from pipeline.settings import ROOT, SECRET_VARIABLES, Secret, Settings

SENTINEL = "sentinel-secret"


def load(tmp_path, *, toml="", environ=None, flags=None, table="[tool.pipeline]\n"):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(table + toml, encoding="utf-8")
    return settings.load(flags, environ=environ or {}, pyproject=pyproject)


def problems(tmp_path, **sources):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, **sources)
    assert caught.value.exit_code == 2
    assert "commands.md" in caught.value.hint
    return caught.value.message


def test_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    loaded = load(tmp_path)
    assert dataclasses.replace(loaded, state_dir=Path()) == Settings()
    assert loaded.state_dir == Path("/home/somebody/.local/state/panager")
    assert set(loaded.sources.values()) == {"default"}


def test_the_repository_s_own_pyproject_is_valid():
    assert settings.load(environ={}).required_env == ("DATABASE_URL", "POSTGRES_PASSWORD")


def test_the_environment_is_ours_unless_given(monkeypatch):
    monkeypatch.setenv("PIPELINE_PORT", "4242")
    assert settings.load().port == 4242


def test_the_stronger_source_wins(tmp_path):
    both = load(tmp_path, toml="port = 1\nreplicas = 2", environ={"PIPELINE_PORT": "3"})
    assert (both.port, both.replicas) == (3, 2)
    assert both.sources["port"] == "PIPELINE_PORT"
    assert both.sources["replicas"] == "pyproject.toml"
    flag = load(tmp_path, environ={"PIPELINE_PORT": "3"}, flags={"port": "4", "env_file": "x"})
    assert (flag.port, flag.env_file) == (4, Path("x"))
    assert (flag.sources["port"], flag.sources["env_file"]) == ("--port", "--env-file")


def test_a_flag_that_is_none_was_not_given(tmp_path):
    assert load(tmp_path, toml="replicas = 2", flags={"replicas": None}).replicas == 2


def test_an_empty_variable_was_not_given(tmp_path):
    loaded = load(tmp_path, toml='app = "other"', environ={"PIPELINE_APP": "", "PIPELINE_PORT": ""})
    assert (loaded.app, loaded.port) == ("other", 8000)
    assert (loaded.sources["app"], loaded.sources["port"]) == ("pyproject.toml", "default")


def test_secrets_come_from_their_variables(tmp_path):
    loaded = load(
        tmp_path,
        environ={"ENV_FILE": "A=1", "CODECOV_TOKEN": "t", "PIPELINE_REGISTRY_PASSWORD": "p"},
    )
    assert loaded.env_content.reveal() == "A=1"
    assert loaded.codecov_token.reveal() == "t"
    assert loaded.registry_password.reveal() == "p"
    ours = {
        "ENV_FILE",
        "CODECOV_TOKEN",
        "PIPELINE_REGISTRY_PASSWORD",
        "PIPELINE_RUNNER_TOKEN",
        "PIPELINE_WEBHOOK_URL",
    }
    runners = {"GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_RUNNER_INPUT_TOKEN"}
    assert ours | runners | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN"} == SECRET_VARIABLES


def test_a_secret_in_pyproject_is_refused_and_not_shown(tmp_path):
    message = problems(tmp_path, toml=f'registry_password = "{SENTINEL}"\nenv_content = 5')
    assert "registry_password (from pyproject.toml): a secret" in message
    assert "env_content (from pyproject.toml): a secret" in message
    assert SENTINEL not in message


def test_every_problem_at_once_with_its_source(tmp_path):
    message = problems(
        tmp_path,
        toml='port = "x"\nnix = 1',
        environ={"PIPELINE_REPLICAS": "9"},
        flags={"strategy": "hope", "nox": 1},
    )
    assert "port (from pyproject.toml): 'x' is not a whole number" in message
    assert "nix (from pyproject.toml): no such setting" in message
    assert "replicas (from PIPELINE_REPLICAS): '9' is not between 1 and 8" in message
    assert "strategy (from --strategy): 'hope' is not" in message
    assert "nox (a flag): no such setting" in message


@pytest.mark.parametrize(
    "toml",
    [
        "port = true",
        "port = 0",
        "port = 65536",
        "port = 80.5",
        "port = 80.0",
        "port = [80]",
        "port = {}",
        "port = inf",
        "port = 2024-01-01",
        'port = "80.5"',
        'port = ""',
        "start_timeout = nan",
        "start_timeout = false",
        "start_timeout = -1",
        'start_timeout = "soon"',
        "start_timeout = 1e9",
        "start_timeout = 1" + "0" * 400,
        "app = 1",
        "app = []",
        'app = "Panager"',
        'app = "pan\\nager"',
        'app = ""',
        'registry = "https://ghcr.io"',
        "repository = 1",
        'repository = "../x"',
        'repository = "a b"',
        'health_path = "health"',
        'platforms = "amd64"',
        'bind_address = "localhost"',
        'bind_address = "::"',
        'bind_address = "256.0.0.1"',
        "bind_address = 1",
        "required_env = 5",
        "required_env = true",
        "required_env = [1]",
        'required_env = ["A-B"]',
        'required_env = {A = "x"}',
        "env_file = 1",
        'env_file = ["x"]',
        'env_file = ""',
        'env_file = "a\\u0000b"',
        'state_dir = "~nobody-of-that-name/x"',
        "[tool.pipeline.nested]\nport = 1",
    ],
)
def test_wrong_types_and_values_are_refused_by_name(toml, tmp_path):
    name = "nested" if "nested" in toml else toml.split(" ", 1)[0]
    assert problems(tmp_path, toml=toml).startswith(
        f"The settings are not valid: {name} (from pyproject.toml): "
    )


@pytest.mark.parametrize(
    ("toml", "name", "value"),
    [
        ('port = "80"', "port", 80),
        ("start_timeout = 5", "start_timeout", 5.0),
        ('start_timeout = "0.5"', "start_timeout", 0.5),
        ('required_env = ["A", " B_1 ", ""]', "required_env", ("A", "B_1")),
        ('required_env = "A, B"', "required_env", ("A", "B")),
        ('repository = "Octo-Cat/Panager"', "repository", "octo-cat/panager"),
        ('registry = "localhost:5000"', "registry", "localhost:5000"),
        ('platforms = "linux/amd64,linux/arm64/v8"', "platforms", "linux/amd64,linux/arm64/v8"),
    ],
)
def test_values_that_are_understood(toml, name, value, tmp_path):
    assert getattr(load(tmp_path, toml=toml), name) == value


def test_a_repository_of_github_is_made_lower_case(tmp_path):
    loaded = load(tmp_path, environ={"PIPELINE_REPOSITORY": "Octo-Cat/Panager"})
    assert loaded.image == "ghcr.io/octo-cat/panager"


def test_a_list_from_the_environment(tmp_path):
    assert load(tmp_path, environ={"PIPELINE_REQUIRED_ENV": "A,B"}).required_env == ("A", "B")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("port = \n", "Invalid value"),
        ("tool = 5\n", "is not a table"),
        ("[tool]\npipeline = 5\n", "is not a table"),
    ],
)
def test_a_pyproject_that_makes_no_sense(table, says, tmp_path):
    message = problems(tmp_path, table=table)
    assert message.startswith("The settings are not valid: pyproject.toml: ")
    assert says in message


def test_a_pyproject_without_our_table(tmp_path):
    assert load(tmp_path, table="[project]\nname = 'x'\n").port == 8000


def test_a_pyproject_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        settings.load(environ={}, pyproject=tmp_path / "nix.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(UsageError, match=r"latin\.toml: .*utf-8"):
        settings.load(environ={}, pyproject=tmp_path / "latin.toml")


def test_the_state_folder_is_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(tmp_path, toml='state_dir = "state"').state_dir == ROOT / "state"
    assert load(tmp_path, toml='state_dir = "~/state"').state_dir == Path("/home/somebody/state")
    assert load(tmp_path, toml='state_dir = "/srv"').state_dir == Path("/srv")
    assert load(tmp_path, toml='app = "other"').state_dir.name == "other"


def test_a_user_without_a_home_is_told_so(tmp_path, monkeypatch):
    def homeless(_path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(UsageError, match="no place for the state of panager") as caught:
        load(tmp_path)
    assert "PIPELINE_STATE_DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("bind_address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
    ],
)
def test_the_url_as_seen_from_here(bind_address, url):
    assert Settings(bind_address=bind_address).url == url


def test_a_secret_shows_itself_only_by_name():
    secret = Secret(SENTINEL)
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {Settings(registry_password=secret)}"
    assert SENTINEL not in shown
    assert "***" in shown
    assert secret.reveal() == SENTINEL
    assert secret
    assert not Secret("")
    assert repr(Secret("")) == ""


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("pw", "the pw is pw", "the *** is ***"),
        ("", "nothing", "nothing"),
        (" ", "a b", "a b"),
        ("first\nsecond\n}", "a second }", "a *** }"),
        ("first\nsecond", "first\nsecond", "***"),
    ],
)
def test_a_secret_is_hidden_in_text(value, text, shown):
    assert Secret(value).hide_in(text) == shown


def test_a_secret_is_hidden_as_json_writes_it():
    secret = Secret('pa"ss\\word\u00e9')
    line = json.dumps({"message": f"cannot log in with {secret.reveal()}"})
    assert secret.hide_in(line) == '{"message": "cannot log in with ***"}'
