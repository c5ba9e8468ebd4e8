"""The only user of `subprocess`: argv lists, deadlines, redaction.

Nothing here takes a shell string. A child never sees the variables that carry
the pipeline's own secrets, and no secret is ever in an argv: callers hand them
over on standard input.
"""

import os
import re
import select
import selectors
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CommandError
from pipeline.settings import SECRET_VARIABLES, Secret

__all__ = ["Result", "lend", "run", "spawn"]

TAIL_LINES = 20
KILL_GRACE = 5.0  # seconds between SIGTERM and SIGKILL at a deadline
LINGER = 0.2  # seconds of silence after which a child that has ended is not listened to
CHUNK = 65536  # bytes
_LENT: set[int] = set()  # descriptors that the children of run() keep open
_LINE_ENDS = re.compile(rb"[\r\n]+")


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
    inherit: re.Pattern[str] | None = None,
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
        env: Variables added to ours, from which the pipeline's secrets are taken out.
        inherit: Names of ours that the child sees at most; default: all.
        stdin: Text for standard input; default: nothing to read.
        check: Raise where the exit code is not 0.
        on_line: Called with each line of either stream that is not empty, as it comes, redacted.
        secrets: Values to hide in whatever is shown.

    Raises:
        CommandError: It cannot be started, is past its deadline, or failed with `check`.
    """
    argv = tuple(argv)
    started = time.monotonic()
    shown = shlex.join(_redact(each, secrets) for each in argv)
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def hear(line: bytes) -> None:
        text = _redact(line.decode(errors="replace"), secrets)
        tail.append(text)
        if on_line is not None:
            on_line(text)

    given = stdin.reveal() if isinstance(stdin, Secret) else stdin
    child = _start(argv, cwd, _environment(env, inherit), reads=given is not None)
    try:
        stdout = _converse(child, (given or "").encode(), started + timeout, hear)
        code = child.wait(max(0.0, started + timeout - time.monotonic()))
    except subprocess.TimeoutExpired as exc:
        _end(child)
        raise CommandError(
            f"`{shown}` did not finish within {timeout:g} s and was ended.",
            details="\n".join(tail),
        ) from exc
    except BaseException:  # a cancel must not leave the child behind
        _end(child)
        raise
    finally:
        for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
            pipe.close()
    if check and code != 0:
        raise CommandError(
            f"`{shown}` failed with exit code {code}.", code=code, details="\n".join(tail)
        )
    return Result(
        argv=argv,
        code=code,
        stdout=stdout.decode(errors="replace"),
        tail="\n".join(tail),
        seconds=time.monotonic() - started,
    )


@contextmanager
def lend(descriptor: int) -> Iterator[None]:
    """Let the children of `run()` keep a descriptor open: what it locks, they hold with us.

    A child that outlives us (`kill -9`) so keeps everybody else out until it has ended.
    """
    _LENT.add(descriptor)
    try:
        yield
    finally:
        _LENT.discard(descriptor)


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    inherit: re.Pattern[str] | None = None,
) -> int:
    """Start a daemon in a session of its own, output to `log`; return its process id.

    It sees the variables that `run()` would give it with the same `env` and `inherit`.

    Raises:
        CommandError: It cannot be started, or the log cannot be written.
    """
    with _refusals(argv), log.open("ab") as out:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=_environment(env, inherit),
            start_new_session=True,
        )
    child.returncode = 0  # it is to outlive us: nobody waits for it, and Popen need not warn
    return child.pid


def _start(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str], *, reads: bool
) -> subprocess.Popen[bytes]:
    with _refusals(argv):
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=env,
            bufsize=0,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(_LENT),
            start_new_session=True,  # one group to end, and Ctrl-C reaches us first
        )


@contextmanager
def _refusals(argv: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and str(exc.filename) == argv[0]:
            raise CommandError(f"`{argv[0]}` is not installed or not on PATH.") from exc
        if isinstance(exc, PermissionError) and str(exc.filename) == argv[0]:
            raise CommandError(f"`{argv[0]}` may not be run by this user.") from exc
        raise CommandError(f"`{argv[0]}` could not be started: {exc}.") from exc


def _environment(
    extra: Mapping[str, str] | None = None, inherit: re.Pattern[str] | None = None
) -> dict[str, str]:
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in SECRET_VARIABLES and (inherit is None or inherit.fullmatch(name))
    }
    return {**ours, **(extra or {})}


def _converse(
    child: subprocess.Popen[bytes], given: bytes, deadline: float, hear: Callable[[bytes], None]
) -> bytes:
    """Feed and hear the child until its streams end; return its standard output.

    Raises:
        subprocess.TimeoutExpired: The deadline (monotonic seconds) came first.
    """
    stdout, left = bytearray(), memoryview(given)
    begun = {child.stdout: b"", child.stderr: b""}  # lines of which the end is yet to come
    with selectors.DefaultSelector() as selector:
        for stream in filter(None, begun):
            selector.register(stream, selectors.EVENT_READ)
        if child.stdin is not None:
            selector.register(child.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            if (seconds := deadline - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired(child.args, seconds)
            ready = selector.select(min(seconds, LINGER))
            if not ready and child.poll() is not None:
                break  # somebody it left behind holds its streams
            for key, _ in ready:
                stream = key.fileobj  # type: ignore[assignment]
                if stream is child.stdin:
                    left = _feed(key.fd, left)
                    ended = not left
                else:
                    ended = not (chunk := os.read(key.fd, CHUNK))
                    stdout += chunk if stream is child.stdout else b""
                    *lines, begun[stream] = _LINE_ENDS.split(begun[stream] + chunk)
                    for line in filter(None, lines):
                        hear(line)
                if ended:
                    selector.unregister(stream)
                    stream.close()
    for line in filter(None, begun.values()):
        hear(line)
    return bytes(stdout)


def _feed(descriptor: int, left: memoryview) -> memoryview:
    try:
        # as much as a pipe that is ready takes without making us wait
        return left[os.write(descriptor, left[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return left[:0]  # it does not read; its exit code tells


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's process group: politely, and then whoever of it is left."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILL_GRACE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILL_GRACE)


def _redact(text: str, secrets: Sequence[Secret]) -> str:
    for secret in secrets:
        text = secret.hide_in(text)
    return text
