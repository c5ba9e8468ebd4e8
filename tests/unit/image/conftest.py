"""A checkout with real git, and an engine with its registry in memory."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.image.commit import Commit
from pipeline.settings import Secret, Settings
from tests.fake_docker import SHA, FakeDocker, install

WHO = ("AUTHOR", "COMMITTER")
GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "t" for who in WHO},
    **{f"GIT_{who}_EMAIL": "t@example.org" for who in WHO},
    **{f"GIT_{who}_DATE": "2026-01-02T03:04:05+01:00" for who in WHO},
}


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
def nobody(settings: Settings) -> Settings:
    """Settings without a login of the pipeline's own."""
    return replace(settings, registry_user="", registry_password=Secret(""))


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The user's Docker configuration; call it with what is in its file."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    def write(**config: object) -> Path:
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


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


def git_in(root: Path, *args: str, **how: object) -> str:
    return subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, **how
    ).stdout.strip()


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run git in `tmp_path / "checkout"`."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)
    return partial(git_in, root)


@pytest.fixture(scope="session")
def one_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, to be copied; to make one takes longer."""
    root = tmp_path_factory.mktemp("repository")
    (root / "migrations").mkdir()
    (root / "migrations" / "one.py").write_text("1")
    (root / "file").write_text("committed")
    for args in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "one")):
        git_in(root, *args, env={"PATH": os.environ["PATH"], "GIT_TEMPLATE_DIR": ""} | GIT)
    return root


def copy(source: str, target: str) -> None:
    """Copy a small file; what shutil asks the kernel for takes three times as long."""
    Path(target).write_bytes(Path(source).read_bytes())


@pytest.fixture
def root(git: Callable[..., str], tmp_path: Path, one_commit: Path) -> Path:
    """The checkout, with one commit."""
    root = tmp_path / "checkout"
    shutil.copytree(one_commit, root, dirs_exist_ok=True, copy_function=copy)
    return root
