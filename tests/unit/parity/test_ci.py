"""What `invoke ci` runs: HEAD, in a clean clone, with a push as the event."""

import dataclasses
import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

import tasks
from pipeline.errors import UsageError
from pipeline.parity import ci
from pipeline.parity.heard import Job
from pipeline.view import program
from tests.unit.parity.fake_act import FakeAct

WORKFLOW = "on: push\njobs:\n  changes:\n  lint:\n"


def git(root, *argv):
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    ran = subprocess.run(
        ["git", *identity, *argv], cwd=root, check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


def commit(root, message="one"):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made; and nobody's git has settings."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return folder


@pytest.fixture
def root(tmp_path, temporary):
    root = tmp_path / "checkout"
    workflow = root / ".github/workflows/ci.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(WORKFLOW)
    git(root, "init", "--quiet", "--initial-branch", "fix/it")
    commit(root)
    return root


@pytest.fixture
def act(tmp_path):
    return FakeAct(tmp_path / "fake")


@pytest.fixture
def run(root, act):
    def call(root=root, **options):
        return ci.run(root, **{"program": act.program, "report": [].append, **options})

    return call


@pytest.fixture
def clone(act):
    return act.folder / "clone"


def test_a_clean_clone_of_head_on_its_branch(run, root, clone):
    head = commit(root, "two")
    (root / "untracked").touch()
    (root / ".github/workflows/ci.yml").write_text("not committed")
    said = []
    found = run(report=said.append)
    assert (found.commit, found.branch) == (head, "fix/it")
    assert "not committed" in said[0]
    assert git(clone, "rev-parse", "HEAD") == head
    assert git(clone, "branch", "--show-current") == "fix/it"
    assert git(clone, "log", "--format=%s") == "two\none"
    assert git(clone, "status", "--porcelain") == ""
    assert (clone / ".github/workflows/ci.yml").read_text() == WORKFLOW


def test_nothing_is_said_of_a_clean_tree(run):
    said = []
    run(report=said.append)
    assert not any("committed" in line for line in said)


def test_the_event_is_a_push_of_it(run, act, root):
    first = git(root, "rev-parse", "HEAD")
    head = commit(root, "two")
    run()
    assert act.event() == {
        "ref": "refs/heads/fix/it",
        "before": 40 * "0",
        "after": head,
        "repository": {"default_branch": "main"},
    }
    run(base=first)
    assert act.event()["before"] == first


def test_nothing_is_sent_to_codecov(run, act):
    run()
    assert act.given("--var") == ["PIPELINE_COVERAGE=off"]


def test_the_clone_knows_what_the_checkout_knows_of_its_origin(run, act, root, clone):
    base = git(root, "rev-parse", "HEAD")
    git(root, "remote", "add", "origin", "https://somebody:sentinel@github.com/some/where.git")
    git(root, "update-ref", "refs/remotes/origin/trunk", base)
    git(root, "update-ref", "refs/remotes/origin/fix/it", base)
    git(root, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    head = commit(root, "two")
    run()
    assert git(clone, "remote", "get-url", "origin") == "https://github.com/some/where.git"
    assert git(clone, "rev-parse", "origin/trunk", "origin/fix/it") == f"{base}\n{head}"
    assert act.event()["repository"]["default_branch"] == "trunk"
    assert "sentinel" not in (clone / ".git/config").read_text()


def test_an_origin_by_ssh_stays_as_it_is(run, root, clone):
    git(root, "remote", "add", "origin", "git@github.com:some/where.git")
    run()
    assert git(clone, "remote", "get-url", "origin") == "git@github.com:some/where.git"


def test_a_hook_of_git_that_calls_it_does_not_disturb(run, root, monkeypatch, tmp_path):
    head = git(root, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert run().commit == head


def test_a_worktree_is_a_checkout(run, root, clone, tmp_path):
    git(root, "worktree", "add", "--quiet", "-b", "feature/x", str(tmp_path / "tree"))
    head = commit(tmp_path / "tree", "in the tree")
    found = run(tmp_path / "tree")
    assert (found.commit, found.branch) == (head, "feature/x")
    assert git(clone, "rev-parse", "HEAD") == head


def no_checkout(root):
    shutil.rmtree(root / ".git")
    return "no commit to run"


def no_commit(root):
    git(root, "switch", "--quiet", "--orphan", "fix/other")
    return "no commit to run"


def no_branch(root):
    git(root, "switch", "--quiet", "--detach")
    return "on no branch"


def no_workflow(root):
    (root / ".github/workflows/ci.yml").unlink()
    commit(root)
    return "no .github/workflows/ci.yml"


@pytest.mark.parametrize("state", [no_checkout, no_commit, no_branch, no_workflow])
def test_what_cannot_be_run_is_refused(run, act, root, state):
    said = state(root)
    with pytest.raises(UsageError) as caught:
        run()
    assert said in caught.value.message
    assert caught.value.hint
    assert not act.ran()


def test_an_unknown_job_is_refused(run):
    with pytest.raises(UsageError, match="no job 'nope'") as caught:
        run(job="nope")
    assert "changes, lint" in caught.value.hint


def test_nothing_stays_behind(run, temporary):
    run()
    assert list(temporary.iterdir()) == []


def test_nothing_stays_behind_after_a_cancel(run, act, temporary):
    begun = {"jobID": "lint", "level": "info", "msg": "begun", "raw_output": True}
    act.does(f"echo $$ >pid\necho '{json.dumps(begun)}'\nsleep 60")

    def cancel(line):
        assert line == "lint | begun"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(report=cancel)
    assert list(temporary.iterdir()) == []
    process = Path("/proc", act.read("pid").strip())
    deadline = time.monotonic() + 5
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not process.exists()


def test_act_is_the_locks(run, root, act, monkeypatch):
    asked = []

    def ensure(folder, groups, *, root, report):
        asked.append((folder, groups, root))
        return act.folder

    monkeypatch.setattr(ci.environments, "ensure", ensure)
    run(program=None)
    assert asked == [(root / ".nox/act", ("act",), root)]
    assert act.ran()


JOBS = (
    Job(name="tests", result="success", seconds=61.04),
    Job(
        name="lint",
        result="failure",
        seconds=2.0,
        step="nox -s lint",
        exit_code=1,
        evidence="app.py\nbad",
    ),
    Job(name="e2e", result="skipped"),
)
FOUND = ci.Report(commit="c0ffee", branch="fix/it", jobs=JOBS, stand_ins=("actions/cache",))


def test_what_people_read():
    lines = ci.table(FOUND)
    assert lines[:7] == [
        "lint | app.py",
        "lint | bad",
        "ci.yml of c0ffee (fix/it)",
        "tests  success     61.0 s",
        "lint   failure      2.0 s  nox -s lint (exit code 1)",
        "e2e    skipped",
        "stood in for: actions/cache",
    ]
    assert lines[7] == "act cannot show:"
    for word in ("permissions", "reviewers", "concurrency", "OIDC", "caches", "images"):
        assert any(word in line for line in lines[8:]), word


def test_what_programs_read():
    found = FOUND.as_dict()
    assert found["jobs"]["lint"] == {
        "result": "failure",
        "seconds": 2.0,
        "step": "nox -s lint",
        "exit_code": 1,
    }
    assert found["jobs"]["e2e"]["step"] is None
    assert list(found["jobs"]) == ["tests", "lint", "e2e"]
    assert set(found) == {"commit", "branch", "jobs", "stand_ins", "cannot_show"}


@pytest.fixture
def invoke(monkeypatch):
    """Run the task; return its exit code. It takes the signals: give them back."""
    before = {each: signal.getsignal(each) for each in program._cancels()}

    def run(found, **flags):
        monkeypatch.setattr(ci, "run", lambda *_, **__: found)
        try:
            tasks.ci(Context(), **flags)
        except Exit as ended:
            return ended.code
        return 0

    yield run
    for each, handler in before.items():
        signal.signal(each, handler)


def test_the_exit_code_tells_whether_a_job_failed(invoke, capsys):
    assert invoke(FOUND, json=True) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == ci.table(FOUND)
    assert json.loads(lines[-1])["jobs"]["lint"]["result"] == "failure"
    assert invoke(dataclasses.replace(FOUND, jobs=(JOBS[0], JOBS[2]))) == 0


def test_a_base_that_is_no_commit_is_refused(invoke, capsys):
    assert invoke(FOUND, base="nope") == 2
    assert "'nope'" in capsys.readouterr().err
