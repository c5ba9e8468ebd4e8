"""What an environment holds, as a value that two machines can compare."""

import base64
import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CommandError, UsageError

__all__ = ["Fingerprint", "compare", "compare_reports", "load", "read", "reports", "write"]

FILE = "fingerprint.json"
HINT = "Each nox session writes reports/env-<session>.json, and CI keeps them as artifacts."
# What an installer writes about itself, or about the place; the rest is the package's own.
INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """An environment.

    Attributes:
        python: Version of its interpreter, with the patch.
        distributions: By name: its version, and one hash over all its files.
    """

    python: str
    distributions: Mapping[str, Mapping[str, str]]

    @property
    def digest(self) -> str:
        """The whole in 12 characters, for people to compare by eye."""
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True).encode()).hexdigest()[:12]


def write(folder: Path) -> None:
    """Note what an environment holds, in a file of its own; it is read by `read()`.

    Raises:
        CommandError: A file is not what its package's own list says.
    """
    found = Fingerprint(
        python=_version(folder / "pyvenv.cfg"),
        distributions={
            name: {"version": version, "files": _digest(record, folder)}
            for name, version, record in sorted(_distributions(folder))
        },
    )
    text = json.dumps(vars(found), indent=1, sort_keys=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Fingerprint:
    """Return what was noted when an environment was made."""
    return load(folder / FILE)


def load(path: Path) -> Fingerprint:
    """Return the fingerprint that a file holds.

    Raises:
        UsageError: There is none in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Fingerprint(
            python=str(found["python"]),
            distributions={
                str(name): {"version": str(each["version"]), "files": str(each["files"])}
                for name, each in found["distributions"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"There is no fingerprint in {path}.",
            hint=HINT,
            details=str(exc),
        ) from exc


def compare(here: Fingerprint, there: Fingerprint) -> list[dict[str, str]]:
    """Return each difference, as {"what", "here", "there"}; empty where there is none."""
    found = [("Python", here.python, there.python)]
    for name in sorted(here.distributions.keys() | there.distributions):
        ours, theirs = (each.distributions.get(name) for each in (here, there))
        if ours and theirs and ours["version"] == theirs["version"]:
            found.append((f"files of {name} {ours['version']}", ours["files"], theirs["files"]))
        else:
            us, them = (each["version"] if each else "none" for each in (ours, theirs))
            found.append((name, us, them))
    return [
        {"what": what, "here": ours, "there": theirs}
        for what, ours, theirs in found
        if ours != theirs
    ]


def reports(folder: Path) -> dict[str, Fingerprint]:
    """Return what the sessions noted in `folder`, by session.

    Raises:
        UsageError: None did, or one of the files holds no fingerprint.
    """
    paths = sorted(folder.glob("env-*.json"))
    found = {_session(path): load(path) for path in paths}
    if not found:
        raise UsageError(f"There is no env-<session>.json in {folder}.", hint=HINT)
    return found


def compare_reports(here: Path, there: Path) -> list[dict[str, str]]:
    """Return each difference between sessions that both places have noted.

    Args:
        here: The folder with our own reports.
        there: A folder with theirs, or one file `env-<session>.json`.

    Returns:
        {"session", "what", "here", "there"} of each; empty where there is none.

    Raises:
        UsageError: There is nothing to compare.
    """
    ours = reports(here)
    theirs = reports(there) if there.is_dir() else {_session(there): load(there)}
    common = ours.keys() & theirs
    if not common:
        raise UsageError(
            f"{here} and {there} have no session in common:"
            f" {', '.join(sorted(ours))}; {', '.join(sorted(theirs))}.",
            hint=HINT,
        )
    return [
        {"session": session, **difference}
        for session in sorted(common)
        for difference in compare(ours[session], theirs[session])
    ]


def _session(path: Path) -> str:
    return path.stem.removeprefix("env-")


def _version(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    values = dict(line.partition(" = ")[::2] for line in lines)
    return values["version_info"]


def _distributions(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for record in folder.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        name, _, version = record.parent.stem.rpartition("-")
        yield name, version, record


def _digest(record: Path, folder: Path) -> str:
    """Return one hash over a distribution's files, the same wherever it is installed."""
    total = hashlib.sha256()
    with record.open(encoding="utf-8", newline="") as lines:
        rows = sorted(row for row in csv.reader(lines) if row)
    for name, expected, _size in rows:
        path = record.parent.parent / name
        if Path(name).name in INSTALLERS and Path(name).parent.name.endswith(".dist-info"):
            continue
        content = path.read_bytes()
        if expected and expected != _recorded(content):
            raise CommandError(
                f"{path} is not what its package's own list says.",
                hint="Somebody edited the cache of uv. `uv cache clean` empties it; then again.",
            )
        # The first line of a script names the environment's own Python.
        content = content.replace(str(folder).encode(), b"")
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _recorded(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
