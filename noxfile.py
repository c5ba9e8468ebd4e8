"""Quality: each gate is a session. What is delivered, and how, is in tasks.py.

A session's environment is what poetry.lock pins for its groups, checked by hash
and brought back to that on every run; of the caller's environment it sees only
what `PASSED` names, so that a laptop, CI and a server give the same answer.
"""

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "format", "types", "tests", "workflows"]

PYTHON = "3.11"
# How to reach the package index, the terminal and (e2e) the engine; nothing that changes a result.
PASSED = re.compile(
    r"PATH|HOME|USER|TMPDIR|TERM|NO_COLOR|FORCE_COLOR|CI|XDG_\w+|DOCKER_\w+|PIPELINE_E2E_\w+"
    r"|(?i:(https?|all|no)_proxy)|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(PIP|UV)_(\w*INDEX\w*|FIND_LINKS|CACHE_DIR|CONFIG_FILE|CERT|\w+_CERTS|\w*HOST|\w*TIMEOUT)"
)
UV = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "SSL_CERT_FILE": "PIP_CERT"}  # it does not read pip's
FIXED = {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "TZ": "UTC"}
CLEANUP = 60.0  # seconds that cancelled e2e tests get to remove their containers


def environment() -> dict[str, str]:
    """Return the variables that a session's programs see."""
    passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
    for name, pips in UV.items():
        if pips in passed:
            passed.setdefault(name, passed[pips])
    return passed | FIXED


def sync(session: nox.Session, *groups: str) -> None:
    """Make the session's environment hold exactly the locked packages of `groups`."""
    lock = session.run_install(
        "python", "bin/lock", *groups, env=environment(), include_outer_env=False, silent=True
    )
    # Not in create_tmp(): that would move TMPDIR below the checkout, and Unix sockets that
    # tests make there would get names longer than a socket's may be (107 bytes).
    requirements = Path(session.bin).parent / "requirements.txt"
    requirements.write_text(str(lock), encoding="utf-8")
    session.run_install(
        *("uv", "pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        str(requirements),
        env=environment(),
        include_outer_env=False,
    )


def run(session: nox.Session, *argv: str) -> None:
    """Run a locked program on nothing but `environment()`."""
    session.run(*argv, env=environment(), include_outer_env=False, interrupt_timeout=CLEANUP)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Look for mistakes, bad formatting, and a poetry.lock that is not pyproject.toml's."""
    sync(session, "lint", "lock")
    run(session, "ruff", "check", *session.posargs)
    run(session, "ruff", "format", "--check")
    run(session, "poetry", "check", "--lock")


@nox.session(name="format", python=PYTHON)
def format_(session: nox.Session) -> None:
    """Format the code; with `-- --check` only say what is not formatted."""
    sync(session, "lint")
    run(session, "ruff", "format", *session.posargs)


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Check the types of app, pipeline, noxfile and tasks (mypy --strict)."""
    sync(session, "main", "ops", "types")
    run(session, "mypy", *session.posargs)


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run the unit tests; coverage as XML, HTML and text, at least 90 %."""
    sync(session, "main", "ops", "test")
    reports = ("--cov", "--cov-report=xml", "--cov-report=html", "--cov-report=term")
    run(session, "pytest", *reports, *session.posargs)


@nox.session(python=PYTHON)
def workflows(session: nox.Session) -> None:
    """Check .github: our own rules, GitHub's schemas, and zizmor's (no network)."""
    sync(session, "ops", "test", "workflows")
    run(session, "pytest", "tests/workflows", *session.posargs)
    for schema, files in {
        "vendor.github-workflows": Path(".github/workflows").glob("*.yml"),
        "vendor.github-actions": Path(".github/actions").glob("*/action.yml"),
        "vendor.dependabot": [Path(".github/dependabot.yml")],
    }.items():
        run(session, "check-jsonschema", "--builtin-schema", schema, *map(str, files))
    run(session, "zizmor", "--offline", "--persona=auditor", ".github")


@nox.session(python=PYTHON)
def e2e(session: nox.Session) -> None:
    """Run the whole pipeline on a real Docker Engine; an error where there is none."""
    if not shutil.which("docker"):
        session.error("Docker is not installed. Next step: ./bin/invoke host --yes")
    try:
        session.run("docker", "version", external=True, silent=True)
    except nox.command.CommandFailed:
        session.error("No Docker Engine answers. Next step: ./bin/invoke host --yes")
    sync(session, "main", "ops", "test", "act")
    run(session, "pytest", *(session.posargs or ("tests/contract", "tests/e2e")))


@nox.session(python=PYTHON)
def faults(session: nox.Session) -> None:
    """Have every accident happen to deployments on a real engine; `-- --tenth`: a fixed tenth."""
    sync(session, "main", "ops", "test")
    # In the order of the matrix: one cell leaves what the next one begins with.
    run(session, "pytest", "-p", "no:randomly", "tests/faults", *session.posargs)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure deployments beside plain Compose, the floor and any `--peer`; on a real engine."""
    sync(session, "main", "ops")
    run(session, "python", "-m", "tests.bench", *session.posargs)
