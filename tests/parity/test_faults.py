"""A fault fails at the same gate, with the same exit code, at home, with CI=true and under act."""

import json
import re
from dataclasses import dataclass

import pytest
import yaml

from tests.parity.conftest import ROOT, git

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
UNTESTED = "def untested(value):\n    {}\n".format("\n    ".join(["value += 1"] * 2000))


@dataclass(frozen=True)
class Fault:
    """One change that a gate must refuse.

    Attributes:
        path: The file that is changed.
        text: What comes to its end, or in place of `instead_of`.
        jobs: The jobs of ci.yml that must fail, of all light ones.
        slow: Whether the tests must run to know (they do not where another gate tells).
    """

    path: str
    text: str
    jobs: set
    instead_of: str = ""
    slow: bool = False


FAULTS = {
    "lint": Fault("app/probes.py", "\n\ndef helper() -> None:\n    import os\n", {"lint"}),
    "format": Fault("app/probes.py", "\n\nlate = (1,2)\n", {"lint", "format"}),
    "type": Fault("app/probes.py", '\n\nwrong: int = "text"\n', {"types"}),
    "test": Fault(
        "tests/unit/app/test_probes.py",
        "\n\ndef test_that_fails():\n    assert 1 + 1 == 3\n",
        {"tests"},
        slow=True,
    ),
    "coverage": Fault("pipeline/status.py", f"\n\n{UNTESTED}", {"tests"}, slow=True),
    "workflow": Fault(
        ".github/workflows/ci.yml",
        "run: python3 -m pytest",
        {"workflows"},
        instead_of="run: nox -s types",
    ),
}


def light_jobs():
    """Return the command of each job that needs no engine, by job."""
    found = {}
    for name, job in WORKFLOW["jobs"].items():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        if not job.get("needs") and commands[0].startswith("nox"):
            (found[name],) = commands
    return found


def at_home(clone, fault, **environ):
    """Return the exit code of each gate, by job."""
    return {
        job: clone.run(command, **environ).returncode
        for job, command in light_jobs().items()
        if fault.slow or job != "tests"
    }


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_at_the_same_gate(clone, name):
    fault = FAULTS[name]
    clone.edit(fault.path, fault.text, instead_of=fault.instead_of)
    git(clone.root, "commit", "--quiet", "--all", "--message", f"A fault: {name}")
    expected = {job: int(job in fault.jobs) for job in light_jobs() if fault.slow or job != "tests"}
    assert at_home(clone, fault) == expected
    assert at_home(clone, fault, CI="true", GITHUB_ACTIONS="true") == expected
    for job in sorted(fault.jobs):
        ran = clone.run(f"invoke ci --job {job} --json")
        assert ran.returncode == 1, ran.stdout
        found = json.loads(ran.stdout.splitlines()[-1])["jobs"][job]
        assert found["result"] == "failure"
        assert light_jobs()[job] in found["step"]
        assert found["exit_code"] == expected[job]


def test_a_commit_without_a_fault_passes_under_act(clone):
    ran = clone.run("invoke ci --job lint --json")
    assert ran.returncode == 0, ran.stdout
    assert json.loads(ran.stdout.splitlines()[-1])["jobs"]["lint"]["result"] == "success"
    assert re.search(r"cannot (prove|show)", ran.stdout)
