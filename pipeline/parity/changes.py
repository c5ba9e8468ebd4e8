"""Whether anything but documentation changed, so that what only code can break need not run.

In doubt it did: everything runs where there is nothing to compare with, or no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError

__all__ = ["Changes", "docs_only", "since"]

TRUNKS = ("origin/main", "main")  # with the first of these that the checkout has
TIMEOUT = 30.0  # seconds; all of it is local


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed.

    Attributes:
        heavy: Whether the jobs that take long have to run.
        reason: Why.
        paths: What changed, relative to the checkout; empty where that is not known.
    """

    heavy: bool
    reason: str
    paths: tuple[str, ...] = ()


def docs_only(paths: Sequence[str]) -> bool:
    """Tell whether these are documentation, and there are any.

    No path at all means that the comparison had no sense (a commit with itself, say), not that
    nothing needs to run.
    """
    return bool(paths) and all(
        path.startswith("docs/") or path.endswith(".md") or path == "LICENSE" for path in paths
    )


def since(base: str | None, *, root: Path) -> Changes:
    """Return what HEAD has changed since it left `base`; the working tree does not count.

    Args:
        base: A commit's full hash; None: where HEAD left the main branch.
        root: The checkout.
    """
    try:
        candidates = TRUNKS if base is None else (base,)
        found = next((name for name in candidates if _has(name, root)), None)
        if found is None:
            missing = " nor ".join(candidates)
            return Changes(heavy=True, reason=f"this checkout does not have {missing}")
        # Without renames: what became documentation is gone from where it was.
        argv = ["git", "diff", "--name-only", "-z", "--no-renames", f"{found}...HEAD", "--"]
        listed = shell.run(argv, timeout=TIMEOUT, cwd=root).stdout
    except CommandError as exc:
        said = exc.details.splitlines() or [exc.message]
        return Changes(heavy=True, reason=f"git cannot compare: {said[-1]}")
    paths = tuple(filter(None, listed.split("\0")))
    if not paths:
        return Changes(heavy=True, reason=f"no difference from {found[:12]}")
    if docs_only(paths):
        return Changes(heavy=False, reason=f"only documentation since {found[:12]}", paths=paths)
    code = tuple(path for path in paths if not docs_only([path]))
    return Changes(heavy=True, reason=f"not only documentation since {found[:12]}", paths=code)


def _has(commit: str, root: Path) -> bool:
    argv = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    result = shell.run(argv, timeout=TIMEOUT, cwd=root, check=False)
    return result.code == 0
