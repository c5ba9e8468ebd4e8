"""pip's way to its index: what a build in a container needs of this machine's own configuration."""

import ast
import sys
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.host.probes import says
from pipeline.settings import load

__all__ = ["config"]

# What leads to an index. Everything else (constraints, folders of wheels, certificates) names
# files of this machine.
WAYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
INSTALL = ("global", "install", ":env:")  # for `pip install`, the later goes before the earlier


def config(target: Path) -> Path | None:
    """Return a pip.conf for builds: the one that is set, or this machine's ways in `target`.

    None where this machine goes where everybody goes.

    Raises:
        UsageError: The settings are not valid, or the file that they name does not exist.
    """
    named = load().pip_config
    if named != Path():
        if not named.is_file():
            raise UsageError(
                f"The file {named} for the build does not exist.",
                hint="`invoke doctor` shows where the setting pip_config comes from.",
            )
        return named
    found = ways(says([sys.executable, "-m", "pip", "config", "list"]))
    if not found:
        return None
    lines = ["[global]", *(f"{name} = {value}" for name, value in found.items())]
    target.touch(mode=0o600)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def ways(listing: str) -> dict[str, str]:
    """Return what of `pip config list` leads to an index from inside a container, too."""
    found: dict[str, dict[str, str]] = {section: {} for section in INSTALL}
    for line in listing.splitlines():
        key, _, quoted = line.partition("=")
        section, _, name = key.partition(".")
        if section in found and name in WAYS and (value := _reachable(quoted)):
            found[section][name] = value
    return {name: value for section in INSTALL for name, value in found[section].items()}


def _reachable(quoted: str) -> str:
    """Return the words of a Python string that are no places on this machine's disk."""
    try:
        value = str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        return ""
    return " ".join(word for word in value.split() if not word.startswith(("file:", "/")))
