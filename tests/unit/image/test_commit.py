import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import shell
from pipeline.errors import CommandError, UsageError
from pipeline.image import commit as module
from pipeline.image.commit import (
    describe,
    export,
    file_of,
    refuse_dirty,
    resolve_commit,
    tree_of_files,
)

UNKNOWN = "f" * 40

HOSTILE = [
    "",
    " ",
    "; rm -rf /",
    "$(id)",
    "`id`",
    "a|b",
    "a b",
    "../x",
    "/etc/passwd",
    "a..b",
    "HEAD...main",
    "-h",
    "--help",
    "--git-dir=/x",
    ":/message",
    "HEAD:file",
    "HEAD\n",
    "HEAD\x00",
    "\n",
    "é",
    "^main",
    "x" * 201,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_malformed_text_never_reaches_git(text, tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "run", lambda *args, **how: pytest.fail("git was asked"))

    for must_exist in (True, False):
        with pytest.raises(UsageError, match="does not name a commit") as refused:
            resolve_commit(text, root=tmp_path, must_exist=must_exist)
        assert refused.value.exit_code == 2
        assert "--sha" in refused.value.hint
        assert len(refused.value.message) < 200


@given(st.text(max_size=60) | st.text("0123456789abcdefABCDEF", min_size=38, max_size=42))
def test_whatever_is_typed_is_a_full_hash_or_refused(text):
    def no_git(*args, **how):
        raise CommandError("`git` is not installed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shell, "run", no_git)
        try:
            found = resolve_commit(text, root=module.Path(), must_exist=False)
        except UsageError:
            return
    assert found == text.lower()
    assert len(found) == 40


class TestResolve:
    @pytest.mark.parametrize("text", [None, "HEAD", "main", "@", "v1.0.0", "HEAD^0", "tags/v1.0.0"])
    def test_what_git_resolves(self, text, root, git):
        git("tag", "-a", "-m", "annotated", "v1.0.0")

        assert resolve_commit(text, root=root) == git("rev-parse", "HEAD")

    def test_full_and_short_hashes(self, root, git):
        head = git("rev-parse", "HEAD")

        assert resolve_commit(head.upper(), root=root) == head
        assert resolve_commit(head[:10], root=root) == head

    @pytest.mark.parametrize("text", ["nosuch", UNKNOWN, "HEAD~9", "HEAD^{tree}"])
    def test_what_this_checkout_lacks(self, text, root):
        with pytest.raises(UsageError, match="has no commit") as unknown:
            resolve_commit(text, root=root)

        assert "git fetch" in unknown.value.hint

    def test_a_repository_without_a_commit(self, git, tmp_path):
        git("init", "-q", "-b", "main")
        with pytest.raises(UsageError, match="has no commit 'HEAD'"):
            resolve_commit(None, root=tmp_path / "checkout")

    def test_a_deploy_host_takes_a_full_hash_as_it_is(self, tmp_path):
        assert resolve_commit(UNKNOWN.upper(), root=tmp_path, must_exist=False) == UNKNOWN

    def test_a_deploy_host_asks_git_for_the_rest(self, root, git):
        assert resolve_commit("main", root=root, must_exist=False) == git("rev-parse", "HEAD")

    def test_no_checkout(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

        with pytest.raises(UsageError, match="cannot read the checkout") as refused:
            resolve_commit("main", root=tmp_path)

        assert "not a git repository" in refused.value.details

    def test_no_git(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(UsageError, match="`git` is not installed") as refused:
            resolve_commit("main", root=tmp_path)

        assert "Install git" in refused.value.hint


class TestDescribe:
    def test_what_the_labels_say(self, root, git):
        git("remote", "add", "origin", "https://user:hunter2@git.example/team/app.git")
        for name in ("v1.4.2", "nightly"):
            git("tag", name)

        commit = describe(git("rev-parse", "HEAD"), root=root, migrations="migrations")

        assert commit.sha == git("rev-parse", "HEAD")
        assert commit.committed_at == "2026-01-02T03:04:05+01:00"
        assert commit.version == "1.4.2"
        assert commit.migrations == git("rev-parse", "HEAD:migrations")
        assert commit.source == "https://git.example/team/app"

    def test_what_is_not_there_is_empty(self, root, git):
        commit = describe(git("rev-parse", "HEAD"), root=root, migrations="nosuch")

        assert (commit.version, commit.migrations, commit.source) == ("", "", "")

    @pytest.mark.parametrize(
        ("names", "version"),
        [
            (["v1.9.0", "v1.10.0"], "1.10.0"),
            (["v1.4.2-rc1", "v1.4.2"], "1.4.2"),
            (["v1.4.2-rc1"], "1.4.2-rc1"),
            (["v1.4", "1.4.2", "v01.4.2", "v1.4.2+build", "version"], ""),
        ],
    )
    def test_the_highest_version_tag_counts(self, names, version, root, git):
        for name in names:
            git("tag", name)

        commit = describe(git("rev-parse", "HEAD"), root=root, migrations="m")

        assert commit.version == version

    @pytest.mark.parametrize(
        ("url", "source"),
        [
            ("git@git.example:team/app.git", "https://git.example/team/app"),
            ("ssh://git@git.example/team/app", "https://git.example/team/app"),
            ("http://git.example:3000/team/app", "http://git.example:3000/team/app"),
            ("/srv/git/app", ""),
            ("file:///srv/git/app", ""),
        ],
    )
    def test_the_source_is_a_web_address(self, url, source, root, git):
        git("remote", "add", "origin", url)

        assert describe(git("rev-parse", "HEAD"), root=root, migrations="m").source == source

    def test_an_unknown_commit(self, root):
        with pytest.raises(UsageError):
            describe(UNKNOWN, root=root, migrations="m")


class TestDirty:
    def test_a_clean_tree(self, root):
        (root / ".gitignore").write_text("ignored\n.gitignore\n")
        (root / "ignored").write_text("x")

        refuse_dirty(root)

    def test_a_change_is_named(self, root):
        (root / "file").write_text("changed")

        with pytest.raises(UsageError, match="working tree") as refused:
            refuse_dirty(root)

        assert refused.value.details.split() == ["M", "file"]
        assert "--sha HEAD" in refused.value.hint

    def test_many_new_files_are_cut_short(self, root):
        for number in range(9):
            (root / f"new{number}").write_text("x")

        with pytest.raises(UsageError) as refused:
            refuse_dirty(root)

        assert len(refused.value.details.splitlines()) == 6
        assert refused.value.details.endswith("...")


class TestExport:
    def test_the_commit_and_not_the_working_tree(self, root, git, tmp_path):
        (root / "file").write_text("changed")
        (root / "new").write_text("x")

        context = export(git("rev-parse", "HEAD"), tmp_path, root=root)

        files = {str(p.relative_to(context)) for p in context.rglob("*") if p.is_file()}
        assert files == {"file", "migrations/one.py"}
        assert (context / "file").read_text() == "committed"
        assert (context / "file").stat().st_mode & 0o777 == 0o644

    def test_an_unknown_commit(self, root, tmp_path):
        with pytest.raises(UsageError):
            export(UNKNOWN, tmp_path, root=root)


class TestTreeOfFiles:
    def test_the_files_as_they_are_and_nothing_that_git_ignores(self, root, git, tmp_path):
        (root / "file").write_text("changed")
        (root / "new").write_text("x")
        (root / ".gitignore").write_text("ignored\n")
        (root / "ignored").write_text("x")
        before = git("status", "--porcelain")

        context = export(tree_of_files(root), tmp_path, root=root)

        files = {str(p.relative_to(context)) for p in context.rglob("*") if p.is_file()}
        assert files == {".gitignore", "file", "new", "migrations/one.py"}
        assert (context / "file").read_text() == "changed"
        assert git("status", "--porcelain") == before

    def test_the_commits_own_tree_where_nothing_changed(self, root, git):
        assert tree_of_files(root) == git("rev-parse", "HEAD^{tree}")


class TestFileOf:
    def test_the_committed_text(self, root, git):
        (root / "file").write_text("changed")

        assert file_of(git("rev-parse", "HEAD"), "file", root=root) == "committed"

    def test_none_where_the_checkout_lacks_it(self, root, git):
        assert file_of(UNKNOWN, "file", root=root) is None
        assert file_of(git("rev-parse", "HEAD"), "nosuch", root=root) is None


def test_a_failure_that_is_no_answer_is_told(root, git):
    with pytest.raises(UsageError, match="git failed with exit code 1"):
        module._must(["config", "--get", "no.such"], root)
