"""The env file: read once, checked, kept as a snapshot with the release.

Values are literal: nothing in them is expanded, so a `$` in a password stays one. The
snapshot is written so that Compose reads back exactly the same values.
"""

import hashlib
import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.settings import Secret

__all__ = ["digest", "parse", "read", "render", "secrets"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY|URL|DSN|CREDENTIAL", re.IGNORECASE)


def read(path: Path, *, required: Collection[str] = ()) -> dict[str, str]:
    """Read and check an env file.

    Raises:
        UsageError: It cannot be read, is malformed, or lacks a required key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise UsageError(
            f"The env file {path} is not UTF-8 text (byte {exc.start}).",
            hint="Save it as UTF-8, one KEY=value a line.",
        ) from exc
    except OSError as exc:
        raise UsageError(
            f"The env file {path} cannot be read: {exc.strerror}.",
            hint="Copy .env.example to .env and fill it in, or name another file with --env-file.",
        ) from exc
    return parse(text, name=str(path), required=required)


def parse(text: str, *, name: str, required: Collection[str] = ()) -> dict[str, str]:
    """Parse the text of an env file; `name` is what messages call it.

    Raises:
        UsageError: It is malformed or lacks a required key; no value is ever shown.
    """
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line
        if binding.error:
            raise UsageError(
                f"{name} is malformed at line {line}.",
                hint="Each line is KEY=value; quote values with spaces or # in them.",
            )
        if binding.key is None:
            continue
        if not _NAME.fullmatch(binding.key) or binding.value is None:
            raise UsageError(
                f"{name} is malformed at line {line}: that is not KEY=value.",
                hint="A key has letters, digits and _ only, and is followed by =.",
            )
        values[binding.key] = binding.value
    missing = sorted(key for key in required if not values.get(key))
    if missing:
        raise UsageError(
            f"{name} lacks a value for {', '.join(missing)}.",
            hint="Add it, or change required_env in [tool.pipeline].",
        )
    return values


def render(values: Mapping[str, str]) -> str:
    """Return the snapshot's text: sorted, each value quoted so that it is read literally."""
    return "".join(f"{key}={_quote(value)}\n" for key, value in sorted(values.items()))


def digest(values: Mapping[str, str]) -> str:
    """Return what tells two environments apart without showing either."""
    return hashlib.sha256(render(values).encode()).hexdigest()


def secrets(values: Mapping[str, str]) -> tuple[Secret, ...]:
    """Return the values that no log line may show, longest first, judged by their keys."""
    hidden = {value for key, value in values.items() if _SECRET.search(key) and value}
    return tuple(Secret(value) for value in sorted(hidden, key=len, reverse=True))


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
