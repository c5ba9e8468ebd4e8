"""A clean clone of this repository's HEAD, with commits of the tests' own on top."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CRASHES_AFTER = 4  # seconds after its start

# Each makes one commit on top of HEAD: path -> what becomes of its text ("" where it is new).
CHANGES: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "b": {"app/templates/index.html": lambda text: text.replace("</footer>", " · B</footer>")},
    "exits": {
        "app/main.py": lambda text: (
            "import os, sys\n"
            "sys.stderr.write('cannot use ' + os.environ['DATABASE_URL'] + '\\n')\n"
            "raise SystemExit(7)\n"
        )
    },
    "unready": {"app/schema.py": lambda text: text + '\nHEAD = "9999"\n'},
    "wrong": {"Dockerfile": lambda text: text + f"ENV APP_SHA={'0' * 40}\n"},
    "migration": {
        "app/migrations/versions/0002_broken.py": lambda text: (
            "import os, sys\n"
            "from alembic import op\n"
            "revision, down_revision = '0002', '0001'\n"
            "def upgrade():\n"
            "    sys.stderr.write('on ' + os.environ['DATABASE_URL'] + '\\n')\n"
            "    op.execute('SELECT * FROM nowhere')\n"
        )
    },
    # Long after it got ready, even on a busy machine.
    "crashes": {
        "app/main.py": lambda text: (
            text + "\n\nimport os, sys, threading\n"
            "def crash():\n"
            "    sys.stderr.write('lost ' + os.environ['DATABASE_URL'] + '\\n')\n"
            "    os._exit(7)\n"
            f"timer = threading.Timer({CRASHES_AFTER}, crash)\n"
            "timer.daemon = True\n"
            "timer.start()\n"
        )
    },
    # Only people who come through the proxy are told another commit.
    "masked": {
        "app/main.py": lambda text: (
            text + "\n\nfrom starlette.responses import JSONResponse\n"
            "@app.middleware('http')\n"
            "async def mask(request, call_next):\n"
            "    if request.url.path == '/health' and 'x-forwarded-for' in request.headers:\n"
            "        return JSONResponse({'status': 'healthy', 'sha': '0' * 40})\n"
            "    return await call_next(request)\n"
        )
    },
}


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A clone.

    Attributes:
        root: Its folder.
        commits: Full hashes by name: `a` is HEAD, the others are CHANGES.
    """

    root: Path
    commits: Mapping[str, str]

    @classmethod
    def clone(cls, root: Path) -> "Checkout":
        """Clone HEAD into `root`, which must not exist yet."""
        _git(REPOSITORY, "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(root))
        head = _git(root, "rev-parse", "HEAD")
        commits = {"a": head}
        for name, changes in CHANGES.items():
            _git(root, "checkout", "--quiet", "-b", f"e2e-{name}", head)
            for path, change in changes.items():
                _edit(root / path, change)
            _git(root, "add", "--all")
            _git(root, "commit", "--quiet", "--message", f"Change for the tests: {name}")
            commits[name] = _git(root, "rev-parse", "HEAD")
        _git(root, "checkout", "--quiet", "-B", "main", head)
        return cls(root=root, commits=commits)


def commit(root: Path, path: str, change: Callable[[str], str]) -> str:
    """Change one file in a clone; return the hash of the commit, which its branches are not at."""
    head = _git(root, "rev-parse", "HEAD")
    _edit(root / path, change)
    _git(root, "commit", "--quiet", "--all", "--message", f"Change for the tests: {path}")
    made = _git(root, "rev-parse", "HEAD")
    _git(root, "reset", "--quiet", "--hard", head)
    return made


def export(root: Path, sha: str, folder: Path) -> None:
    """Write a commit's files below a new folder."""
    _git(root, "clone", "--quiet", "--no-hardlinks", str(root), str(folder))
    _git(folder, "checkout", "--quiet", sha)


def _edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = change(before)
    assert after != before, f"{path.name} has nothing left to change"
    path.write_text(after, encoding="utf-8")


def _git(root: Path, *argv: str) -> str:
    identity = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.org")
    ran = subprocess.run(
        ["git", *identity, *argv], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, f"git {' '.join(argv)}: {ran.stderr}"
    return ran.stdout.strip()
