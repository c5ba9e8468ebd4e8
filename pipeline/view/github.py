"""All that the program knows of GitHub; anywhere else it is silent and knows of no event.

Nothing that is done depends on it, only what is shown, and of which commit a result is. What it
prints goes to standard error: GitHub reads commands from both streams, and the last line of
standard output is `--json`'s.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UnavailableError, UsageError
from pipeline.settings import Secret

__all__ = [
    "Event",
    "annotate",
    "annotate_failures",
    "event",
    "group",
    "listing",
    "needs",
    "oidc_token",
    "output",
    "ruff_format",
    "summary",
]

DEFAULT = "repository.default_branch"
NOTHING = "0" * 40  # the commit before a branch's first
SHOWN_FAILURES = 10  # as many as GitHub shows of one step

_HASH = re.compile(r"[0-9a-fA-F]{40}")
_PLACE = re.compile(r"^([\w./-]+\.py):(\d+):", re.MULTILINE)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Why GitHub runs us.

    Attributes:
        name: `push`, `pull_request`, `merge_group`, ...
        commit: The commit that people made: of a pull request its head, although what is
            checked out is GitHub's own merge of it.
        branch: Where that commit is; of a fork `owner:branch`, of a merge queue the branch
            that it is for. None where a tag was pushed.
        number: The pull request's; else None.
        fork: Whether the commit comes from another repository, or from one that is gone.
        base: The commit that this is to be compared with; None: not said. A push to a branch
            has none: the commit before it was perhaps never tested, its run may have been
            cancelled by this one.
    """

    name: str
    commit: str
    branch: str | None
    number: int | None
    fork: bool
    base: str | None


def event(environ: Mapping[str, str] = os.environ) -> Event | None:
    """Return what GitHub runs us for; None where it does not.

    Raises:
        UsageError: GitHub's variables or its file are not as documented.
    """
    if not _here(environ):
        return None
    try:
        payload = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        return _event(payload, environ)
    except KeyError as exc:
        problem = f"the variable {exc.args[0]} is missing"
    except (OSError, ValueError, RecursionError) as exc:
        problem = str(exc)
    raise UsageError(
        f"GitHub's event cannot be read: {problem}.",
        hint="Run the job again; outside GitHub, unset GITHUB_ACTIONS.",
    )


def _event(payload: Any, environ: Mapping[str, str]) -> Event:  # noqa: ANN401 - JSON
    name, ref = environ["GITHUB_EVENT_NAME"], environ.get("GITHUB_REF", "")
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    number, fork, base = None, False, None
    if name in {"pull_request", "pull_request_target"}:
        commit = _field(payload, "pull_request.head.sha", str)
        branch = _field(payload, "pull_request.head.ref", str)
        number = _field(payload, "pull_request.number", int)
        base = _field(payload, "pull_request.base.sha", str)
        here = _field(payload, "pull_request.base.repo.full_name", str)
        fork = _find(payload, "pull_request.head.repo.full_name") != here
        if fork:
            branch = str(_find(payload, "pull_request.head.label") or f"unknown:{branch}")
    elif name == "merge_group":
        commit = _field(payload, "merge_group.head_sha", str)
        base = _field(payload, "merge_group.base_sha", str)
        branch = _field(payload, "merge_group.base_ref", str).removeprefix("refs/heads/")
    else:
        commit = environ["GITHUB_SHA"]
        if name == "push" and branch and branch == _find(payload, DEFAULT):
            before = _find(payload, "before")
            base = None if before == NOTHING else before
    return Event(
        name=name,
        commit=_hash(commit),
        branch=branch,
        number=number,
        fork=fork,
        base=_hash(base) if base else None,
    )


def _find(value: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _field(value: Any, path: str, kind: type[T]) -> T:  # noqa: ANN401 - JSON
    found = _find(value, path)
    if type(found) is not kind:  # not isinstance: True is an int
        raise ValueError(f"it has no {path}")
    return found


def _hash(text: Any) -> str:  # noqa: ANN401 - JSON
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise ValueError(f"{str(text)[:60]!r} is no commit hash")
    return text.lower()


def needs(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return GitHub's context `needs` as the workflow hands it over: JSON, not looked at."""
    return environ.get("NEEDS")


@contextmanager
def group(title: str, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Fold what is printed meanwhile into one line of GitHub's log."""
    if not _here(environ):
        yield
        return
    _say(f"::group::{_escape(title)}")
    try:
        yield
    finally:
        _say("::endgroup::")


def listing(title: str, lines: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """Put lines that few will want to see into GitHub's log, folded."""
    with group(title, environ):
        for line in lines if _here(environ) else ():
            _say(f"  {line}")


def annotate(
    message: str,
    title: str,
    *,
    file: str | None = None,
    line: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Have GitHub show an error where a run's, or a file's, errors are shown."""
    if _here(environ):
        where = {"file": file, "line": line, "title": title}
        properties = ",".join(
            f"{name}={_escape(value).replace(':', '%3A').replace(',', '%2C')}"
            for name, value in where.items()
            if value is not None
        )
        _say(f"::error {properties}::{_escape(message)}")


def annotate_failures(report: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Annotate the tests that failed according to pytest's JUnit XML; none, where there is none."""
    if not _here(environ):
        return
    from xml.etree import ElementTree as ET

    with suppress(OSError, ET.ParseError):
        found = ET.parse(report).iter("testcase")  # noqa: S314 - written by our own pytest
        failed = [(case, bad) for case in found for bad in case if bad.tag in {"failure", "error"}]
        for case, bad in failed[:SHOWN_FAILURES]:
            places = _PLACE.findall(bad.text or "")  # the last one is where it was raised
            file, line = places[-1] if places else (None, None)
            title = f"{case.get('classname')}::{case.get('name')}"
            message = bad.get("message") or bad.tag
            annotate(message, title, file=file, line=line, environ=environ)


def ruff_format(environ: Mapping[str, str] = os.environ) -> str:
    """Return the output format of ruff that is read here: by GitHub, or by people."""
    return "github" if _here(environ) else "full"


def summary(markdown: str, environ: Mapping[str, str] = os.environ) -> None:
    """Add to the page that GitHub shows of the run; only looks, so that it never fails."""
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        with suppress(OSError):
            _append(path, f"{markdown}\n")


def output(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Give a value to the workflow's later steps and jobs.

    Raises:
        UnavailableError: GitHub's file cannot be written.
    """
    if path := environ.get("GITHUB_OUTPUT"):
        end = os.urandom(16).hex()  # nobody's value can hold a line that is random
        try:
            _append(path, f"{name}<<{end}\n{value}\n{end}\n")
        except OSError as exc:
            raise UnavailableError(
                f"The output {name} cannot be written: {exc}.",
                hint="GITHUB_OUTPUT names GitHub's own file; outside GitHub, unset it.",
            ) from exc


def oidc_token(audience: str, environ: Mapping[str, str] = os.environ) -> Secret | None:
    """Return a short-lived proof, for `audience`, of which repository and workflow we are.

    None where GitHub does not offer it: it does to jobs that may write `id-token`.

    Raises:
        UnavailableError: Offered and not given.
    """
    url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    key = Secret(environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", ""))
    if not url or not key:
        return None
    from pipeline.view import oidc

    return oidc.fetch(url, key, audience)


def _here(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)
