"""Which commit is meant, and what git knows of it.

Nothing else in the program sees what was typed: it is checked here before git
gets it, and from here on a commit is 40 hex digits.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import shell
from pipeline.errors import CommandError, UsageError

__all__ = [
    "Commit",
    "describe",
    "export",
    "file_of",
    "refuse_dirty",
    "resolve_commit",
    "tree_of_files",
]

GIT_TIMEOUT = 30.0  # seconds; all of it is local
SHOWN_FILES = 5

_FULL = re.compile(r"[0-9a-fA-F]{40}")
# A hash, branch, tag, HEAD~1, @{-1} and the like: no option, range, path, search or shell text.
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9_@][A-Za-z0-9_.@{}/^~+#-]{0,199}")
_VERSION = re.compile(
    r"v(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)(?P<pre>-[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What an image says of the commit it was made from.

    Attributes:
        sha: 40 hex digits, lower case.
        committed_at: RFC 3339.
        version: `1.4.2` where a tag `v1.4.2` points at it (the highest of several), else "".
        migrations: Git tree hash of the migrations folder, "" where there is none.
        source: Web address of the repository, without credentials, "" where there is none.
    """

    sha: str
    committed_at: str
    version: str
    migrations: str
    source: str


def resolve_commit(text: str | None, *, root: Path, must_exist: bool = True) -> str:
    """Return the full hash of the commit that `text` names.

    Args:
        text: A full hash, or anything `git rev-parse --verify <x>^{commit}` resolves; None: HEAD.
        root: The checkout.
        must_exist: Refuse a full hash that this checkout lacks. A deploy host may have a
            shallow checkout or none, and there the registry is what knows the commit.

    Raises:
        UsageError: Malformed, unknown, or not a checkout that git reads.
    """
    revision = "HEAD" if text is None else text
    if not _REVISION.fullmatch(revision):
        raise UsageError(
            f"{revision[:60]!r} does not name a commit.",
            hint="--sha takes a full commit hash, a branch, a tag, or a form such as HEAD~1.",
        )
    if not must_exist and _FULL.fullmatch(revision):
        return revision.lower()
    found = _git(
        ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"], root
    )
    sha = found.stdout.strip()
    if found.code == 0 and _FULL.fullmatch(sha):
        return sha
    raise UsageError(
        f"This checkout has no commit {revision!r}.",
        hint="`git fetch --tags` may bring it; `git log` lists what is here.",
    )


def describe(sha: str, *, root: Path, migrations: str) -> Commit:
    """Return what the labels of the commit's image need.

    Args:
        sha: From `resolve_commit`.
        root: The checkout.
        migrations: Folder of the migrations, relative to the repository.

    Raises:
        UsageError: The checkout cannot be read, or lacks the commit.
    """
    return Commit(
        sha=sha,
        committed_at=_must(["show", "-s", "--format=%cI", sha], root),
        version=_version(_must(["tag", "--points-at", sha], root).split()),
        migrations=_git(
            ["rev-parse", "--verify", "--quiet", f"{sha}:{migrations}"], root
        ).stdout.strip(),
        source=_source(_git(["remote", "get-url", "origin"], root).stdout.strip()),
    )


def refuse_dirty(root: Path) -> None:
    """Refuse where the working tree holds what the commit does not.

    Raises:
        UsageError: Naming the first such files.
    """
    changed = _must(["status", "--porcelain"], root).splitlines()
    if changed:
        raise UsageError(
            "The working tree has changes that are in no commit, so no image would have them.",
            hint="Commit or stash them, or name the commit to take: --sha HEAD.",
            details="\n".join(changed[:SHOWN_FILES] + ["..."] * (len(changed) > SHOWN_FILES)),
        )


def tree_of_files(root: Path) -> str:
    """Return the hash of a git tree with the files as they are; what git ignores is not in it.

    The index stays as it is; only objects are added, which git removes again by itself.

    Raises:
        UsageError: The checkout cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _must(["read-tree", "HEAD"], root, env=index)
        _must(["add", "--all", "."], root, env=index)
        return _must(["write-tree"], root, env=index)


def export(sha: str, folder: Path, *, root: Path) -> Path:
    """Write the files of a commit or tree, and nothing else of the working tree, below `folder`.

    Returns:
        The folder that holds them.

    Raises:
        UsageError: The checkout cannot be read, or lacks the commit.
        CommandError: `tar` failed.
    """
    archive, context = folder / "context.tar", folder / "context"
    context.mkdir()
    # One umask: else the machine's own would be in the image and in the build cache's keys.
    _must(["-c", "tar.umask=0022", "archive", "--format=tar", f"--output={archive}", sha], root)
    shell.run(["tar", "-xpf", str(archive), "-C", str(context)], timeout=GIT_TIMEOUT)
    archive.unlink()
    return context


def file_of(sha: str, path: str, *, root: Path) -> str | None:
    """Return a file's text as the commit has it; None where the checkout lacks either.

    Raises:
        UsageError: The checkout cannot be read.
    """
    blob = _git(["rev-parse", "--verify", "--quiet", f"{sha}:{path}"], root)
    return _must(["cat-file", "blob", blob.stdout.strip()], root) if blob.code == 0 else None


def _git(args: list[str], root: Path, env: Mapping[str, str] | None = None) -> shell.Result:
    """Run git; exit codes up to 127 are answers, 128 is git's "cannot do"."""
    try:
        result = shell.run(["git", *args], timeout=GIT_TIMEOUT, cwd=root, env=env, check=False)
    except CommandError as exc:
        raise UsageError(
            exc.message, hint="Install git, or use a full commit hash.", details=exc.details
        ) from exc
    if result.code > 127:  # noqa: PLR2004 - said above
        raise UsageError(
            f"git cannot read the checkout {root}.",
            hint="Run this in a clone of the repository that this user owns.",
            details=result.tail,
        )
    return result


def _must(args: list[str], root: Path, env: Mapping[str, str] | None = None) -> str:
    result = _git(args, root, env)
    if result.code != 0:
        raise UsageError(f"git failed with exit code {result.code}.", details=result.tail)
    return result.stdout.rstrip("\n")


def _version(names: list[str]) -> str:
    found = [match for name in names if (match := _VERSION.fullmatch(name))]
    best = max(found, key=_precedence, default=None)
    return best[0].removeprefix("v") if best else ""


def _precedence(match: re.Match[str]) -> tuple[int, int, int, bool, str]:
    numbers = (int(match["major"]), int(match["minor"]), int(match["patch"]))
    return (*numbers, match["pre"] is None, match["pre"] or "")


def _source(url: str) -> str:
    """Return a web address without credentials; local paths say nothing to others."""
    if match := re.fullmatch(r"(?:ssh://)?[\w.-]+@(?P<host>[\w.-]+)[:/](?P<path>[^:]+)", url):
        url = f"https://{match['host']}/{match['path']}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix('.git')}"
