"""Environments that hold exactly what poetry.lock pins; one that does not any more is made anew.

Beside an environment's own files stands what it was made from (the lock, groups, interpreter)
and what it then held. A warm look compares the metadata of each file, which takes hundredths of a
second and sees every edit; only where that differs is the content compared, because a cache
that brings an environment back changes its metadata alone.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import CommandError
from pipeline.parity import fingerprint

__all__ = ["closed", "ensure"]

PYTHON = "python3.11"
TIMEOUT = 600.0  # seconds; of making one environment, downloads included
STAMP = "made.json"  # written last: an environment without one was never finished
REQUIREMENTS = "requirements.txt"
OURS = {STAMP, REQUIREMENTS, "tmp"}  # `tmp` is where nox puts what a session needs for a moment
SHOWN = 3  # files that are named where an environment was changed

# How to reach the package index, the terminal and an engine; nothing that changes a result.
PASSED = re.compile(
    r"PATH|HOME|USER|TMPDIR|TERM|NO_COLOR|FORCE_COLOR|XDG_\w+|DOCKER_\w+"
    r"|(?i:(https?|all|no)_proxy)|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(PIP|UV)_(\w*INDEX\w*|FIND_LINKS|CACHE_DIR|CONFIG_FILE|CERT|\w+_CERTS|\w*HOST|\w*TIMEOUT)"
)
UV = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "SSL_CERT_FILE": "PIP_CERT"}  # it does not read pip's
FIXED = {
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    # Not what somebody's git is set to; a checkout that another user owns is one nevertheless.
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def closed(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that a gate's programs see, of those that `environ` has."""
    passed = {name: value for name, value in environ.items() if PASSED.fullmatch(name)}
    for name, pips in UV.items():
        if pips in passed:
            passed.setdefault(name, passed[pips])
    return passed | FIXED


def ensure(
    folder: Path, groups: Sequence[str], *, root: Path, report: Callable[[str], None]
) -> Path:
    """Make sure that an environment holds exactly the locked packages of `groups`.

    Args:
        folder: Where it is; what is there and differs is removed.
        groups: Groups of pyproject.toml.
        root: The checkout, with poetry.lock.
        report: Told why it is made anew.

    Returns:
        The folder of its programs. `fingerprint.read(folder)` tells what it holds.

    Raises:
        CommandError: A package is not to be had, or is not what the lock's hash says.
    """
    folder = folder.absolute()
    lock = _hash(root / "poetry.lock")
    stamp = _stamp(folder)
    seen = _metadata(folder) if stamp else ""
    if stamp.get("lock") == lock and stamp["groups"] == list(groups) and stamp["seen"] == seen:
        return folder / "bin"
    wanted = _requirements(root, groups)
    why = _difference(folder, stamp, wanted)
    if why:
        report(f"{folder.name}: {why}; making the environment from poetry.lock")
        _make(folder, wanted)
        fingerprint.write(folder)
    _finish(folder, lock=lock, groups=groups)
    return folder / "bin"


def _difference(folder: Path, stamp: Mapping[str, Any], wanted: str) -> str:
    """Return why an environment must be made anew; empty where only metadata changed."""
    if not stamp:
        return "not there yet" if not (folder / REQUIREMENTS).exists() else "not finished"
    if (folder / REQUIREMENTS).read_text(encoding="utf-8") != wanted:
        return "the lock has changed"
    now, then = _content(folder), stamp["content"]
    changed = sorted(name for name in now.keys() | then if now.get(name) != then.get(name))
    if not changed:
        return ""
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"changed since it was made ({', '.join(changed[:SHOWN])}{more})"


def _requirements(root: Path, groups: Sequence[str]) -> str:
    argv = [sys.executable, "-I", str(root / "bin/lock"), *groups]
    return shell.run(argv, timeout=TIMEOUT, cwd=root).stdout


def _make(folder: Path, requirements: str) -> None:
    python = shutil.which(PYTHON)
    if python is None:
        raise CommandError(f"`{PYTHON}` is not on PATH.", hint="Install Python 3.11.")
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--quiet", "--python", python, str(folder))
    (folder / REQUIREMENTS).write_text(requirements, encoding="utf-8")
    _uv(
        *("pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        # A hard link would let an edit here change every other environment, through the cache.
        *("--link-mode", "copy", "--python", str(folder / "bin/python")),
        str(folder / REQUIREMENTS),
    )


def _uv(*argv: str) -> None:
    from uv import find_uv_bin

    said: list[str] = []
    nothing = re.compile("(?!)")  # all that it sees is in `closed()`
    try:
        shell.run(
            [find_uv_bin(), *argv],
            timeout=TIMEOUT,
            cwd=Path("/"),
            env=closed(),
            inherit=nothing,
            on_line=said.append,
        )
    except CommandError as exc:
        # Of a refused hash uv first names the package, then every hash that it has in the lock.
        lines = (line for line in said if not line.strip().startswith("sha256:"))
        raise CommandError(
            "An environment could not be made from poetry.lock.",
            hint="A hash that does not match is refused: who changed it, lock or index? Else look"
            " whether the package index can be reached.",
            details="\n".join(lines) or exc.message,
        ) from exc


def _stamp(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    expected = {"lock", "groups", "seen", "content"}
    return found if isinstance(found, dict) and found.keys() == expected else {}


def _finish(folder: Path, *, lock: str, groups: Sequence[str]) -> None:
    stamp = {
        "lock": lock,
        "groups": list(groups),
        "seen": _metadata(folder),
        "content": _content(folder),
    }
    new = folder / f".{STAMP}"
    new.write_text(json.dumps(stamp), encoding="utf-8")
    new.replace(folder / STAMP)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what an environment holds, besides our own notes and bytecode, in a fixed order."""
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        for entry in sorted(os.scandir(here), key=lambda each: each.name):
            if entry.name == "__pycache__" or (here == str(folder) and entry.name in OURS):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                yield entry


def _metadata(folder: Path) -> str:
    digest = hashlib.sha256()
    for entry in _files(folder):
        now = entry.stat(follow_symlinks=False)
        seen = (now.st_mode, now.st_size, now.st_ino, now.st_mtime_ns, now.st_ctime_ns)
        digest.update(f"{entry.path} {seen}\n".encode())
    return digest.hexdigest() + _interpreter(folder)


def _interpreter(folder: Path) -> str:
    """Return which Python an environment runs on: an upgraded one makes it anew."""
    python = (folder / "bin/python").resolve()
    stat = python.stat() if python.exists() else None
    return f" {python} {stat.st_size} {stat.st_mtime_ns}" if stat else " none"


def _content(folder: Path) -> dict[str, str]:
    paths = [Path(entry.path) for entry in _files(folder)]
    found = {str(path.relative_to(folder)): _hash(path) for path in paths}
    return found | {"the interpreter": _interpreter(folder)}


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # a link to what is gone
        return "unreadable"
