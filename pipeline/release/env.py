r"""The env file: read once, checked, kept as a snapshot with the release.

Values are literal: nothing in them is expanded, so a `$` in a password stays one. The
snapshot is written so that Compose reads back exactly the same values: in double quotes,
because in single ones it has no way to write a `\` at the end. python-dotenv, which reads
what people write, knows no `$$`, so what `render()` wrote is read with `restore()`.
"""

import hashlib
import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import UnavailableError, UsageError
from pipeline.settings import Secret

__all__ = ["digest", "parse", "read", "render", "restore", "secrets", "text_of"]

_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "$$", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped: plain for plain, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\.|\$\$")
_SNAPSHOT_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="(.*)"')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY|URL|DSN|CREDENTIAL", re.IGNORECASE)


def read(path: Path, *, required: Collection[str] = ()) -> dict[str, str]:
    """Read and check an env file.

    Raises:
        UsageError: It cannot be read, is malformed, or lacks a required key.
    """
    return parse(text_of(path), name=str(path), required=required)


def text_of(path: Path) -> str:
    """Return what an env file says, with lines that end as ours do.

    Raises:
        UsageError: It cannot be read, or is not text.
    """
    try:
        text = path.read_bytes().decode()
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
    return _ours(text)


def _ours(text: str) -> str:
    """Return what an editor on Windows saves as one here would."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def parse(text: str, *, name: str, required: Collection[str] = ()) -> dict[str, str]:
    """Parse the text of an env file; `name` is what messages call it.

    Raises:
        UsageError: It is malformed or lacks a required key; no value is ever shown.
    """
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_ours(text))):
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
        if "\0" in binding.value or not _is_text(binding.value):
            raise UsageError(
                f"{name} is malformed at line {line}: the value of {binding.key} is not text.",
                hint="Encode binary values, for example with base64.",
            )
        values[binding.key] = binding.value
    _require(required, values, name)
    return values


def render(values: Mapping[str, str]) -> str:
    """Return the snapshot's text: sorted, a line each, quoted so that it is read literally."""
    table = str.maketrans(_ESCAPES)
    return "".join(f'{key}="{value.translate(table)}"\n' for key, value in sorted(values.items()))


def restore(text: str, *, name: str, required: Collection[str] = ()) -> dict[str, str]:
    """Return the values that `render()` wrote; `name` is what messages call it.

    Raises:
        UnavailableError: Somebody has changed it.
        UsageError: It lacks a required key.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        found = _SNAPSHOT_LINE.fullmatch(line)
        if found is None:
            raise UnavailableError(
                f"{name} is damaged at line {number}.",
                hint="A snapshot is not edited: change the env file, then deploy again.",
            )
        values[found[1]] = _ESCAPED.sub(lambda each: _PLAIN.get(each[0], each[0]), found[2])
    _require(required, values, name)
    return values


def digest(values: Mapping[str, str]) -> str:
    """Return what tells two environments apart without showing either."""
    return hashlib.sha256(render(values).encode()).hexdigest()


def secrets(values: Mapping[str, str]) -> tuple[Secret, ...]:
    """Return the values that no log line may show, longest first, judged by their keys.

    The password inside a URL is one more: programs print it by itself.
    """
    hidden = {value for key, value in values.items() if _SECRET.search(key) and value}
    for value in tuple(hidden):
        password = _password(value)
        hidden |= {password, unquote(password)} - {""}
    return tuple(Secret(value) for value in sorted(hidden, key=len, reverse=True))


def _password(value: str) -> str:
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""


def _require(required: Collection[str], values: Mapping[str, str], name: str) -> None:
    missing = sorted(key for key in required if not values.get(key))
    if missing:
        raise UsageError(
            f"{name} lacks a value for {', '.join(missing)}.",
            hint="Add it, or change required_env in [tool.pipeline].",
        )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes of the environment that are no UTF-8
        return False
    return True
