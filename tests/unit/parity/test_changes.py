import json
import subprocess

import pytest
from invoke.collection import Collection

import tasks
from pipeline.parity.changes import Changes, docs_only, since
from pipeline.settings import Settings
from pipeline.view import program, terminal


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Run git in a repository whose main has code and documentation; a branch has left it."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]

    def run(*argv, cwd=root):
        return subprocess.run(
            ["git", *identity, *argv], cwd=cwd, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "-q", "-b", "main")
    for name in ("app/code.py", "docs/a.md", "README.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("".join(f"{name} {line}\n" for line in range(20)))
    run("add", "-A")
    run("commit", "-q", "-m", "one")
    run("checkout", "-q", "-b", "topic")
    run.root = root
    return run


@pytest.fixture
def commit(git):
    """Write files and commit them; return the hash."""

    def make(*names):
        for name in names:
            path = git.root / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text("changed\n")
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "change")
        return git("rev-parse", "HEAD")

    return make


@pytest.mark.parametrize(
    "paths", [["docs/a.md"], ["docs/b/c.svg", "README.md", "LICENSE"], ["tests/deep/notes.md"]]
)
def test_documentation(paths):
    assert docs_only(paths)


@pytest.mark.parametrize(
    "paths",
    [
        [],
        ["app/code.py"],
        ["docs/a.md", "app/code.py"],
        ["docs"],
        ["docs.py"],
        ["app/docs/x.py"],
        ["README.mdx"],
        ["sub/LICENSE"],
        ["a.md/b.py"],
        [" docs/a"],
    ],
)
def test_what_is_not_only_documentation(paths):
    assert not docs_only(paths)


def test_documentation_is_light(git, commit):
    commit("docs/ä\n.md", "README.md")
    assert since(None, root=git.root) == Changes(
        heavy=False, reason="only documentation since main", paths=("README.md", "docs/ä\n.md")
    )


def test_code_is_heavy_and_named_first(git, commit):
    commit("docs/a.md", "app/code.py")
    found = since(None, root=git.root)
    assert (found.heavy, found.paths) == (True, ("app/code.py",))


@pytest.mark.parametrize("move", [("app/code.py", "docs/code.md"), ("docs/a.md", "app/a.py")])
def test_what_became_documentation_was_code(move, git, commit):
    git("mv", *move)
    commit()
    assert since(None, root=git.root).heavy


def test_code_that_is_gone_is_heavy(git, commit):
    git("rm", "-q", "app/code.py")
    commit()
    assert since(None, root=git.root).paths == ("app/code.py",)


def test_what_others_did_meanwhile_does_not_count(git, commit):
    commit("docs/a.md")
    git("checkout", "-q", "main")
    base = commit("app/code.py")
    git("checkout", "-q", "topic")
    assert not since(base, root=git.root).heavy
    assert not since(None, root=git.root).heavy


def test_every_commit_of_a_branch_counts(git, commit):
    before = commit("app/code.py")
    commit("docs/a.md")
    assert not since(before, root=git.root).heavy
    assert since(None, root=git.root).heavy


def test_what_is_pushed_goes_before_what_is_here(git, commit):
    git("update-ref", "refs/remotes/origin/main", git("rev-parse", "main"))
    git("update-ref", "refs/heads/main", commit("app/code.py"))
    commit("docs/a.md")
    assert since(None, root=git.root).heavy


def test_no_difference_is_no_reason_to_do_less(git, commit):
    assert since(None, root=git.root) == Changes(heavy=True, reason="no difference from main")


def test_a_base_that_is_not_here(git):
    gone = "d" * 40
    assert since(gone, root=git.root) == Changes(
        heavy=True, reason=f"this checkout does not have {gone}"
    )


def test_no_main_branch(git, commit):
    git("branch", "-q", "-D", "main")
    commit("docs/a.md")
    found = since(None, root=git.root)
    assert found == Changes(heavy=True, reason="this checkout does not have origin/main nor main")


def test_a_shallow_checkout_is_not_compared(git, commit, tmp_path):
    base = commit("docs/b.md")
    commit("docs/c.md")
    shallow = tmp_path / "shallow"
    git("clone", "-q", "--depth=1", f"file://{git.root}", str(shallow))
    assert since(base, root=shallow).reason == f"this checkout does not have {base}"


def test_histories_that_never_met(git, commit):
    git("checkout", "-q", "--orphan", "other")
    commit("docs/a.md")
    found = since(None, root=git.root)
    assert found.heavy
    assert "no merge base" in found.reason


def test_no_checkout_and_no_git(tmp_path, monkeypatch):
    assert since(None, root=tmp_path).heavy
    monkeypatch.setenv("PATH", str(tmp_path))
    found = since(None, root=tmp_path)
    assert found.heavy
    assert "not installed" in found.reason


@pytest.fixture
def invoke(git, monkeypatch, capsys):
    """Run a command in the checkout; return its exit code and standard output."""
    monkeypatch.setattr(Settings, "root", git.root)
    monkeypatch.setattr(program, "_cancels", list)
    monkeypatch.setenv("GITHUB_OUTPUT", str(git.root / "output"))

    def run(*argv):
        code = 0
        try:
            program.Program(namespace=Collection.from_module(tasks)).run(["invoke", *argv])
        except SystemExit as ended:
            code = ended.code
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("path", ["docs/a.md", "app/code.py"])
def test_the_command_tells_people_and_the_workflow(path, invoke, commit, git):
    said, value = ("no", "false") if path == "docs/a.md" else ("yes", "true")
    commit(path)
    code, out = invoke("changes")
    assert code == 0
    assert out.startswith(f"heavy: {said} (")
    assert f"\n  - {path}\n" in out
    assert (git.root / "output").read_text().splitlines()[1] == value


def test_the_commands_base_is_the_flag_or_the_events(invoke, commit, git, monkeypatch):
    before = commit("app/code.py")
    head = commit("docs/a.md")
    event = git.root / "event.json"
    event.write_text(json.dumps({"before": before, "repository": {"default_branch": "main"}}))
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": head,
        "GITHUB_REF": "refs/heads/main",
    }.items():
        monkeypatch.setenv(name, value)
    assert "heavy: no" in invoke("changes")[1]
    assert "heavy: yes" in invoke("changes", "--base", "main")[1]
    monkeypatch.setenv("GITHUB_REF", "refs/heads/topic")
    assert "heavy: yes" in invoke("changes")[1]


def test_a_base_that_names_nothing(invoke):
    assert invoke("changes", "--base", "--oops")[0] == 2
    assert invoke("changes", "--base", "nowhere")[0] == 2


def test_a_path_is_no_command_of_githubs(capsys):
    paths = ("::error::x", "a\n::error::y", "b", "c", "d", "e", "f")
    terminal.changes(Changes(heavy=True, reason="r", paths=paths))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["  - ::error::x", r"  - 'a\n::error::y'"]
    assert lines[-1] == "  and 2 more"


@pytest.mark.parametrize(("result", "code"), [("success", 0), ("cancelled", 1)])
def test_green_is_told_by_the_exit_code(result, code, invoke, monkeypatch):
    monkeypatch.setenv("NEEDS", json.dumps({"lint": {"result": result}}))
    assert invoke("green")[0] == code


def test_green_without_needs_is_bad_usage(invoke, monkeypatch):
    monkeypatch.delenv("NEEDS", raising=False)
    assert invoke("green") == (2, "")
