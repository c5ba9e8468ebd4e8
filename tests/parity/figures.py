"""How long gates take, warm and cold, and how much of the workflows is one nox or invoke call.

Figures of one machine in one run: compare them with each other, not with another day's.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.parity.conftest import ROOT, Checkout, plain

ROUNDS = 5


def seconds(action, *, rounds=1):
    """Return the least time that an action took, of several."""
    times = []
    for _ in range(rounds):
        started = time.monotonic()
        action()
        times.append(time.monotonic() - started)
    return min(times)


def nox(checkout, command, **environ):
    ran = checkout.run(command, **environ)
    if ran.returncode:
        sys.exit(f"{command} failed, so that there is nothing to measure:\n{ran.stdout[-2000:]}")


def ruff():
    program = str(ROOT / ".nox/lint/bin/ruff")
    for argv in ([program, "check"], [program, "format", "--check"]):
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=60)


def delegated():
    """Return how many `run:` steps there are, and how many are one nox or invoke call."""
    texts = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in texts]
    jobs = [job for each in documents for job in each.get("jobs", {"": each.get("runs")}).values()]
    found = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    bootstrap = 'bin/bootstrap >> "$GITHUB_PATH"'
    ours = [run for run in found if run == bootstrap or run.split()[0] in {"nox", "invoke"}]
    return len(found), len(ours)


def cold():
    """Return the seconds of `./bin/nox` in a fresh clone with empty caches of uv and pip."""
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        clone = Path(folder) / "clone"
        argv = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)]
        subprocess.run(argv, check=True, timeout=60, env=plain())
        caches = {"UV_CACHE_DIR": f"{folder}/uv", "PIP_CACHE_DIR": f"{folder}/pip"}
        return seconds(lambda: nox(Checkout(clone), "nox", **caches))


def main():
    here = Checkout(ROOT)
    nox(here, "nox -s lint")  # whatever is stale is mended before anything is measured
    bare = seconds(ruff, rounds=ROUNDS)
    session = seconds(lambda: nox(here, "nox -s lint"), rounds=ROUNDS)
    steps, calls = delegated()
    figures = [
        ("workflow steps that are one nox or invoke call", f"{calls} of {steps}", "all"),
        ("bare ruff (check, format --check)", f"{bare:.2f} s", ""),
        ("warm `nox -s lint` above it", f"{session - bare:.2f} s", "0.6 s"),
        ("warm `nox`", f"{seconds(lambda: nox(here, 'nox'), rounds=2):.1f} s", "25 s"),
        ("cold `nox`: fresh clone, empty caches", f"{cold():.1f} s", ""),
    ]
    for what, value, target in figures:
        print(f"{what:<50} {value:>10} {f'(at most {target})' if target[:1].isdigit() else ''}")  # noqa: T201


if __name__ == "__main__":
    main()
