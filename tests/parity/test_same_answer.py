"""The working copy in a plain shell, and a clean clone in CI's and a poisoned one: one answer."""

import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import pytest

from pipeline.parity import fingerprint
from tests.parity.conftest import ROOT, Checkout, git


@pytest.fixture
def poison(tmp_path):
    """Return variables that would each change a result, or end it, if a session saw them."""
    (tmp_path / "nox.py").write_text("raise SystemExit('the wrong nox')\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('the wrong site')\n")
    (tmp_path / "git").mkdir()
    (tmp_path / "git/config").write_text(
        "[commit]\n\tgpgSign = true\n[core]\n\thooksPath = /nowhere\n"
    )
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "PYTEST_ADDOPTS": "--collect-only",
        "PYTHONPATH": str(tmp_path),
        "PYTHONHASHSEED": "4711",
        "PYTHONWARNINGS": "error",
        "PIP_TARGET": str(tmp_path),
        "DATABASE_URL": "postgresql://nowhere/nothing",
        "PIPELINE_PORT": "1",
        "COVERAGE_FILE": str(tmp_path / "elsewhere"),
        "NOXSESSION": "bench",
        "NOX_DEFAULT_VENV_BACKEND": "none",
        "VIRTUAL_ENV": str(tmp_path),
        "UV_NO_VERIFY_HASHES": "1",
        "XDG_CONFIG_HOME": str(tmp_path),
        "TZ": "Pacific/Chatham",
        "LC_ALL": "C",
    }


@dataclass(frozen=True)
class Answer:
    """What `nox -s tests` found."""

    code: int
    outcomes: dict
    lines: dict


def answer(checkout, **environ):
    ran = checkout.run("nox -s tests", **environ)
    assert "passed" in ran.stdout, ran.stdout[-4000:]
    return Answer(
        code=ran.returncode,
        outcomes=outcomes(checkout.root / "reports/tests.xml"),
        lines=lines(checkout.root / "coverage.xml"),
    )


def outcomes(report):
    found = {}
    for case in ET.parse(report).iter("testcase"):
        what = {child.tag for child in case} & {"failure", "error", "skipped"}
        found[f"{case.get('classname')}::{case.get('name')}"] = what or {"passed"}
    return found


def lines(report):
    """Return each line of each file: was it run, and how many of its branches were taken."""
    return {
        (part.get("filename"), line.get("number")): (
            line.get("hits") != "0",
            line.get("condition-coverage"),
        )
        for part in ET.parse(report).iter("class")
        for line in part.iter("line")
    }


def differences(here, there):
    return {key for key in here.keys() | there if here.get(key) != there.get(key)}


def test_a_clone_in_a_poisoned_shell_gives_the_answer_of_the_working_copy(clone, poison):
    changed = git(ROOT, "status", "--porcelain")
    assert not changed, f"Commit first: parity compares what a commit gives.\n{changed}"
    for made in (".venv", ".nox"):  # what makes them sees the poison, too
        shutil.rmtree(clone.root / made, ignore_errors=True)
    here, there = answer(Checkout(ROOT)), answer(clone, **poison)
    assert {name for name, how in here.outcomes.items() if how != {"passed"}} == set()
    assert len(here.outcomes) > 1000
    assert differences(here.outcomes, there.outcomes) == set()
    assert (here.code, there.code) == (0, 0)
    assert len(here.lines) > 1000
    assert differences(here.lines, there.lines) == set()
    ours, theirs = (each / "reports/env-tests.json" for each in (ROOT, clone.root))
    assert fingerprint.compare_reports(ROOT / "reports", theirs) == []
    assert fingerprint.load(ours).digest == fingerprint.load(theirs).digest

    shutil.rmtree(clone.root / "reports/coverage")  # as CI brings it from the job that tested
    shutil.copytree(ROOT / "reports/coverage", clone.root / "reports/coverage")
    combined = clone.run("nox -s coverage")
    assert combined.returncode == 0, combined.stdout
    assert "coverage combine" in combined.stdout

    compared = clone.run(f"invoke parity --with {ours}")
    assert compared.returncode == 0, compared.stdout
    text = ours.read_text()
    changed = re.sub(r'("version": )"9\.', r'\1"8.', text)
    assert changed != text
    (clone.root / "env-tests.json").write_text(changed)
    compared = clone.run("invoke parity --with env-tests.json")
    assert compared.returncode == 1
    assert "pytest: here 9." in compared.stdout
