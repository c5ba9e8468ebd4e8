"""A clean clone of HEAD, and the gates in it, started as a person or a workflow starts them."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 600.0  # seconds; of one session, its first environment included
# What the session that runs us has fixed must not help those that we start.
PLAIN = ("PATH", "HOME", "USER", "TMPDIR", "TERM", "XDG_CACHE_HOME")
INDEX = (
    "PIP_",
    "UV_",
    "SSL_",
    "REQUESTS_",
    "CURL_",
    "HTTP",
    "http",
    "ALL_",
    "all_",
    "NO_P",
    "no_p",
)


def plain() -> dict[str, str]:
    """Return an environment as a shell has it: how to reach the package index, and little else."""
    return {
        name: value for name, value in os.environ.items() if name in PLAIN or name.startswith(INDEX)
    }


def git(root: Path, *argv: str) -> str:
    identity = ("-c", "user.name=parity", "-c", "user.email=parity@example.org")
    ran = subprocess.run(
        ["git", *identity, *argv], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@dataclass(frozen=True)
class Checkout:
    """A checkout whose gates can be run."""

    root: Path

    def run(self, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `nox ...` or `invoke ...` by its own bin/; both streams come back in one."""
        program, *arguments = command.split()
        return subprocess.run(
            [str(self.root / "bin" / program), *arguments],
            cwd=self.root,
            env=plain() | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def edit(self, path: str, text: str, *, instead_of: str = "") -> None:
        """Replace a part of a file; without `instead_of`, add to its end."""
        before = self.root.joinpath(path).read_text(encoding="utf-8")
        assert instead_of in before, f"{path} has no {instead_of!r}"
        after = before.replace(instead_of, text, 1) if instead_of else before + text
        assert after != before
        self.root.joinpath(path).write_text(after, encoding="utf-8")


@pytest.fixture(scope="session")
def _clone(tmp_path_factory):
    root = tmp_path_factory.mktemp("parity") / "clone"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(root))
    git(root, "checkout", "--quiet", "-B", "main")
    return Checkout(root)


@pytest.fixture
def clone(_clone):
    """Return a clean clone of HEAD; its environments stay from test to test, its files do not."""
    head = git(_clone.root, "rev-parse", "main")
    yield _clone
    git(_clone.root, "checkout", "--quiet", "--force", "-B", "main", head)
    git(_clone.root, "clean", "--quiet", "--force", "-d")
