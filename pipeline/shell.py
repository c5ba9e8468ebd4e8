"""The only user of `subprocess`: argv lists, deadlines, redaction.

Nothing here takes a shell string. A child never sees the variables that carry
the pipeline's own secrets, and no secret is ever in an argv: callers hand them
over on standard input.
"""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.errors import CommandError
from pipeline.settings import SECRET_VARIABLES, Secret

__all__ = ["Result", "run", "spawn"]

TAIL_LINES = 20
KILL_GRACE = 5.0  # seconds between SIGTERM and SIGKILL at a deadline


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a child process did.

    Attributes:
        argv: What was run.
        code: Its exit code.
        stdout: All of its standard output (standard error goes to `tail`).
        tail: The last lines of both streams, redacted, for messages.
        seconds: Wall time.
    """

    argv: tuple[str, ...]
    code: int
    stdout: str
    tail: str
    seconds: float


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | Secret | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    secrets: Sequence[Secret] = (),
) -> Result:
    """Run `argv` to its end and return what it did.

    Args:
        argv: Program and arguments; never a shell string.
        timeout: Seconds until the child's process group is ended.
        cwd: Working directory; default: ours.
        env: Variables added to ours; the pipeline's secrets are always taken out.
        stdin: Text for standard input; default: nothing to read.
        check: Raise where the exit code is not 0.
        on_line: Called with each line of either stream as it comes, redacted.
        secrets: Values to hide in whatever is shown.

    Raises:
        CommandError: Not installed, past its deadline, or failed with `check`.
    """
    argv = tuple(argv)
    started = time.monotonic()
    child = _start(argv, cwd=cwd, env=env, stdin=stdin)
    stdout: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def pump(stream: IO[str], keep: list[str] | None) -> None:
        with stream:
            for line in stream:
                if keep is not None:
                    keep.append(line)
                shown = _redact(line.rstrip("\n"), secrets)
                if shown:
                    tail.append(shown)
                if on_line is not None:
                    on_line(shown)

    pumps = [
        threading.Thread(target=pump, args=(child.stdout, stdout), daemon=True),
        threading.Thread(target=pump, args=(child.stderr, None), daemon=True),
    ]
    for thread in pumps:
        thread.start()
    try:
        if stdin is not None and child.stdin is not None:
            _feed(child, stdin)
        code = child.wait(timeout)
    except subprocess.TimeoutExpired as exc:
        _end(child)
        raise CommandError(
            f"`{_show(argv)}` did not finish within {timeout:g} s and was ended.",
            details="\n".join(tail),
        ) from exc
    except BaseException:  # a cancel must not leave the child behind
        _end(child)
        raise
    finally:
        for thread in pumps:
            thread.join(KILL_GRACE)
    if check and code != 0:
        raise CommandError(
            f"`{_show(argv)}` failed with exit code {code}.", code=code, details="\n".join(tail)
        )
    return Result(
        argv=argv,
        code=code,
        stdout="".join(stdout),
        tail="\n".join(tail),
        seconds=time.monotonic() - started,
    )


def spawn(argv: Sequence[str], *, log: Path) -> int:
    """Start a daemon in a session of its own, output to `log`; return its process id.

    Raises:
        CommandError: It is not installed.
    """
    try:
        with log.open("ab") as out:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_environment(None),
                start_new_session=True,
            )
    except FileNotFoundError as exc:
        raise CommandError(f"`{argv[0]}` is not installed.") from exc
    return child.pid


def _start(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: str | Secret | None,
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # one group to end, and Ctrl-C reaches us first
        )
    except FileNotFoundError as exc:
        raise CommandError(f"`{argv[0]}` is not installed or not on PATH.") from exc
    except PermissionError as exc:
        raise CommandError(f"`{argv[0]}` may not be run by this user.") from exc


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    return {**ours, **(extra or {})}


def _feed(child: subprocess.Popen[str], stdin: str | Secret) -> None:
    assert child.stdin is not None  # noqa: S101 - narrowed for the type checker
    try:
        with child.stdin:
            child.stdin.write(stdin.reveal() if isinstance(stdin, Secret) else stdin)
    except BrokenPipeError:
        pass  # it ended without reading; its exit code tells


def _end(child: subprocess.Popen[str]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(KILL_GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _redact(text: str, secrets: Sequence[Secret]) -> str:
    for secret in secrets:
        text = secret.hide_in(text)
    return text


def _show(argv: Sequence[str]) -> str:
    return shlex.join(argv)
