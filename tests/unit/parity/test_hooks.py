"""The pre-push hook, by real git: `git push` to a repository beside, with a stub for bin/nox."""

import os
import subprocess

import pytest

from pipeline.errors import UnavailableError, UsageError
from pipeline.parity import hooks

STUB = """\
#!/bin/sh
echo "nox $*" >>"{log}"
env | grep ^GIT_ >>"{log}.environ"
cat >>"{log}.stdin"
git rev-parse HEAD >>"{log}.head"
case "$*" in "{fails}") exit 1 ;; esac
"""
NOTHING = "no such arguments"


def git(root, *argv, check=True):
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    return subprocess.run(
        ["git", *identity, *argv], cwd=root, check=check, capture_output=True, text=True
    )


@pytest.fixture
def log(tmp_path):
    """What bin/nox notes."""
    return tmp_path / "log"


@pytest.fixture
def root(tmp_path, log, monkeypatch):
    """A checkout with an origin, and with a stub of bin/nox."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = tmp_path / "checkout"
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(root))
    git(root, "remote", "add", "origin", str(tmp_path / "origin"))
    stub(root, log)
    (root / "file").touch()
    commit(root)
    return root


def stub(root, log, fails=NOTHING):
    program = root / "bin/nox"
    program.parent.mkdir(exist_ok=True)
    program.write_text(STUB.format(log=log, fails=fails))
    program.chmod(0o755)


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")


def push(root, *what):
    """Push; return whether it was let through, and what was said."""
    ran = git(root, "push", *(what or ("origin", "main")), check=False)
    return ran.returncode == 0, ran.stderr


def calls(log):
    return log.read_text().splitlines() if log.exists() else []


def place(root):
    return root / ".git/hooks/pre-push"


def test_a_push_runs_the_gates_first(root, log):
    assert hooks.install(root) == f"installed: {place(root)}"
    passed, said = push(root)
    assert passed, said
    assert calls(log) == ["nox "]
    assert "pre-push" not in said
    assert git(root, "ls-remote", "origin", "main").stdout


def test_a_gate_that_fails_stops_the_push(root, log):
    hooks.install(root)
    stub(root, log, fails="")
    commit(root)
    passed, _ = push(root)
    assert not passed
    assert calls(log) == ["nox "]
    assert git(root, "ls-remote", "origin").stdout == ""


def test_whoever_insists_pushes_without(root, log):
    hooks.install(root)
    passed, _ = push(root, "--no-verify", "origin", "main")
    assert passed
    assert calls(log) == []


def test_the_long_ones_run_after_the_gates(root, log):
    hooks.install(root, full=True)
    assert push(root)[0]
    assert calls(log) == ["nox ", "nox -s e2e", "nox -s faults -- --tenth", "nox -s parity"]


def test_a_long_one_that_fails_stops_the_push(root, log):
    hooks.install(root, full=True)
    stub(root, log, fails="-s e2e")
    commit(root)
    assert not push(root)[0]
    assert calls(log) == ["nox ", "nox -s e2e"]


def test_gates_see_none_of_gits_variables_and_nothing_to_read(root, log):
    hooks.install(root)
    assert push(root)[0]
    seen = log.with_name("log.environ").read_text()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        assert f"{name}=" not in seen
    assert log.with_name("log.stdin").read_text() == ""


def test_a_checkout_that_git_was_told_of_is_the_one_that_is_checked(root, log, tmp_path):
    hooks.install(root)
    here = ("--git-dir", str(root / ".git"), "--work-tree", str(root))
    ran = git(root, *here, "push", "origin", "main", check=False)
    assert ran.returncode == 0, ran.stderr
    head = git(root, "rev-parse", "HEAD").stdout
    assert log.with_name("log.head").read_text() == head
    assert "GIT_DIR" not in log.with_name("log.environ").read_text()


def edit(root):
    (root / "file").write_text("changed")


def stage(root):
    (root / "file").write_text("changed")
    git(root, "add", "file")


def add(root):
    (root / "new").touch()


def move_on(root):
    git(root, "branch", "--quiet", "other")
    add(root)
    commit(root)


@pytest.mark.parametrize(
    ("change", "branch"), [(edit, "main"), (stage, "main"), (add, "main"), (move_on, "other")]
)
def test_a_tree_that_is_not_what_is_pushed_is_warned_of(root, log, change, branch):
    hooks.install(root)
    change(root)
    passed, said = push(root, "origin", branch)
    assert passed
    assert "pre-push: the gates look at the working tree, and that is not what is pushed" in said
    assert calls(log) == ["nox "]


def test_a_branch_that_goes_away_needs_no_gate(root, log):
    push(root)
    hooks.install(root)
    git(root, "push", "--quiet", "--no-verify", "origin", "main:other")
    passed, _ = push(root, "origin", "--delete", "other")
    assert passed
    assert calls(log) == []


def test_a_branch_that_goes_away_does_not_hide_another(root, log):
    hooks.install(root)
    git(root, "push", "--quiet", "--no-verify", "origin", "main:other")
    assert push(root, "origin", ":other", "main")[0]
    assert calls(log) == ["nox "]


def test_a_worktree_pushes_what_is_its_own(root, log, tmp_path):
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "--quiet", "-b", "feature/x", str(tree))
    assert hooks.install(tree) == f"installed: {place(root)}"
    add(tree)
    commit(tree)
    passed, said = push(tree, "origin", "feature/x")
    assert passed
    assert "not what is pushed" not in said
    assert log.with_name("log.head").read_text() == git(tree, "rev-parse", "HEAD").stdout


def test_it_is_put_where_git_looks(root, log):
    git(root, "config", "core.hooksPath", ".githooks")
    assert hooks.install(root) == f"installed: {root / '.githooks/pre-push'}"
    assert not place(root).exists()
    assert push(root)[0]
    assert calls(log) == ["nox "]


@pytest.mark.parametrize("elsewhere", ["/dev/null", "{tmp_path}/shared"])
@pytest.mark.parametrize("do", [hooks.install, hooks.remove])
def test_a_folder_that_other_repositories_use_is_left_alone(root, tmp_path, elsewhere, do):
    folder = elsewhere.format(tmp_path=tmp_path)
    git(root, "config", "core.hooksPath", folder)
    with pytest.raises(UsageError) as caught:
        do(root)
    assert folder in caught.value.message
    assert caught.value.hint == f"git config core.hooksPath {root / '.git/hooks'}"
    assert not (tmp_path / "shared").exists()


def test_twice_is_once(root):
    hooks.install(root)
    before = place(root).stat().st_ino
    assert hooks.install(root) == f"is there already: {place(root)}"
    assert place(root).stat().st_ino == before


def test_our_own_is_replaced(root):
    hooks.install(root, full=True)
    assert hooks.install(root) == f"replaced: {place(root)}"
    assert "e2e" not in place(root).read_text()
    assert os.access(place(root), os.X_OK)
    assert [path.name for path in place(root).parent.glob("*pre-push*")].count("pre-push") == 1


def somebodys(path):
    path.write_text("#!/bin/sh\necho by hand\n")


def binary(path):
    path.write_bytes(b"\xff\xfe")


def link(path):
    path.symlink_to(path.with_name("ours"))
    path.with_name("ours").write_text(hooks.SCRIPT)


def dead_link(path):
    path.symlink_to("nowhere")


def folder(path):
    path.mkdir()


def seen(path):
    """Return what tells whether a file was changed; that it was read does not count."""
    now = os.lstat(path)
    return now.st_mode, now.st_size, now.st_ino, now.st_mtime_ns, now.st_ctime_ns


@pytest.mark.parametrize("make", [somebodys, binary, link, dead_link, folder])
@pytest.mark.parametrize("do", [hooks.install, hooks.remove])
def test_another_hook_is_left_alone(root, make, do):
    place(root).parent.mkdir(exist_ok=True)
    make(place(root))
    before = seen(place(root))
    with pytest.raises(UsageError) as caught:
        do(root)
    assert str(place(root)) in caught.value.message
    assert "./bin/nox" in caught.value.hint
    assert caught.value.exit_code == 2
    assert seen(place(root)) == before


def test_our_own_is_removed(root, log):
    hooks.install(root)
    assert hooks.remove(root) == f"removed: {place(root)}"
    assert push(root)[0]
    assert calls(log) == []
    assert hooks.remove(root) == f"there is none: {place(root)}"


@pytest.mark.parametrize("do", [hooks.install, hooks.remove])
@pytest.mark.parametrize("what", ["nothing", "bare"])
def test_outside_a_checkout(root, tmp_path, do, what):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UsageError, match="no git checkout") as caught:
        do(tmp_path / ("origin" if what == "bare" else what))
    assert caught.value.hint


def test_a_hook_that_cannot_be_written(root):
    git(root, "config", "core.hooksPath", "file/hooks")
    with pytest.raises(UnavailableError) as caught:
        hooks.install(root)
    assert "file/hooks" in caught.value.message


def test_a_hook_that_cannot_be_removed(root, monkeypatch):
    hooks.install(root)

    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(place(root)), "unlink", denied)
    with pytest.raises(UnavailableError, match="Permission denied"):
        hooks.remove(root)
