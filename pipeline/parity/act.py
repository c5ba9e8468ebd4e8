"""GitHub's part, played by act: a workflow of a checkout, run on this machine, job after job.

Third-party actions are not fetched: `actions/` has a stand-in for each, and what has none is
refused. Steps see what a runner of GitHub's would have: nothing of our caller's environment but
how to reach the package index and an engine.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import UsageError
from pipeline.parity import environments
from pipeline.parity.heard import Heard, Job

__all__ = ["GitHub", "Run", "play"]

TIMEOUT = 4 * 3600.0  # seconds; of a whole workflow, heavy jobs included
QUICK = 60.0  # seconds; of a look at the workflow
STAND_INS = Path(__file__).parent / "actions"
NATIVE = {"actions/checkout"}  # act does it by itself: it copies the checkout
HOMES: tuple[str, ...] = ("HOME", "XDG_CONFIG_HOME")  # where act looks for its settings
NOTHING = re.compile("(?!)")  # what act inherits of our environment beyond what it is given
USES = re.compile(r"^\s*(?:-\s+)?uses:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
REMOTE = re.compile(r"([\w.-]+/[\w.-]+)(?:/[\w./-]+)?@(\S+)")


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """What GitHub would know.

    Attributes:
        event: What happened.
        payload: The event, as `github.event` has it.
        actor: `github.actor`.
        secrets: The repository's and the environment's.
        variables: The repository's.
        environ: What the runner's own environment has.
    """

    event: str = "push"
    payload: Mapping[str, Any] = field(default_factory=dict)
    actor: str = "nobody"
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a workflow ended.

    Attributes:
        jobs: Those that were asked for and those that they need, in the workflow's order.
        stand_ins: The actions that something else stood in for.
        text: All that act printed: a JSON object a line.
    """

    jobs: tuple[Job, ...]
    stand_ins: tuple[str, ...]
    text: str


def play(
    checkout: Path,
    workflow: str,
    *,
    program: Path,
    folder: Path,
    github: GitHub,
    job: str | None = None,
    report: Callable[[str], None],
) -> Run:
    """Run a workflow's jobs one after the other.

    Args:
        checkout: A clone whose branch, origin and files are what GitHub would see.
        workflow: Its file name.
        program: act.
        folder: An empty folder of this user's alone, for everything that act makes.
        github: What GitHub would know.
        job: Only this one, and those that it needs; default: all.
        report: Told what happens, line by line.

    Raises:
        UsageError: No such workflow or job, an action that nothing stands in for, or act
            refuses the workflow.
        CommandError: act cannot be started, or is past its deadline.
    """
    path = checkout / ".github/workflows" / workflow
    if not path.is_file():
        raise UsageError(
            f"There is no .github/workflows/{workflow} in this commit.",
            hint="Commit it: what is run is the commit, not the working tree.",
        )
    stand_ins = _stand_ins(path, checkout)
    environ = _environment()
    # In a folder and a home of its own act finds nobody's .actrc; its steps have the real home.
    steps = {name: environ.pop(name) for name in HOMES if name in environ}
    environ["HOME"] = str(folder)
    argv = [str(program), github.event, "--directory", str(checkout), "--workflows", str(path)]
    wanted = _jobs(argv, folder, environ, path)
    if job is not None:
        if job not in wanted:
            raise UsageError(f"{workflow} has no job {job!r}.", hint=f"It has {', '.join(wanted)}.")
        argv += ["--job", job]
        wanted = _jobs(argv, folder, environ, path)
    argv += [*_offline(stand_ins, folder), *_told(github, folder)]
    argv += _each("--env", {"ACT_ARTIFACTS": str(folder / "artifacts"), **steps, **github.environ})
    heard = Heard(report)
    ran = shell.run(
        argv,
        timeout=TIMEOUT,
        cwd=folder,
        env=environ,
        inherit=NOTHING,
        check=False,
        on_line=heard.line,
    )
    jobs = tuple(heard.job(name) for name in wanted)
    if ran.code != 0 and not any(each.result == "failure" for each in jobs):
        raise _refused(path, "\n".join(heard.said))
    replaced = sorted(name.partition("@")[0] for name in stand_ins)
    return Run(jobs=jobs, stand_ins=tuple(replaced), text="\n".join(heard.lines))


def _refused(path: Path, details: str) -> UsageError:
    return UsageError(
        f"act refuses {path.name}.",
        hint="`./bin/nox -s workflows` checks the workflows.",
        details=details,
    )


def _stand_ins(workflow: Path, checkout: Path) -> dict[str, Path]:
    """Return the stand-in of each action that a workflow uses, itself or in an action of ours."""
    found: dict[str, Path] = {}
    missing = set()
    for action in _uses(workflow, checkout, set()):
        match = REMOTE.fullmatch(action)
        if match and match[1] in NATIVE:
            continue
        if match and (STAND_INS / match[1] / "action.yml").is_file():
            found[f"{match[1]}@{match[2]}"] = STAND_INS / match[1]
        else:
            missing.add(action)
    if missing:
        raise UsageError(
            f"Nothing stands in for {', '.join(sorted(missing))}, and actions are not fetched.",
            hint="Write pipeline/parity/actions/OWNER/NAME/action.yml, which does the same here.",
        )
    return found


def _uses(path: Path, checkout: Path, seen: set[Path]) -> Iterator[str]:
    """Yield each third-party action of a file; of our own actions, those that they use."""
    for action in USES.findall(path.read_text(encoding="utf-8", errors="replace")):
        if not action.startswith("./"):
            yield action
            continue
        places = [checkout / action / name for name in ("", "action.yml", "action.yaml")]
        ours = next((place for place in places if place.is_file()), None)
        if ours is None:
            raise UsageError(
                f"{path.parent.name}/{path.name} uses {action}, which this commit does not have.",
                hint="Commit it, or mend the path.",
            )
        if ours not in seen:
            seen.add(ours)
            yield from _uses(ours, checkout, seen)


def _environment() -> dict[str, str]:
    """Return our environment as a runner would have it: no terminal, no virtual environment."""
    ours = {*environments.FIXED, "TERM", "FORCE_COLOR"}
    kept = {name: value for name, value in environments.closed().items() if name not in ours}
    path = [
        folder
        for folder in kept.get("PATH", os.defpath).split(os.pathsep)
        if not (Path(folder).parent / "pyvenv.cfg").exists()
    ]
    return kept | {"PATH": os.pathsep.join(path), "NO_COLOR": "1"}


def _jobs(argv: list[str], folder: Path, environ: Mapping[str, str], path: Path) -> list[str]:
    """Return the jobs that act would run, in the workflow's order."""
    ran = shell.run(
        [*argv, "--list"], timeout=QUICK, cwd=folder, env=environ, inherit=NOTHING, check=False
    )
    names = re.findall(r"^\d+ +(\S+)", ran.stdout, re.MULTILINE)
    if ran.code != 0 or not names:
        raise _refused(path, ran.tail)
    text = path.read_text(encoding="utf-8", errors="replace")
    return sorted(names, key=lambda name: text.find(f"\n  {name}:"))


def _offline(stand_ins: Mapping[str, Path], folder: Path) -> Iterator[str]:
    """Yield the options that keep act on this machine, and what it makes in `folder`."""
    yield from _each("--local-repository", stand_ins)
    yield from ("--platform", "ubuntu-latest=-self-hosted")
    yield from ("--platform", "self-hosted=-self-hosted")
    yield from ("--action-cache-path", str(folder / "cache"), "--no-cache-server")
    yield from ("--concurrent-jobs", "1", "--json")
    for option in ("--env-file", "--var-file", "--input-file"):  # GitHub reads no .env
        yield from (option, os.devnull)


def _told(github: GitHub, folder: Path) -> Iterator[str]:
    """Yield the options for what GitHub would know; secrets are in a file that only we read."""
    payload, secrets = folder / "event.json", folder / "secrets.yml"
    payload.write_text(json.dumps(dict(github.payload)), encoding="utf-8")
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps(dict(github.secrets)), encoding="utf-8")  # JSON is YAML
    yield from ("--eventpath", str(payload), "--secret-file", str(secrets))
    yield from ("--actor", github.actor)
    if branch := github.payload.get("repository", {}).get("default_branch"):
        yield from ("--defaultbranch", branch)
    yield from _each("--var", github.variables)


def _each(option: str, values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        yield from (option, f"{name}={value}")
