"""Quality: each gate is a session. What is delivered, and how, is in tasks.py.

A session's environment is what poetry.lock pins for its groups, by hash, and is made anew
whenever it is not; of the caller's environment it sees what `environments.PASSED` names and
nothing else. So a laptop, CI and a server give the same answer, and `invoke parity` shows it.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # nox loads this file by its name, from anywhere

from pipeline.errors import PipelineError  # noqa: E402
from pipeline.parity import environments, fingerprint  # noqa: E402
from pipeline.view import github  # noqa: E402

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False
nox.options.sessions = ["lint", "format", "lock", "types", "tests", "workflows"]

PYTHON = "3.11"
REPORTS = Path("reports")
DOCKERFILES = ("Dockerfile", "images/*/Dockerfile", "tests/*/*/Dockerfile")
REPRODUCIBLE = "tests/contract/test_reproducible.py"  # two builds from nothing take a minute
CLEANUP = 60.0  # seconds that cancelled e2e tests get to remove their containers


def prepare(session: nox.Session, *groups: str) -> None:
    """Make the session's environment hold exactly the locked packages of `groups`; note which."""
    folder = Path(session.virtualenv.location)
    try:
        environments.ensure(folder, groups, root=ROOT, report=session.log)
        held = fingerprint.read(folder)
    except PipelineError as exc:
        session.error("\n".join(filter(None, (exc.message, exc.details, exc.hint.rstrip(".")))))
    REPORTS.mkdir(exist_ok=True)
    shutil.copyfile(folder / fingerprint.FILE, REPORTS / f"env-{session.name}.json")
    session.log(f"environment {held.digest}, Python {held.python}")
    github.listing(
        "What it holds", (f"{name} {each['version']}" for name, each in held.distributions.items())
    )


def run(session: nox.Session, *argv: str, **env: str) -> None:
    """Run a locked program on nothing but `environments.closed()` and `env`."""
    variables = environments.closed() | env
    session.run(*argv, env=variables, include_outer_env=False, interrupt_timeout=CLEANUP)


def seeds() -> tuple[str, ...]:
    """Return pytest's options for random order and examples: others with each commit."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    seed = int(head.stdout[:8] or "0", 16)
    return (f"--randomly-seed={seed}", f"--hypothesis-seed={seed}")


def measured() -> Path:
    """Return the folder for coverage data of the code as it is: older data never mixes in."""
    files = sorted(path for part in ("app", "pipeline") for path in Path(part).rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path).encode() + path.read_bytes())
    return REPORTS / "coverage" / digest.hexdigest()[:12]


def measure(session: nox.Session, *argv: str) -> None:
    """Run pytest; leave coverage data and test results in `reports/`."""
    results = REPORTS / f"{session.name}.xml"
    try:
        run(
            session,
            *("pytest", "--cov", f"--junit-xml={results}", *seeds(), *argv),
            COVERAGE_FILE=str(measured() / session.name),
        )
    finally:
        github.annotate_failures(results)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Look for mistakes and bad formatting."""
    prepare(session, "lint")
    run(session, "ruff", "check", f"--output-format={github.ruff_format()}", *session.posargs)
    run(session, "ruff", "format", "--check")
    run(
        session,
        "hadolint",
        *sorted(str(path) for each in DOCKERFILES for path in Path().glob(each)),
    )


@nox.session(name="format", python=PYTHON)
def format_(session: nox.Session) -> None:
    """Format the code; with `-- --check` only say what is not formatted."""
    prepare(session, "lint")
    run(session, "ruff", "format", *session.posargs)


@nox.session(python=PYTHON)
def lock(session: nox.Session) -> None:
    """Check that poetry.lock is the lock of pyproject.toml."""
    prepare(session, "lock")
    run(session, "poetry", "check", "--lock", "--strict", *session.posargs)


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Check the types of app, pipeline, noxfile and tasks (mypy --strict)."""
    prepare(session, "main", "ops", "types")
    run(session, "mypy", *session.posargs)


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run the unit tests; coverage as XML, HTML and text, at least 90 %."""
    prepare(session, "main", "ops", "test")
    reports = ("--cov-report=xml", "--cov-report=html", "--cov-report=term")
    # Two everywhere, so that the same tests share a process.
    measure(session, "--numprocesses=2", *reports, *session.posargs)


@nox.session(python=PYTHON)
def coverage(session: nox.Session) -> None:
    """Combine what the sessions have measured of this code; coverage as XML, HTML and text."""
    prepare(session, "test")
    sources = sorted(path for path in measured().glob("*") if path.suffix != ".all")
    if not sources:
        session.error("Nothing has measured this code yet. Next step: nox -s tests")
    session.log(f"of {', '.join(path.name for path in sources)}")
    everything = str(measured() / "combined.all")
    run(
        session,
        *("coverage", "combine", "--keep", f"--data-file={everything}", *map(str, sources)),
    )
    for report in ("xml", "html", "report"):
        run(session, "coverage", report, f"--data-file={everything}")


@nox.session(python=PYTHON)
def workflows(session: nox.Session) -> None:
    """Check .github: our own rules, GitHub's schemas, and zizmor's (no network)."""
    prepare(session, "ops", "test", "workflows")
    run(session, "pytest", *seeds(), "tests/workflows", *session.posargs)
    for schema, files in {
        "vendor.github-workflows": Path(".github/workflows").glob("*.yml"),
        "vendor.github-actions": Path(".github/actions").glob("*/action.yml"),
        "vendor.dependabot": [Path(".github/dependabot.yml")],
    }.items():
        run(session, "check-jsonschema", "--builtin-schema", schema, *sorted(map(str, files)))
    run(session, "zizmor", "--offline", "--persona=auditor", ".github")


@nox.session(python=PYTHON)
def parity(session: nox.Session) -> None:
    """Show that a clone, act and a poisoned shell give the same answers; `-- --figures`: times."""
    prepare(session, "ops", "test", "act")
    if session.posargs == ["--figures"]:
        run(session, "python", "-m", "tests.parity.figures")
        return
    run(session, "pytest", *seeds(), "tests/parity", *session.posargs)


def engine(session: nox.Session) -> None:
    """Fail where no Docker Engine answers; nothing is skipped."""
    if not shutil.which("docker"):
        session.error("Docker is not installed. Next step: ./bin/invoke host --yes")
    try:
        session.run("docker", "version", external=True, silent=True)
    except nox.command.CommandFailed:
        session.error("No Docker Engine answers. Next step: ./bin/invoke host --yes")


@nox.session(python=PYTHON)
def e2e(session: nox.Session) -> None:
    """Run the whole pipeline on a real Docker Engine; an error where there is none."""
    engine(session)
    prepare(session, "main", "ops", "test", "act")
    # A part of the code runs here, the rest in commands of their own: no minimum by itself.
    unmeasured = ("--cov-report=", "--cov-fail-under=0")
    everything = ("tests/contract", "tests/e2e", f"--ignore={REPRODUCIBLE}")
    measure(session, *unmeasured, *(session.posargs or everything))


@nox.session(python=PYTHON)
def platforms(session: nox.Session) -> None:
    """Build, push and merge images of two platforms on a real engine; one of them is emulated."""
    engine(session)
    prepare(session, "ops", "test")
    run(session, "pytest", *seeds(), "tests/platforms", REPRODUCIBLE, *session.posargs)


@nox.session(python=PYTHON)
def longevity(session: nox.Session) -> None:
    """Deploy fifty times on a real engine; what is left on the disk stays within a bound."""
    engine(session)
    prepare(session, "main", "ops", "test")
    # In order: what one deployment leaves is what the next one begins with.
    run(session, "pytest", "-p", "no:randomly", "tests/longevity", *session.posargs)


@nox.session(python=PYTHON)
def faults(session: nox.Session) -> None:
    """Have every accident happen to deployments on a real engine; `-- --tenth`: a fixed tenth."""
    engine(session)
    prepare(session, "main", "ops", "test")
    # In the order of the matrix: one cell leaves what the next one begins with.
    run(session, "pytest", "-p", "no:randomly", "tests/faults", *session.posargs)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure deployments beside plain Compose, the floor and any `--peer`; on a real engine."""
    engine(session)
    prepare(session, "main", "ops")
    run(session, "python", "-m", "tests.bench", *session.posargs)
