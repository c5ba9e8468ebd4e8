"""What a long life takes of the disk; nothing is skipped, and nobody else may use the engine.

`--deployments N`: so many; default 50.
"""

import json

import pytest

from tests.e2e.conftest import checkout, engine, registry, run_id, spare_site  # noqa: F401
from tests.e2e.support.checkout import REPOSITORY

REPORT = REPOSITORY / "reports/longevity.json"
FIGURES = pytest.StashKey[dict[str, object]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deployments", type=int, default=50, help="how many; default: 50")


@pytest.fixture
def deployments(pytestconfig: pytest.Config) -> int:
    """How many commits are made live, one after the other."""
    return int(pytestconfig.getoption("deployments"))


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, object]:
    """Where measured figures go; they are shown at the end and kept in reports/longevity.json."""
    return pytestconfig.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    measured = terminalreporter.config.stash.get(FIGURES, {})
    if not measured:
        return
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    terminalreporter.section("figures")
    for name, value in measured.items():
        terminalreporter.line(f"{name}: {value}")
