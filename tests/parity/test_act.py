"""The real act on a small workflow: what GitHub would do with it, `invoke ci` shows."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.parity import ci
from tests.parity.conftest import git

PIN = "0123456789abcdef0123456789abcdef01234567"
WORKFLOW = """\
name: ci
on:
  push:
    branches: [elsewhere]
jobs:
  changes:
    runs-on: ubuntu-latest
    outputs:
      heavy: ${{ steps.look.outputs.heavy }}
    steps:
      - uses: actions/checkout@PIN
        with:
          fetch-depth: 0
      - uses: actions/setup-python@PIN
        id: python
        with:
          python-version: "3.11"
      - uses: actions/cache@PIN
        id: cache
        with:
          path: .venv
          key: lock
      - run: echo "python ${{ steps.python.outputs.python-version }}"
      - run: echo "hit [${{ steps.cache.outputs.cache-hit }}]"
      - run: git log --format=commit:%s | cat
      - run: 'echo "env:PIPELINE_PORT=${PIPELINE_PORT:-none}"'
      - id: look
        run: cat heavy >> "$GITHUB_OUTPUT"
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@PIN
      - run: mkdir -p reports && echo 1 > reports/one
      - run: sh gate
      - uses: ./.github/actions/keep
        if: ${{ !cancelled() }}
  two:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@PIN
      - run: mkdir -p reports/sub && echo 2 > reports/sub/two && touch reports/.hidden
      - uses: ./.github/actions/keep
  heavy:
    needs: [changes, one, two]
    if: ${{ needs.changes.outputs.heavy == 'true' }}
    runs-on: ubuntu-latest
    steps:
      - uses: actions/download-artifact@PIN
        with:
          pattern: reports-*
          merge-multiple: true
          path: reports
      - run: find reports -type f | sort | xargs echo files
      - run: exit 4
        continue-on-error: true
  gate:
    needs: [changes, one, two, heavy]
    if: ${{ always() }}
    runs-on: ubuntu-latest
    steps:
      - run: echo "results ${{ join(needs.*.result) }}"
""".replace("PIN", PIN)
KEEP = """\
name: Keep
description: Keeps reports.
runs:
  using: composite
  steps:
    - uses: actions/upload-artifact@PIN
      with:
        name: reports-${{ github.job }}
        path: reports/
""".replace("PIN", PIN)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "checkout"
    put(root, ".github/workflows/ci.yml", WORKFLOW)
    put(root, ".github/actions/keep/action.yml", KEEP)
    put(root, "heavy", "heavy=true\n")
    put(root, "gate", "echo fine\n")
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root, "first")
    return root


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def commit(root, message):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", message)


def run(root, job=None):
    said = []
    program = Path(sys.executable).with_name("act")
    return ci.run(root, job=job, program=program, report=said.append), said


def results(found):
    return {job.name: job.result for job in found.jobs}


def test_outputs_artifacts_and_what_a_step_sees(root, monkeypatch):
    monkeypatch.setenv("PIPELINE_PORT", "1")
    commit(root, "second")
    found, said = run(root)
    assert list(results(found)) == ["changes", "one", "two", "heavy", "gate"]
    assert set(results(found).values()) == {"success"}
    assert "heavy | files reports/one reports/sub/two" in said
    assert said.index("changes | commit:second") < said.index("changes | commit:first")
    assert "changes | env:PIPELINE_PORT=none" in said
    assert "changes | hit []" in said
    assert any(line.startswith("changes | python 3.11.") for line in said)


def test_a_job_that_is_not_needed_is_skipped(root):
    put(root, "heavy", "heavy=false\n")
    commit(root, "light")
    found, said = run(root)
    assert results(found) == {
        **dict.fromkeys(("changes", "one", "two", "gate"), "success"),
        "heavy": "skipped",
    }
    (told,) = (line for line in said if line.startswith("gate | results "))
    assert sorted(told.split()[3].split(",")) == ["skipped", "success", "success", "success"]


def test_a_failure_is_seen_and_what_always_runs_runs(root):
    put(root, "gate", "echo last words; sleep 0.3; exit 3\n")
    commit(root, "bad")
    found, said = run(root)
    assert results(found) == {
        **dict.fromkeys(("changes", "two", "gate"), "success"),
        "one": "failure",
        "heavy": "skipped",
    }
    (bad,) = found.failed
    assert bad.step == "sh gate"
    assert bad.exit_code == 3
    assert "last words" in bad.evidence.splitlines()
    assert "one | kept as reports-one: 1 file(s)" in said


def test_one_job_and_what_it_needs(root):
    assert list(results(run(root, "two")[0])) == ["two"]
    assert list(results(run(root, "heavy")[0])) == ["changes", "one", "two", "heavy"]


def test_a_workflow_that_is_none(root):
    put(root, ".github/workflows/ci.yml", "on: [push\n")
    commit(root, "broken")
    with pytest.raises(UsageError) as caught:
        run(root)
    assert "did not find expected" in caught.value.details
