"""What holds for every file of the repository."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINES = 350
# Joined here, so that this file does not name them either.
HOSTS = {
    ".".join(name)
    for name in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    ]
}


def tracked(*patterns):
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_a_file_is_read_in_one_sitting():
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in tracked("*.py")}
    assert not {path: count for path, count in lines.items() if count > LINES}


def test_the_machine_says_where_packages_come_from():
    files = [path for path in tracked() if path.name != "poetry.lock"]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files}
    assert not {(path, host) for path, text in texts.items() for host in HOSTS if host in text}


def test_the_dockerfile_fetches_no_frontend():
    assert "syntax=" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    ["bin/bootstrap", "bin/lock", "bin/nox", "bin/invoke", "bin/slim", "bin/there", ".ci/run"],
)
def test_what_is_typed_can_be_executed(name):
    assert (ROOT / name).stat().st_mode & 0o111
