"""What is not the lock's is refused or repaired, by the real uv and the real Poetry."""

import re
import shutil

import pytest

SITE = ".nox/lint/lib/python3.11/site-packages"


@pytest.fixture
def linted(clone):
    """Return a clone whose session lint has run."""
    ran = clone.run("nox -s lint")
    assert ran.returncode == 0, ran.stdout
    return clone


def forge(clone, package):
    """Give each file of a package another hash than the index's in the lock."""
    lock = clone.root / "poetry.lock"
    before, name, after = lock.read_text().partition(f'name = "{package}"')
    entry, end, rest = after.partition("[[package]]")
    entry = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + 64 * "0", entry)
    lock.write_text(before + name + entry + end + rest)


def test_a_forged_hash_is_refused(linted):
    forge(linted, "ruff")
    ran = linted.run("nox -s lint")
    assert ran.returncode == 1
    assert re.search(r"hash", ran.stdout, re.IGNORECASE)
    assert "ruff" in ran.stdout
    assert "ruff check" not in ran.stdout, "it ran all the same"


def test_a_forged_hash_of_the_runner_is_refused(linted):
    forge(linted, "nox")
    ran = linted.run("nox -s lint")
    assert ran.returncode == 2
    assert "Next step" in ran.stdout or "its own message is above" in ran.stdout
    assert "Running session" not in ran.stdout


def test_a_stale_lock_is_refused(clone):
    clone.edit(
        "pyproject.toml",
        'lint = ["idna", "ruff >=0.12,<1"',
        instead_of='lint = ["ruff >=0.12,<1"',
    )
    ran = clone.run("nox -s lock")
    assert ran.returncode == 1
    assert "poetry.lock" in ran.stdout


def test_a_stray_package_is_removed(linted):
    stray = linted.root / SITE / "stray.py"
    stray.write_text("")
    ran = linted.run("nox -s lint")
    assert ran.returncode == 0
    assert "changed since it was made" in ran.stdout
    assert "stray.py" in ran.stdout
    assert not stray.exists()


def test_an_edited_file_is_repaired(linted):
    edited = linted.root / SITE / "ruff/__main__.py"
    before = edited.read_text()
    with edited.open("a") as file:  # in place: not even the cache of uv may see it
        file.write("raise SystemExit('edited')\n")
    ran = linted.run("nox -s lint")
    assert ran.returncode == 0
    assert "ruff/__main__.py" in ran.stdout
    assert edited.read_text() == before


def test_an_edited_program_is_repaired(linted):
    program = linted.root / ".nox/lint/bin/ruff"
    shutil.copy("/bin/true", program)
    linted.edit("tasks.py", "\n\nimport os\n")
    ran = linted.run("nox -s lint")
    assert "bin/ruff" in ran.stdout
    assert ran.returncode == 1, "a program that agrees with everything was asked"


def test_a_warm_environment_is_left_alone(linted):
    ran = linted.run("nox -s lint")
    assert ran.returncode == 0
    assert "making the environment" not in ran.stdout
