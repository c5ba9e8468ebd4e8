"""What Compose makes of an env snapshot: exactly the values that were put into it."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.release import env

VALUES = {
    "plain": "value",
    "empty": "",
    "spaces": "  two  words  ",
    "hash": "a #b # c",
    "only a hash": "#",
    "equals": "a=b==",
    "dollar": "a$b$",
    "two dollars": "a$$b",
    "expansion": "${HOME} $HOME $$HOME ${NIX:-x}",
    "command": "$(id) `id`",
    "single quotes": "'it''s'",
    "double quotes": '"a"b"',
    "both quotes": "a'b\"c",
    "backslashes": r"a\b\\c\\\d",
    "backslash at the end": "end\\",
    "two backslashes at the end": "end\\\\",
    "backslash and quotes": "\\' \\\" \\\\' \\\\\"",
    "backslash and dollar": r"\$a \\$a \${HOME}",
    "escapes": r"\n \r \t \a \b \f \v \0 \01234 \x41 \u0041",
    "lines": "first\nsecond\n\n",
    "carriage returns": "first\r\nsecond\r",
    "another key": "x\nLAST=forged",
    "quote and another key": "x'\nLAST='forged",
    "control characters": "\t\x0b\x1b\x7f\x85\u2028",
    "unicode": "zoë ☃ 𝄞 \ufeff",
    "everything": "a'b\"c$d\\e\nf #g=${HOME}\\",
}


def compose_reads(snapshot: str, folder: Path) -> dict[str, str]:
    """Return the values as a container gets them and as the Compose file interpolates them."""
    (folder / "env").write_bytes(snapshot.encode())
    (folder / "docker-compose.yml").write_text(
        "services: {a: {image: x, env_file: [env], labels: {interpolated: '${KEY}'}}}"
    )
    read = subprocess.run(
        ["docker", "compose", "--env-file", "env", "config", "--format", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    service = json.loads(read.stdout)["services"]["a"]
    found = {**service["environment"], "interpolated": service["labels"]["interpolated"]}
    # `config` prints a Compose file, in which a `$` is written `$$`
    return {name: value.replace("$$", "$") for name, value in found.items()}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_compose_reads_back_every_value(value: str, tmp_path: Path):
    snapshot = env.render({"KEY": value, "LAST": "1"})
    assert compose_reads(snapshot, tmp_path) == {"KEY": value, "LAST": "1", "interpolated": value}
    assert env.restore(snapshot, name="snapshot") == {"KEY": value, "LAST": "1"}
