"""A fault fails at the same gate, with the same exit code, at home, with CI=true and under act."""

import json
import re
import shutil

import pytest
import yaml

from tests.parity.conftest import ROOT, git

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def add(path, text):
    return lambda clone: clone.edit(path, text)


def call_something_else(clone):
    clone.edit(".github/workflows/ci.yml", "run: python3 -m pytest", instead_of="run: nox -s types")


def drop_tests(clone, *, keep="ground"):
    for folder in (clone.root / "tests/unit").iterdir():
        if folder.is_dir() and folder.name != keep:  # a few, so that this does not take long
            shutil.rmtree(folder)


def fail_a_test(clone):
    clone.edit("tests/unit/app/test_probes.py", FAILING)
    drop_tests(clone, keep="app")
    # So few cover little, which is another fault.
    clone.edit("pyproject.toml", "fail_under = 0", instead_of="fail_under = 90")


UNUSED = "\n\ndef helper() -> None:\n    import os\n"
FAILING = "\n\ndef test_fails():\n    assert 1 + 1 == 3\n"

# What is changed; the jobs of ci.yml that must fail, of all that need no engine; what is said.
FAULTS = {
    "lint": (add("app/probes.py", UNUSED), {"lint"}, "F401"),
    "format": (
        add("app/probes.py", "\n\nlate = (1,2)\n"),
        {"lint", "format"},
        "would be reformatted",
    ),
    "type": (add("app/probes.py", '\n\nwrong: int = "text"\n'), {"types"}, "[assignment]"),
    "test": (fail_a_test, {"tests"}, "test_fails"),
    "coverage": (drop_tests, {"tests"}, "Required test coverage of 90.0% not reached"),
    "workflow": (call_something_else, {"workflows"}, "test_a_step_is_one_call"),
}


def light_jobs():
    """Return the command of each job that needs no engine, by job."""
    found = {}
    for name, job in WORKFLOW["jobs"].items():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        if not job.get("needs") and commands[0].startswith("nox"):
            (found[name],) = commands
    return found


def at_home(clone, jobs, **environ):
    """Return the exit code of each gate, by job."""
    return {job: clone.run(light_jobs()[job], **environ).returncode for job in jobs}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_at_the_same_gate(clone, name):
    change, guilty, reason = FAULTS[name]
    change(clone)
    git(clone.root, "commit", "--quiet", "--all", "--message", f"A fault: {name}")
    # The tests take longer than all other gates; they run where it is they that must fail.
    jobs = [job for job in light_jobs() if job in guilty or job != "tests"]
    expected = {job: int(job in guilty) for job in jobs}
    assert at_home(clone, jobs) == expected
    # What passes passes with any variable (test_same_answer): there it is the guilty one alone.
    assert at_home(clone, guilty, CI="true", GITHUB_ACTIONS="true") == dict.fromkeys(guilty, 1)
    for job in sorted(guilty):
        ran = clone.run(f"invoke ci --job {job} --json")
        assert ran.returncode == 1, ran.stdout
        assert reason in ran.stdout
        found = json.loads(ran.stdout.splitlines()[-1])["jobs"][job]
        assert found["result"] == "failure"
        assert light_jobs()[job] in found["step"]
        assert found["exit_code"] == expected[job]


def test_a_commit_without_a_fault_passes_under_act(clone):
    ran = clone.run("invoke ci --job lint --json")
    assert ran.returncode == 0, ran.stdout
    assert json.loads(ran.stdout.splitlines()[-1])["jobs"]["lint"]["result"] == "success"
    assert re.search(r"cannot (prove|show)", ran.stdout)
