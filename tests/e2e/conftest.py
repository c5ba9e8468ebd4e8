"""What the e2e tests share: a clean clone, a registry with a login, one site, its images.

Nothing is skipped: where no engine answers, or a base image is missing, every test here
is an error. Everything that is made carries a name of its own and is removed by it.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support import registry as registries
from tests.e2e.support.checkout import REPOSITORY, Checkout
from tests.e2e.support.command import Ran
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import KEPT, Site

BASES = (
    "python:3.11-slim",
    "postgres:15",
    "haproxy:2.6",
    "registry:2",
    "docker/buildkit-syft-scanner:stable-1",
)
FIGURES = pytest.StashKey[dict[str, object]]()


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """An engine with the base images."""
    missing = [name for name in BASES if not machine.docker("images", "--quiet", name)]
    assert not missing, f"no {', '.join(missing)} here; `./bin/invoke host --yes` sees to it"


@pytest.fixture(scope="session")
def run_id() -> str:
    """What tells this run's names from all others."""
    return uuid.uuid4().hex[:8]


def app_name(run_id: str) -> str:
    """Return the name of the app that most tests deploy to."""
    return f"panager-e2e-{run_id}"


@pytest.fixture(scope="session")
def checkout(run_id: str, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clean clone of HEAD; its .venv is made by the first command, as for everybody.

    Its folder is called like the app that is deployed: what Compose takes for a project's name.
    """
    return Checkout.clone(tmp_path_factory.mktemp("checkout") / app_name(run_id))


@pytest.fixture(scope="session")
def registry(engine: None) -> Iterator[Registry]:
    """A registry that wants a login."""
    with registries.running() as running:
        yield running


@pytest.fixture(scope="session")
def site(
    checkout: Checkout, registry: Registry, run_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The app that most tests deploy to."""
    folder = tmp_path_factory.mktemp("site")
    made = Site.make(checkout, registry, app=app_name(run_id), folder=folder)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def shipped(site: Site) -> dict[str, dict[str, Ran]]:
    """Every commit's image, built and pushed; what the commands did, by name and command."""
    site.invoke("login").ok()
    return {
        name: {
            command: site.invoke(command, "--sha", sha, "--json", timeout=300).ok()
            for command in ("build", "push")
        }
        for name, sha in site.commits.items()
    }


@pytest.fixture
def a_live(site: Site, shipped: dict[str, dict[str, Ran]]) -> Site:
    """The site, with commit `a` live in one container, and no other one.

    Tests that leave `a` with another environment leave `b` behind.
    """
    if site.served() == "a" and len(site.replicas()) > 1:
        site.deploy("b").ok()
    if site.served() != "a":
        site.deploy("a").ok()
    assert site.served() == "a"
    assert len(site.replicas()) == 1
    return site


@pytest.fixture
def b_over_a(a_live: Site) -> Site:
    """The site, with `b` live and `a` as its warm standby."""
    a_live.deploy("b", **KEPT).ok()
    assert len(a_live.colours()) == 2
    return a_live


@pytest.fixture
def spare_site(
    checkout: Checkout, registry: Registry, run_id: str, tmp_path: Path
) -> Iterator[Site]:
    """Another app, of which nothing runs yet."""
    app = f"{app_name(run_id)}-{uuid.uuid4().hex[:4]}"
    made = Site.make(checkout, registry, app=app, folder=tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, object]:
    """Where measured figures go; they are shown at the end and kept in reports/figures.json."""
    return pytestconfig.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    measured = terminalreporter.config.stash.get(FIGURES, {})
    if not measured:
        return
    report = REPOSITORY / "reports/figures.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    terminalreporter.section("figures")
    for name, value in measured.items():
        terminalreporter.line(f"{name}: {value}")
