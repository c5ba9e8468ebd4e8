"""The only reader of the environment and of pyproject.toml.

A setting's value comes from, weakest first: its default, `[tool.pipeline]` in
pyproject.toml, `PIPELINE_<NAME>`, a flag. An empty variable is not given: that is how
a workflow passes on what it does not have. `load()` reports every problem at once and
remembers where each value came from (`invoke doctor` prints it).
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from pipeline import parsing
from pipeline.errors import UsageError
from pipeline.parsing import Hooks, Secret, number, pattern

__all__ = ["RUNNER_KEYS", "SECRET_VARIABLES", "Secret", "Settings", "load"]

ROOT = Path(__file__).resolve().parent.parent


def _setting(
    parse: Callable[[Any], Any],
    default: Any,  # noqa: ANN401 - any default
    about: str,
    *,
    variable: str | None = None,
) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"parse": parse, "about": about, "variable": variable})


_NAME = pattern(r"[a-z][a-z0-9-]{0,30}", "a name of a-z, 0-9 and -")
_URL_PATH = pattern(r"/[A-Za-z0-9_./-]*", "a path that starts with /")
_HOST = pattern(r"[A-Za-z0-9.:-]{1,253}", "a host name")
_USER = r"([a-z_][a-z0-9_-]{0,31})?"
_WEB = pattern(r"(https?://\S+)?", "an http(s) URL")
_SECONDS = number(float, 0.1, 7200)
_NO_SECONDS = number(float, 0, 31_536_000)
_STRATEGY = pattern(r"blue-green|rolling|recreate", "blue-green, rolling or recreate")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set; times are in seconds.

    Build it with `load()`, or directly in tests.
    """

    app: str = _setting(_NAME, "panager", "name of the service, its Compose project and state")
    registry: str = _setting(_HOST, "ghcr.io", "image registry, host[:port]")
    repository: str = _setting(
        parsing.repository, "panager/panager", "repository in the registry; made lower case"
    )
    local_registry_port: int = _setting(
        number(int, 1, 65535), 5000, "loopback port of the registry that `invoke up` starts"
    )
    registry_user: str = _setting(pattern(r"\S*", "a user name"), "", "user for `invoke login`")
    registry_password: Secret = _setting(Secret, Secret(""), "password for `invoke login`")
    platforms: str = _setting(
        pattern(r"(linux/[a-z0-9/]+(,linux/[a-z0-9/]+)*)?", "a list such as linux/amd64"),
        "",
        "platforms to build; empty: this machine's",
    )
    build_cache: str = _setting(
        pattern(r"([A-Za-z0-9][A-Za-z0-9.:/_-]*:[A-Za-z0-9_.-]+)?", "an image reference"),
        "",
        "image reference in a registry that keeps the build cache; empty: this machine's only",
    )
    bind_address: str = _setting(
        parsing.ipv4, "127.0.0.1", "address that the proxy is published on"
    )
    port: int = _setting(number(int, 1, 65535), 8000, "port that the proxy is published on")
    health_path: str = _setting(_URL_PATH, "/health", "answers 200 and the commit while alive")
    probe_host: str = _setting(_HOST, "localhost", "Host header of our own probes")
    strategy: str = _setting(_STRATEGY, "blue-green", "how a release is made live")
    replicas: int = _setting(number(int, 1, 8), 1, "containers of a release")
    ca_bundle: Path = _setting(
        parsing.path,
        Path("/etc/ssl/certs/ca-certificates.crt"),
        "CA certificates that a build may trust, where the file exists; never in the image",
    )
    pip_config: Path = _setting(
        parsing.path,
        Path(),
        "pip.conf that a build uses (an index of one's own); never in the image",
    )
    migrations: str = _setting(
        pattern(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", "a path inside the repository"),
        "app/migrations",
        "folder whose content decides whether a migration is pending",
    )
    env_file: Path = _setting(parsing.path, Path(".env"), "env file for the service")
    env_content: Secret = _setting(
        Secret, Secret(""), "content of the env file (a CI secret)", variable="ENV_FILE"
    )
    required_env: tuple[str, ...] = _setting(
        parsing.words(r"[A-Za-z_][A-Za-z0-9_]*", "variable name"),
        (),
        "keys that the env file must have",
    )
    codecov_token: Secret = _setting(
        Secret, Secret(""), "token for Codecov", variable="CODECOV_TOKEN"
    )
    codecov_url: str = _setting(_WEB, "", "own Codecov server; empty: Codecov")
    state_dir: Path = _setting(
        parsing.path, Path(), "ledger, lock and releases; empty: ~/.local/state/<app>"
    )
    build_timeout: float = _setting(_SECONDS, 1800.0, "deadline of a build")
    push_timeout: float = _setting(_SECONDS, 600.0, "deadline of a push or pull")
    stall_timeout: float = _setting(_SECONDS, 60.0, "how long a push or pull may be without news")
    migrate_timeout: float = _setting(_SECONDS, 300.0, "deadline of a migration")
    start_timeout: float = _setting(_SECONDS, 60.0, "until the new release must be healthy")
    drain_timeout: float = _setting(_SECONDS, 30.0, "for the old release's last requests")
    stop_timeout: float = _setting(_SECONDS, 15.0, "between SIGTERM and SIGKILL of a container")
    answer_timeout: float = _setting(_SECONDS, 5.0, "until the port must answer after a cutover")
    stability_window: float = _setting(_NO_SECONDS, 5.0, "how long the new release is watched")
    standby: float = _setting(_NO_SECONDS, 3600.0, "how long blue-green keeps the old one warm")

    keep_releases: int = _setting(
        number(int, 1, 100), 5, "how many releases are kept besides live, standby and pinned"
    )
    keep_dumps: int = _setting(number(int, 0, 1000), 5, "how many files of <state>/dumps are kept")
    build_cache_gb: float = _setting(
        number(float, 0, 10_000), 10.0, "gigabytes; build cache beyond them goes by its age"
    )
    public_url: str = _setting(_WEB, "", "where users reach the service, for `invoke doctor`")
    host: str = _setting(
        pattern(
            r"(local|ssh://([a-z_][a-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?/?)?",
            "ssh://user@host, or local",
        ),
        "",
        "run a server's commands there, ssh://user@host[:port]; local or empty: here",
    )
    deploy_user: str = _setting(
        pattern(_USER, "a user name"), "", "user that `invoke host` makes for deployments"
    )
    hooks: Hooks = _setting(parsing.hooks, Hooks(), "commands run beside builds and deployments")
    webhook_url: Secret = _setting(
        parsing.web_address,
        Secret(""),
        "gets a message (Slack's JSON) of each deployment; empty: none",
    )
    runner_url: str = _setting(
        _WEB, "", "repository or organisation on GitHub that the runner is for"
    )
    runner_version: str = _setting(
        pattern(r"(\d+\.\d+\.\d+)?", "a version such as 2.330.0"), "", "release of the runner"
    )
    runner_sha256: str = _setting(
        pattern(r"([0-9a-f]{64})?", "64 hexadecimal digits"),
        "",
        "SHA-256 of that release's archive",
    )
    runner_archive: str = _setting(
        pattern(r"https?://\S+", "an http(s) URL"),
        "https://github.com/actions/runner/releases/download/v{version}/"
        "actions-runner-linux-{arch}-{version}.tar.gz",
        "where that archive is",
    )
    runner_labels: tuple[str, ...] = _setting(
        parsing.words(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "label"),
        (),
        "the runner's labels besides GitHub's",
    )
    runner_user: str = _setting(
        pattern(_USER, "a user name"),
        "",
        "user that the runner is; empty: `deploy_user`, or runner",
    )
    runner_dir: Path = _setting(
        parsing.path, Path(), "folder of the runner; empty: ~/actions-runner of it"
    )
    runner_token: Secret = _setting(
        Secret, Secret(""), "registration (or removal) token of GitHub's, short-lived"
    )
    github_api: str = _setting(
        pattern(r"https?://\S+", "an http(s) URL"),
        "https://api.github.com",
        "GitHub's API, which knows whether a repository is public",
    )

    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    root: ClassVar[Path] = ROOT

    @property
    def image(self) -> str:
        """Registry and repository, without tag."""
        return f"{self.registry}/{self.repository}"

    @property
    def address(self) -> str:
        """`host:port` where the service answers, as seen from this machine."""
        everywhere = "0.0.0.0"  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1" if self.bind_address == everywhere else self.bind_address
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where the service answers, as seen from this machine."""
        return f"http://{self.address}"


def _options() -> list[Field[Any]]:
    return [option for option in fields(Settings) if "parse" in option.metadata]


def _variable(option: Field[Any]) -> str:
    return option.metadata["variable"] or f"PIPELINE_{option.name.upper()}"


# GitHub's keys for its runner, of which no program that we start has any need.
RUNNER_KEYS = frozenset(
    {
        *("GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        "ACTIONS_RUNNER_INPUT_TOKEN",
    }
)
SECRET_VARIABLES = RUNNER_KEYS.union(
    _variable(option) for option in _options() if isinstance(option.default, Secret)
)


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    pyproject: Path = ROOT / "pyproject.toml",
) -> Settings:
    """Read the settings.

    Args:
        flags: Values from the command line by setting name; None means "not given".
        environ: Environment; default: ours.
        pyproject: The file with `[tool.pipeline]`.

    Raises:
        UsageError: With every problem found, each naming its source.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    table, problems = _table(pyproject)
    for option in _options():
        raw, source = option.default, "default"
        if option.name in table:
            raw, source = table.pop(option.name), pyproject.name
        if environ.get(_variable(option)):
            raw, source = environ[_variable(option)], _variable(option)
        if option.name in given:
            raw, source = given.pop(option.name), f"--{option.name.replace('_', '-')}"
        try:
            values[option.name] = raw if source == "default" else option.metadata["parse"](raw)
        except ValueError as exc:
            problems.append(f"{option.name} (from {source}): {exc}")
        sources[option.name] = source
    problems += [f"{name} (from {pyproject.name}): no such setting" for name in table]
    problems += [f"{name} (a flag): no such setting" for name in given]
    if problems:
        raise UsageError(
            "The settings are not valid: " + "; ".join(problems) + ".",
            hint="docs/commands.md lists every setting.",
        )
    values["state_dir"] = _state_dir(values["state_dir"], values["app"])
    return Settings(**values, sources=sources)


def _state_dir(given: Path, app: str) -> Path:
    try:
        folder = Path("~/.local/state").expanduser() / app if given == Path() else given
    except RuntimeError as exc:
        raise UsageError(
            f"There is no place for the state of {app}: {exc}",
            hint="Set PIPELINE_STATE_DIR to a folder of this user's.",
        ) from exc
    return ROOT / folder  # Compose takes a relative path for the name of a volume


def _table(pyproject: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        return {}, [f"{pyproject.name}: {exc}"]
    tool = document.get("tool", {})
    table = tool.get("pipeline", {}) if isinstance(tool, dict) else tool
    if not isinstance(table, dict):
        return {}, [f"{pyproject.name}: [tool.pipeline] is not a table"]
    exposed = sorted(
        option.name
        for option in _options()
        if isinstance(option.default, Secret) and option.name in table
    )
    return {name: value for name, value in table.items() if name not in exposed}, [
        f"{name} (from {pyproject.name}): a secret belongs into no file that is committed"
        for name in exposed
    ]
