"""The real command line, as a person or a workflow would call it."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TIMEOUT = 120.0  # seconds; nothing here may take longer
OURS = ("PIPELINE_", "GITHUB_", "POSTGRES_")
SECRETS = ("ENV_FILE", "CODECOV_TOKEN", "DATABASE_URL")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one command did."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        """The object on the last line of standard output."""
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def error(self) -> str:
        """The one `error:` line."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line

    @property
    def next_step(self) -> str:
        """The line that follows it."""
        lines = self.stderr.splitlines()
        line = lines[lines.index(self.error) + 1]
        assert line.startswith("next:  "), f"no next step:\n{self.stderr}"
        return line

    @property
    def text(self) -> str:
        """Everything that was shown."""
        return self.stdout + self.stderr

    def ok(self) -> "Ran":
        """Return itself; fail where it did not end with 0."""
        assert self.code == 0, f"{' '.join(self.argv)} ended with {self.code}:\n{self.text}"
        return self

    def refused(self, code: int) -> "Ran":
        """Return itself; fail unless it ended as every refusal has to."""
        assert self.code == code, f"{' '.join(self.argv)} ended with {self.code}:\n{self.text}"
        assert "Traceback" not in self.text
        assert self.next_step
        return self


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """`bin/invoke` of one checkout with one environment.

    Attributes:
        program: What stands in for it, relative to the checkout.
    """

    root: Path
    environ: Mapping[str, str] = field(repr=False)
    program: tuple[str, ...] = ("bin/invoke",)

    def __call__(self, *argv: str, timeout: float = TIMEOUT, **environ: str) -> Ran:
        """Run `invoke <argv>` to its end; `environ` is added to the environment."""
        return finish(self.start(*argv, **environ), timeout=timeout)

    def start(self, *argv: str, **environ: str) -> subprocess.Popen[str]:
        """Start `invoke <argv>` and return at once."""
        program, *arguments = self.program
        return subprocess.Popen(
            [str(self.root / program), *arguments, *argv],
            cwd=self.root,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def having(self, **environ: str) -> "CommandLine":
        """Return the same command line with more in its environment."""
        return replace(self, environ={**self.environ, **environ})


def finish(child: subprocess.Popen[str], *, timeout: float = TIMEOUT) -> Ran:
    """Wait for what `CommandLine.start` started; its seconds count from here."""
    started = time.monotonic()
    try:
        stdout, stderr = child.communicate(timeout=timeout)
    except BaseException:
        child.kill()
        child.communicate()
        raise
    return Ran(
        argv=tuple(child.args),
        code=child.returncode,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - started,
    )


def clean_environment() -> dict[str, str]:
    """Return our environment without anything that would change what a command does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OURS) and name not in SECRETS
    }
