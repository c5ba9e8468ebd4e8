"""The gates before each push, by git's own pre-push hook."""

from pathlib import Path

from pipeline import shell
from pipeline.errors import UnavailableError, UsageError

__all__ = ["install", "remove"]

TIMEOUT = 30.0  # seconds; of a git command
NAME = "pre-push"
MARKER = "# Made by `invoke hooks`, which replaces it; `invoke hooks --remove` removes it."
SCRIPT = f"""\
#!/bin/sh
{MARKER}
# Runs the gates that CI requires. `git push --no-verify` pushes without them.
set -eu
# Of git's variables for hooks, none is for the git that the gates start.
# shellcheck disable=SC2046
unset $(git rev-parse --local-env-vars)
head=$(git rev-parse HEAD) pushed='' others=''
while read -r _ commit _; do
    case $commit in
    *[!0]*) pushed=yes ;;
    *) continue ;; # a branch that goes away
    esac
    [ "$commit" = "$head" ] || others=yes
done
[ "$pushed" ] || exit 0
if [ "$others" ] || [ "$(git status --porcelain)" ]; then
    echo "pre-push: the gates look at the working tree, and that is not what is pushed" >&2
fi
exec </dev/null
./bin/nox
"""
HEAVY = """\
./bin/nox -s e2e
./bin/nox -s faults -- --tenth
./bin/nox -s parity
"""


def install(root: Path, *, full: bool = False) -> str:
    """Have git run the gates before each push; return what was done.

    Args:
        root: The checkout.
        full: Also the sessions that take long, of which some need an engine.

    Raises:
        UsageError: No checkout, somebody else's hook, or a folder for hooks that is not this
            repository's alone.
        UnavailableError: The hook cannot be written.
    """
    path = _path(root)
    script = SCRIPT + (HEAVY if full else "")
    there = _ours(path)
    if there == script:
        return f"is there already: {path}"
    new = path.with_name(f".{NAME}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(script, encoding="utf-8")
        new.chmod(0o755)
        new.replace(path)
    except OSError as exc:
        raise _denied(path, exc) from exc
    return f"{'installed' if there is None else 'replaced'}: {path}"


def remove(root: Path) -> str:
    """Remove the hook that `install()` made; return what was done.

    Raises:
        UsageError: As `install()`.
        UnavailableError: It cannot be removed.
    """
    path = _path(root)
    if _ours(path) is None:
        return f"there is none: {path}"
    try:
        path.unlink()
    except OSError as exc:
        raise _denied(path, exc) from exc
    return f"removed: {path}"


def _path(root: Path) -> Path:
    """Return where git looks for the hook."""
    asked = ("--git-path", "hooks", "--git-common-dir", "--show-toplevel")
    said = shell.run(["git", "rev-parse", *asked], timeout=TIMEOUT, cwd=root, check=False)
    if said.code != 0:
        raise UsageError(
            f"{root} is no git checkout, so that nothing can be pushed from it.",
            hint="Run it in a clone of the repository.",
            details=said.tail,
        )
    hooks, git, top = ((root / line).resolve() for line in said.stdout.splitlines())
    if not hooks.is_relative_to(git) and not hooks.is_relative_to(top):
        raise UsageError(
            f"git looks for hooks in {hooks} (core.hooksPath), as it may for other repositories.",
            hint=f"git config core.hooksPath {git / 'hooks'}",
        )
    return hooks / NAME


def _ours(path: Path) -> str | None:
    """Return the hook that we made; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        text = None
    except OSError:
        text = ""
    if path.is_symlink() or (text is not None and MARKER not in text.splitlines()):
        raise UsageError(
            f"There is another hook in {path}.",
            hint="Call ./bin/nox from it, or move it away and try again.",
        )
    return text


def _denied(path: Path, exc: OSError) -> UnavailableError:
    return UnavailableError(
        f"The hook cannot be changed: {exc}.",
        hint=f"Look at the permissions of {path.parent}.",
    )
