"""The stage that all cells share, which of them are run, and the table at the end.

Nothing is skipped: what this machine cannot do is an error. `--tenth` leaves out what is
marked `whole`, which is the greater part of the matrix.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

import pytest

from tests.e2e.support import registry as registries
from tests.e2e.support.checkout import REPOSITORY, Checkout
from tests.e2e.support.site import Site
from tests.faults import accidents
from tests.faults.cells import SHAPES, Shape
from tests.faults.stage import Stage
from tests.faults.tally import Tally
from tests.faults.wire import Wire

REPORT = REPOSITORY / "reports/faults.json"
TALLY = pytest.StashKey[Tally]()
STARTED = time.monotonic()
MARKS = (
    "whole: only in the whole matrix, not in its tenth",
    "one_shape: in the tenth with one shape alone; with which differs from test to test",
    "engine: ends the Docker Engine and starts it again; comes last",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tenth", action="store_true", help="a fixed tenth of the fault matrix")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally()
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what has one shape together, for each change costs two deployments."""
    if config.getoption("tenth"):
        config.hook.pytest_deselected(items=[each for each in items if _whole(each)])
        items[:] = [each for each in items if not _whole(each)]
    items.sort(key=_turn)


def _whole(item: pytest.Item) -> bool:
    return item.get_closest_marker("whole") is not None or _another_shape(item)


def _another_shape(item: pytest.Item) -> bool:
    if item.get_closest_marker("one_shape") is None:
        return False
    params = dict(item.callspec.params)
    shape = params.pop("shape")
    which = crc32(f"{item.originalname} {params}".encode()) % len(SHAPES)
    return shape != list(SHAPES.values())[which]


def _turn(item: pytest.Item) -> tuple[bool, bool, int]:
    params = getattr(getattr(item, "callspec", None), "params", {})
    played = params.get("shape") or params.get("cell")
    strategies = [None, *SHAPES]
    engine = item.get_closest_marker("engine") is not None
    # It uses the images of the other stage, which some cells remove.
    small = "small_stage" in getattr(item, "fixturenames", ())
    return engine, small, strategies.index(getattr(played, "strategy", None))


@pytest.fixture(scope="session")
def run_id() -> str:
    """What tells this run's names from all others."""
    return uuid.uuid4().hex[:8]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clean clone of HEAD."""
    return Checkout.clone(tmp_path_factory.mktemp("checkout") / "panager")


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    """A registry, and a way to it that can fail."""
    if not accidents.engine_answers():
        pytest.exit("No Docker Engine answers. Next step: ./bin/invoke host --yes", returncode=1)
    with registries.running() as registry:
        made = Wire(registry)
        yield made
        made.close()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash[TALLY]


@pytest.fixture(scope="session")
def site(
    checkout: Checkout, wire: Wire, run_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The app that nearly all cells are played on; its images are built and pushed once."""
    folder = tmp_path_factory.mktemp("site")
    made = Site.make(checkout, wire.registry, app=f"panager-faults-{run_id}", folder=folder)
    try:
        made.invoke("login").ok()
        for command in ("build", "push"):
            for name in ("a", "b"):
                made.invoke(command, "--sha", made.commits[name], timeout=300).ok()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def stage(site: Site, tally: Tally, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(site=site, folder=tmp_path_factory.mktemp("driver"), tally=tally)
    yield made
    made.end()


@pytest.fixture(scope="session")
def small_stage(
    stage: Stage, checkout: Checkout, wire: Wire, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """An app of the same images whose state folder is on a small disk of its own."""
    folder = tmp_path_factory.mktemp("small")
    site = Site.make(checkout, wire.registry, app=f"{stage.site.app}-small", folder=folder)
    shared = stage.site.invoke.environ["PIPELINE_REPOSITORY"]
    site = replace(site, invoke=site.invoke.having(PIPELINE_REPOSITORY=shared))
    made = Stage(site=site, folder=folder / "driver", tally=stage.tally)
    with accidents.small_disk(site.state):
        try:
            yield made
        finally:
            made.end()
            site.remove()


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    """Each way of making a release live."""
    return request.param


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tally = terminalreporter.config.stash[TALLY]
    if not tally.rows and not tally.figures:
        return
    tally.write(REPORT)
    terminalreporter.section("faults")
    for line in tally.table():
        terminalreporter.line(line)
    for name, figures in tally.figures.items():
        terminalreporter.line(f"{name}: {figures}")
    minutes = (time.monotonic() - STARTED) / 60
    terminalreporter.line(f"{minutes:.1f} minutes, figures in {REPORT.relative_to(REPOSITORY)}")
