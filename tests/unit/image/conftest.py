"""A checkout with real git, and an engine with its registry in memory."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.image.commit import Commit
from pipeline.settings import Secret, Settings
from tests.fake_docker import SHA, FakeDocker, install


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    return install(monkeypatch)


@pytest.fixture
def settings() -> Settings:
    return Settings(
        registry="registry.example",
        repository="team/app",
        registry_user="ci",
        registry_password=Secret("hunter2"),
        ca_bundle=Path(),
    )


@pytest.fixture
def commit() -> Commit:
    return Commit(
        sha=SHA,
        committed_at="2026-01-02T03:04:05+01:00",
        version="",
        migrations="m" * 40,
        source="https://git.example/team/app",
    )


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run git in a fresh repository, `tmp_path / "checkout"`."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@example.org")
        monkeypatch.setenv(f"GIT_{who}_DATE", "2026-01-02T03:04:05+01:00")

    def run(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=root, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "-q", "-b", "main")
    return run


@pytest.fixture
def root(git: Callable[..., str], tmp_path: Path) -> Path:
    """The checkout, with one commit."""
    root = tmp_path / "checkout"
    (root / "migrations").mkdir()
    (root / "migrations" / "one.py").write_text("1")
    (root / "file").write_text("committed")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    return root
