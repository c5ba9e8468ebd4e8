"""What can be typed or set is documented, and what is documented exists."""

import re
from pathlib import Path

import nox
import pytest
from invoke.collection import Collection

import noxfile
import tasks
from pipeline import errors, settings

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
TASKS = {context.name: context for context in Collection.from_module(tasks).to_contexts()}
SESSIONS = {
    session.name or function
    for function, session in nox.registry.get().items()
    if session.func.__module__ == noxfile.__name__
}
OPTIONS = {settings._variable(option): option for option in settings._options()}


def section(heading):
    """Return the text below a heading of docs/commands.md, up to the next one."""
    match = re.search(rf"^### `{heading}`$(.*?)(?=^##|\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert match, f"docs/commands.md has no heading: ### `{heading}`"
    return match[1]


def test_the_readme_starts_with_the_two_commands():
    block = re.search(r"```sh\n(.*?)```", README, re.DOTALL)[1]
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    assert commands[:2] == ["./bin/invoke up --yes", "./bin/nox"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_and_its_flags_are_documented(name):
    text = section(f"invoke {name}")
    for flag in TASKS[name].flags:
        assert not flag.startswith("--") or flag.startswith("--no-") or f"`{flag}" in text, flag


@pytest.mark.parametrize("name", sorted(SESSIONS))
def test_a_session_is_documented(name):
    assert section(f"nox -s {name}").strip()


def test_nothing_is_documented_that_does_not_exist():
    headings = set(re.findall(r"^### `(.*)`$", COMMANDS, re.MULTILINE))
    assert headings == {f"invoke {name}" for name in TASKS} | {f"nox -s {s}" for s in SESSIONS}


@pytest.mark.parametrize("text", [README, COMMANDS], ids=["README", "commands"])
def test_the_exit_codes_are_documented(text):
    raised = {getattr(errors, name).exit_code for name in errors.__all__}
    assert {int(code) for code in re.findall(r"^\| (\d) \|", text, re.MULTILINE)} == {0, *raised}


@pytest.mark.parametrize("variable", sorted(OPTIONS))
def test_a_setting_is_documented_as_it_is(variable):
    value, about = OPTIONS[variable].default, OPTIONS[variable].metadata["about"]
    default = format(value, "g") if isinstance(value, float) else str(value)
    default = "" if default in {"", ".", "()"} else f"`{default}`"
    assert f"| `{variable}` | {default} | {about} |" in COMMANDS


@pytest.mark.parametrize(
    "name", [*sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")), "README.md"]
)
def test_links_between_documents_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
