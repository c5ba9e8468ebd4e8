"""What is known of the environments of releases: their keys, never a value."""

import io
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, UsageError
from pipeline.kept import what_there_is
from pipeline.parts import Parts
from pipeline.release import env
from pipeline.release.release import Release

__all__ = ["check", "differences", "keys", "live_release", "nothing_live"]

NAMED = re.compile(r"[0-9a-f]{4,40}|[0-9a-f]{7}-[0-9a-f]{8}")  # a commit, or a release's id
OTHERS = 0o077  # what group and others may do


def nothing_live() -> PipelineError:
    """Return the error of whoever wants something of a live release where there is none."""
    return PipelineError("Nothing is live.", hint="`invoke deploy` makes a release live.")


def live_release(parts: Parts) -> Release:
    """Return the release that is live, by the ledger.

    Raises:
        PipelineError: There is none.
    """
    record = parts.ledger.live()
    if record is None:
        raise nothing_live()
    return record[1]


def keys(parts: Parts) -> dict[str, Any]:
    """Return the keys of the live release, in order, each with whether it is empty.

    Raises:
        PipelineError: Nothing is live, or its files are gone.
    """
    release = live_release(parts)
    values = _values(parts, release)
    return {
        **_named(release),
        "source": parts.known(release.id).bundle.variables["PIPELINE_ENV_FILE"],
        "keys": [{"key": key, "empty": not values[key]} for key in sorted(values)],
    }


def differences(parts: Parts, before: str, after: str | None = None) -> dict[str, Any]:
    """Return which keys only one of two releases has, and of which they have other values.

    Args:
        parts: Of the app.
        before: Commit (full or shortened) or id of a release.
        after: The same; None: the live release.

    Raises:
        UsageError: There is no such release; the message lists what there is.
        PipelineError: Nothing is live, or files of a release are gone.
    """
    old = _release(parts, before)
    new = live_release(parts) if after is None else _release(parts, after)
    changes = _compare(_values(parts, old), _values(parts, new))
    return {"from": _named(old), "to": _named(new), **changes}


def check(parts: Parts, path: Path) -> dict[str, Any]:
    """Return what is wrong with an env file, and how it differs from the live release's.

    Raises:
        UsageError: It cannot be read at all.
        UnavailableError: The live release's files are gone.
    """
    env_file = parts.settings.root / path
    problems: list[str] = []
    warnings: list[str] = []
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, binding in _bindings(env.text_of(env_file)):
        try:
            found = env.parse(binding, name="")
        except UsageError as exc:
            problems.append(f"line {line}: {_cause(exc)}")
            continue
        for key in found:
            if key in lines:
                warnings.append(f"line {line}: {key} is also at line {lines[key]}; this one counts")
            lines[key] = line
        values |= found
    problems += [
        f"{key} is required and has no value"
        for key in sorted(parts.settings.required_env)
        if not values.get(key)
    ]
    if (mode := stat.S_IMODE(env_file.stat().st_mode)) & OTHERS:
        warnings.append(f"others may read or change it (mode {mode:04o}): chmod 600 {env_file}")
    record = parts.ledger.live()
    return {
        "file": str(env_file),
        "keys": sorted(values),
        "problems": problems,
        "warnings": warnings,
        "live": _named(record[1]) if record else None,
        **_compare(_values(parts, record[1]) if record else values, values),
    }


def _release(parts: Parts, named: str) -> Release:
    if NAMED.fullmatch(named):
        if (known := parts.ledger.release(named)) is not None:
            return known
        found = [each for _, each in parts.ledger.lives() if each.sha.startswith(named)]
        commits = sorted({each.sha for each in found})
        if len(commits) == 1:
            return found[0]
        if commits:
            raise UsageError(
                f"{named!r} is more than one commit here.",
                hint=f"Which one? {', '.join(commits)}",
            )
    raise UsageError(f"No release {named!r} was ever live here.", hint=what_there_is(parts))


def _values(parts: Parts, release: Release) -> Mapping[str, str]:
    return parts.known(release.id).env or {}


def _named(release: Release) -> dict[str, str]:
    return {"release": release.id, "sha": release.sha}


def _compare(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(key for key in after.keys() & before if after[key] != before[key]),
    }


def _bindings(text: str) -> Iterator[tuple[int, str]]:
    """Yield each KEY=value, or what stands where one should, with the number of its line."""
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        given = binding.original.string
        own = given.lstrip()
        yield binding.original.line + given[: len(given) - len(own)].count("\n"), own


def _cause(error: UsageError) -> str:
    """Return what `env.parse` says of a text of one line, without name and line."""
    return error.message.partition(" at line 1")[2].strip(":. ") or "that is not KEY=value"
