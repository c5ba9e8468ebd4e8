"""When an environment is kept, and when it is made anew; how uv makes one is tests/parity's."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import CommandError
from pipeline.parity import environments

LOCK = """
[[package]]
name = "tool"
version = "{version}"
groups = ["lint"]
files = [{{hash = "sha256:00"}}]

[[package]]
name = "other"
version = "{other}"
groups = ["test"]
files = []
"""
BIN = Path(__file__).resolve().parents[3] / "bin"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "bin").mkdir()
    shutil.copy(BIN / "lock", tmp_path / "bin/lock")
    write_lock(tmp_path)
    return tmp_path


def write_lock(root, version="1.0", other="1.0"):
    (root / "poetry.lock").write_text(LOCK.format(version=version, other=other))


@pytest.fixture
def made(root, monkeypatch):
    """Return the requirements of each environment that was made."""
    calls = []

    def make(folder, requirements):
        calls.append(requirements)
        shutil.rmtree(folder, ignore_errors=True)
        packages = folder / "lib/python3.11/site-packages"
        packages.mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "bin/python").symlink_to(shutil.which("sh"))
        (folder / environments.REQUIREMENTS).write_text(requirements)
        (folder / "pyvenv.cfg").write_text("version_info = 3.11.7\n")
        (packages / "tool.py").write_text("print('tool')\n")

    monkeypatch.setattr(environments, "_make", make)
    return calls


@pytest.fixture
def ensure(root, made):
    said = []

    def call(*groups):
        said.clear()
        environments.ensure(root / "env", groups or ("lint",), root=root, report=said.append)
        return said

    return call


def module(root):
    return root / "env/lib/python3.11/site-packages/tool.py"


def test_what_is_not_there_is_made_from_the_lock(ensure, made):
    (said,) = ensure()
    assert "not there yet" in said
    assert made == ["tool==1.0 --hash=sha256:00\n"]


def test_what_is_as_it_was_made_is_left_alone(ensure, made):
    ensure()
    assert ensure() == []
    assert len(made) == 1


def edit(path):
    path.write_text("print('edited')\n")


def edit_behind_the_clock(path):
    before = path.stat()
    path.write_text("print('TOOL')\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(path):
    path.unlink()


def add_a_module(path):
    path.with_name("sitecustomize.py").touch()


def add_a_program(path):
    (path.parents[3] / "bin/ruff").touch()


def replace_by_a_link(path):
    copy = path.parents[4] / "elsewhere.py"
    path.rename(copy)
    path.symlink_to(copy)
    copy.write_text("print('elsewhere')\n")


@pytest.mark.parametrize(
    "change",
    [edit, edit_behind_the_clock, remove, add_a_module, add_a_program, replace_by_a_link],
)
def test_what_was_changed_by_hand_is_made_anew(root, ensure, made, change):
    ensure()
    change(module(root))
    (said,) = ensure()
    assert "changed since it was made" in said
    assert len(made) == 2
    assert module(root).read_text() == "print('tool')\n"
    assert ensure() == []


def test_the_first_changed_files_are_named(root, ensure):
    ensure()
    for name in "abcd":
        (root / "env/bin" / name).touch()
    (said,) = ensure()
    assert "bin/a, bin/b, bin/c and 1 more" in said


def test_what_came_back_from_a_cache_is_kept(root, ensure, made):
    ensure()
    shutil.copytree(root / "env", root / "cached", symlinks=True)
    shutil.rmtree(root / "env")
    (root / "cached").rename(root / "env")
    os.utime(module(root))
    assert ensure() == []
    assert len(made) == 1


def test_bytecode_and_what_nox_keeps_there_is_no_change(root, ensure, made):
    ensure()
    for name in ("tmp", "lib/python3.11/site-packages/__pycache__"):
        (root / "env" / name).mkdir()
        (root / "env" / name / "some").touch()
    assert ensure() == []


def test_a_changed_lock_makes_it_anew(root, ensure, made):
    ensure()
    write_lock(root, version="2.0")
    (said,) = ensure()
    assert "the lock has changed" in said
    assert made[1].startswith("tool==2.0")


def test_a_lock_that_changed_elsewhere_leaves_it_alone(root, ensure, made):
    ensure()
    write_lock(root, other="2.0")
    assert ensure() == []
    assert len(made) == 1


def test_other_groups_make_it_anew(ensure, made):
    ensure()
    ensure("lint", "test")
    assert len(made) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"lock": 1}', "\x00"])
def test_one_that_was_never_finished_is_made_anew(root, ensure, made, text):
    ensure()
    (root / "env" / environments.STAMP).write_text(text)
    (said,) = ensure()
    assert "not finished" in said
    assert len(made) == 2


def test_one_whose_python_is_gone_or_new_is_made_anew(root, ensure, made):
    ensure()
    python = root / "env/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    (said,) = ensure()
    assert "bin/python" in said or "the interpreter" in said
    assert len(made) == 2


def test_an_unknown_group_is_an_error(ensure):
    with pytest.raises(CommandError, match="lock") as caught:
        ensure("nonsense")
    assert "has no group nonsense" in caught.value.details


def test_without_python_nothing_is_removed(root, monkeypatch):
    monkeypatch.setattr(environments, "PYTHON", "python3.11-that-is-not-there")
    (root / "env").mkdir()
    with pytest.raises(CommandError, match="not on PATH"):
        environments.ensure(root / "env", ("lint",), root=root, report=print)
    assert (root / "env").is_dir()


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "no_proxy", "UV_DEFAULT_INDEX", "PIP_CERT", "DOCKER_HOST", "HOME"]
)
def test_a_gate_can_reach_the_index_and_the_engine(name):
    assert environments.closed({name: "x"})[name] == "x"


def test_uv_asks_the_index_that_pip_asks():
    pips = {"PIP_INDEX_URL": "https://index.example/simple"}
    assert environments.closed(pips)["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    both = pips | {"UV_DEFAULT_INDEX": "https://other.example/simple"}
    assert environments.closed(both)["UV_DEFAULT_INDEX"] == "https://other.example/simple"


@pytest.mark.parametrize(
    "name",
    [
        *("PYTEST_ADDOPTS", "DATABASE_URL", "PYTHONPATH", "ENV_FILE", "PIPELINE_PORT", "CI"),
        *("VIRTUAL_ENV", "UV_PYTHON", "UV_NO_VERIFY_HASHES", "PIP_TARGET", "COVERAGE_FILE"),
        *("GIT_DIR", "GITHUB_ACTIONS", "CODECOV_TOKEN", "RUFF_CONFIG", "MYPYPATH"),
    ],
)
def test_nothing_else_of_the_caller_reaches_a_gate(name):
    assert name not in environments.closed({name: "x"})


def test_what_varies_between_machines_is_fixed():
    given = {"TZ": "Pacific/Chatham", "GIT_CONFIG_GLOBAL": "/home/me/.gitconfig", "LC_ALL": "de"}
    assert given.items().isdisjoint(environments.closed(given).items())
