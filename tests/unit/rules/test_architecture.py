"""Who may know whom. The picture is in docs/architecture.md."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pipeline import settings

ROOT = Path(__file__).resolve().parents[3]
TOP = (
    "up",
    "remote",
    "day",
    "envs",
    "ship",
    "beside",
    "hooks",
    "webhook",
    "prune",
    "pin",
    "status",
    "deploy",
    "standby",
    "attempt",
    "kept",
    "parts",
    "outcome",
)  # each may know those after it
GROUND = {"errors", "parsing", "settings", "shell", "ports"}
TASKS = ("tasks.py", "ci_tasks.py", "day_tasks.py", "server_tasks.py", "wiring.py")
WINGS = {  # wing -> wings that it may know, besides the ground
    "view": set(),
    "plan": {"release"},
    "engine": set(),
    "traffic": set(),
    "data": set(),
    "release": set(),
    "image": set(),
    "host": set(),
    "parity": set(),
    "ssh": set(),
}
FOREIGN = {  # what only these may import
    "subprocess": {"shell"},
    "docker": {"engine", "image", "host"},
    "sqlite3": {"release"},
    "fcntl": {"release", "image"},
    "invoke": {"view"},
}


def part(path):
    """Return the wing, or the top-level module, that a file of pipeline/ belongs to."""
    return Path(path).relative_to(ROOT / "pipeline").with_suffix("").parts[0]


def called(path):
    """Return what a file is called in every checkout."""
    return path.relative_to(ROOT).as_posix()


@cache
def nodes(path):
    """Return all that a file's syntax tree is made of."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path):
    """Return the dotted names that a file imports; what only type checkers read does not count."""
    unread = {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set()
    for node in nodes(path):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def known(path):
    """Return the other parts of pipeline/ that a file imports."""
    names = [dotted.split(".") for dotted in imports(path)]
    return {each[1] for each in names if each[0] == "pipeline"} - {part(path), "__init__"}


def test_every_part_has_its_place():
    parts = {part(path) for path in files("pipeline")} - {"__init__"}
    assert parts <= {*TOP, *GROUND, *WINGS}


@pytest.mark.parametrize("path", files("pipeline"), ids=called)
def test_an_arrow_runs_downwards_only(path):
    here = part(path)
    if here in WINGS:
        allowed = WINGS[here] | GROUND
    elif here in GROUND:
        allowed = GROUND
    else:
        allowed = {*TOP, *WINGS, *GROUND} - {"view"}
        allowed -= set(TOP[: TOP.index(here)]) if here in TOP else set()
    assert known(path) <= allowed


@pytest.mark.parametrize("path", files("pipeline"), ids=called)
def test_what_is_foreign_has_one_door(path):
    for name in imports(path):
        assert part(path) in FOREIGN.get(name.split(".")[0], {part(path)}), name


def test_the_gates_know_only_what_makes_environments():
    ours = {".".join(name.split(".")[:3]) for name in imports(ROOT / "noxfile.py")}
    ours = {name for name in ours if name.startswith("pipeline.")}
    parity = {f"pipeline.parity.{name}" for name in ("environments", "fingerprint")}
    assert ours == {*parity, "pipeline.view.github", "pipeline.errors.PipelineError"}


@pytest.mark.parametrize(("package", "other"), [("app", "pipeline"), ("pipeline", "app")])
def test_service_and_pipeline_do_not_know_each_other(package, other):
    users = {
        path for path in files(package) for name in imports(path) if name.split(".")[0] == other
    }
    assert not users


@pytest.mark.parametrize("path", [*files("pipeline"), *(ROOT / name for name in TASKS)], ids=called)
def test_the_environment_is_read_in_one_place(path):
    read = {
        node.attr
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    } & {"environ", "getenv", "environb"}
    # The reporting module has a variable of GitHub's for everything; closing an environment is
    # what environments.py is for.
    readers = {"settings.py", "shell.py", "github.py", "oidc.py", "environments.py"}
    assert not read or path.name in readers


@pytest.mark.parametrize(
    "path",
    [
        *files("pipeline"),
        *files("app"),
        *(ROOT / name for name in (*TASKS, "noxfile.py", "bin/lock", "bin/slim", "bin/there")),
    ],
    ids=called,
)
def test_nothing_depends_on_running_in_ci(path):
    strings = {
        node.value
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # What they change is how output looks, and of which commit a result is; never what is done.
    ours = path.name in {"github.py", "oidc.py"}
    theirs = {text for text in strings if re.fullmatch(r"CI|(GITHUB|ACTIONS)_\w+", text)}
    assert ours or theirs <= settings.SECRET_VARIABLES  # these are kept from children
