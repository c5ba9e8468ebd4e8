"""CI on this machine: what GitHub would do with a push of HEAD, and what that cannot show."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import UsageError
from pipeline.parity import act, environments
from pipeline.parity.heard import Job

__all__ = ["CANNOT_SHOW", "Report", "run", "table"]

WORKFLOW = "ci.yml"
TIMEOUT = 120.0  # seconds; of a git command, all of it local
NOTHING = "0" * 40  # GitHub's word for the commit before a branch's first
PRIVATE = re.compile(r"(?<=://)[^/@]*@")  # of a URL: user and token
CANNOT_SHOW = (
    "permissions, and that a token has no more",
    "environments and their reviewers",
    "concurrency groups, and when a workflow starts at all",
    "OIDC, and anything that Codecov says (nothing is sent)",
    "caches: each environment is made anew",
    "how deep a checkout is: each has the whole history",
    "GitHub's runner images and other machines: steps ran here, as this user, with this home",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """How CI ended here.

    Attributes:
        commit: What it ran on, and nothing of the working tree.
        branch: Where that is.
        jobs: In the workflow's order.
        stand_ins: The actions that something else stood in for.
    """

    commit: str
    branch: str
    jobs: tuple[Job, ...]
    stand_ins: tuple[str, ...]

    @property
    def failed(self) -> tuple[Job, ...]:
        """The jobs that failed."""
        return tuple(job for job in self.jobs if job.result == "failure")

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {
            "commit": self.commit,
            "branch": self.branch,
            "jobs": {
                job.name: {
                    "result": job.result,
                    "seconds": round(job.seconds, 1),
                    "step": job.step or None,
                    "exit_code": job.exit_code,
                }
                for job in self.jobs
            },
            "stand_ins": self.stand_ins,
            "cannot_show": CANNOT_SHOW,
        }


def run(
    root: Path,
    *,
    job: str | None = None,
    base: str | None = None,
    program: Path | None = None,
    report: Callable[[str], None],
) -> Report:
    """Run ci.yml of a clean clone of HEAD, with a push of its branch as the event.

    Args:
        root: The checkout.
        job: Only this one, and those that it needs; default: all.
        base: The commit before the push, a full hash; None: there was none.
        program: act; default: the lock's.
        report: Told what happens, line by line.

    Raises:
        UsageError: HEAD is no commit or on no branch, or what `act.play()` says.
        CommandError: git or act cannot be started, or are past their deadline.
    """
    commit, branch = _head(root)
    if _git(root, "status", "--porcelain").stdout:
        report("The working tree has changes that are not committed. They are not in this run.")
    program = (
        program
        or environments.ensure(root / ".nox/act", ("act",), root=root, report=report) / "act"
    )
    # What is cancelled may still be writing; whatever is left is in the system's own temporary
    # folder.
    with tempfile.TemporaryDirectory(prefix="act-", ignore_cleanup_errors=True) as name:
        clone, folder = Path(name, "clone"), Path(name, "act")
        folder.mkdir()
        _clone(root, clone, branch)
        payload = {
            "ref": f"refs/heads/{branch}",
            "before": base or NOTHING,
            "after": commit,
            "repository": {"default_branch": _trunk(root)},
        }
        variables = {"PIPELINE_COVERAGE": "off"}  # nothing leaves this machine
        github = act.GitHub(payload=payload, variables=variables)
        ran = act.play(
            clone, WORKFLOW, program=program, folder=folder, github=github, job=job, report=report
        )
    return Report(commit=commit, branch=branch, jobs=ran.jobs, stand_ins=ran.stand_ins)


def table(found: Report) -> list[str]:
    """Return how the jobs ended, and what that does not show, for people to read."""
    wide = max(len(job.name) for job in found.jobs)
    return [
        *(f"{job.name} | {line}" for job in found.failed for line in job.evidence.splitlines()),
        f"{WORKFLOW} of {found.commit} ({found.branch})",
        *(_row(job, wide) for job in found.jobs),
        f"stood in for: {', '.join(found.stand_ins) or 'nothing'}",
        "act cannot show:",
        *(f"  - {each}" for each in CANNOT_SHOW),
    ]


def _row(job: Job, wide: int) -> str:
    seconds = "" if job.result == "skipped" else f"{job.seconds:8.1f} s"
    code = "" if job.exit_code is None else f" (exit code {job.exit_code})"
    where = f"  {job.step}{code}" if job.step else ""
    return f"{job.name:<{wide}}  {job.result:<7} {seconds}{where}".rstrip()


def _head(root: Path) -> tuple[str, str]:
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if commit.code != 0:
        raise UsageError(
            f"There is no commit to run in {root}.",
            hint="Run it in a checkout that has a commit.",
            details=commit.tail,
        )
    branch = _git(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    if branch.code != 0:
        raise UsageError(
            "HEAD is on no branch, and GitHub runs what is pushed to one.",
            hint="git switch -c fix/NAME",
        )
    return commit.stdout.strip(), branch.stdout.strip()


def _trunk(root: Path) -> str:
    known = _git(root, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    return known.stdout.strip().removeprefix("origin/") or "main"


def _clone(root: Path, clone: Path, branch: str) -> None:
    """Clone HEAD, as its branch's checkout would look on GitHub after a push."""
    own = ("--no-hardlinks", "--origin", "origin", "--branch", branch)
    _git(root, "clone", "--quiet", *own, "--", str(root), str(clone), check=True)
    url = _git(root, "remote", "get-url", "origin")
    if url.code == 0:
        theirs = ("+refs/remotes/origin/*:refs/remotes/origin/*", "^refs/remotes/origin/HEAD")
        _git(clone, "fetch", "--quiet", str(root), *theirs, check=True)
        _git(clone, "update-ref", f"refs/remotes/origin/{branch}", "HEAD", check=True)
        public = PRIVATE.sub("", url.stdout.strip())
        _git(clone, "remote", "set-url", "origin", public, check=True)


def _git(root: Path, *argv: str, check: bool = False) -> shell.Result:
    """Run git on this checkout, not on a hook's, and with nobody's own settings."""
    return shell.run(
        ["git", *argv],
        timeout=TIMEOUT,
        cwd=root,
        env=environments.closed(),
        inherit=act.NOTHING,
        check=check,
    )
