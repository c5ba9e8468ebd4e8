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

__all__ = ["Result", "attach", "lend", "run", "spawn"]

TAIL_LINES = 20
KILL_GRACE = 5.0  # seconds between SIGTERM and SIGKILL at a deadline
LINGER = 0.2  # seconds of silence after which a child that has ended is not listened to
CHUNK = 65536  # bytes
TYPED = {signal.SIGINT, signal.SIGQUIT}  # a terminal's keys send them to all in its foreground
PASSED_ON = (*TYPED, signal.SIGTERM, signal.SIGHUP)
BY_SIGNAL = 128  # what shells add to the number of a signal that ended a child
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


def attach(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    inherit: re.Pattern[str] | None = None,
    held: Secret | None = None,
    apart: bool = False,
    deliver: Callable[[int], bool] | None = None,
) -> int:
    """Run `argv` with our own standard streams, to its end; return its exit code as a shell would.

    For what people talk to: no deadline, and nothing is read, kept or redacted. Keys such as
    Ctrl-C reach the child, and it decides; a signal that a process sends us is passed on.

    Args:
        argv: Program and arguments; never a shell string.
        env: As in `run()`.
        inherit: As in `run()`.
        held: Text for its standard input, which stays open behind it: the first signal ends that.
        apart: In a session of its own, which no keys reach: those are passed on, too.
        deliver: Gets the number of each signal that is to be passed on; False: the child gets it.

    Raises:
        CommandError: It cannot be started.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if child is None:
            early.append(number)
        elif child.stdin and not child.stdin.closed:
            child.stdin.close()
        elif number in TYPED and not apart and _in_foreground():
            pass  # it has it already
        elif deliver is None or not deliver(number):
            child.send_signal(number)

    ours = {each: signal.getsignal(each) for each in PASSED_ON}
    before = {each: handler for each, handler in ours.items() if handler != signal.SIG_IGN}
    try:
        for each in before:
            signal.signal(each, pass_on)
        with _refusals(argv):
            child = subprocess.Popen(
                list(argv),
                env=_environment(env, inherit),
                bufsize=0,
                stdin=None if held is None else subprocess.PIPE,
                start_new_session=apart,
            )
        left = memoryview(held.reveal().encode() if held else b"")
        with suppress(ValueError, OSError):  # it was closed meanwhile
            while child.stdin and left:
                left = _feed(child.stdin.fileno(), left)
        for number in early:
            pass_on(number, None)
        code = child.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if child and child.stdin:
            child.stdin.close()
    return code if code >= 0 else BY_SIGNAL - code


def _in_foreground() -> bool:
    """Tell whether a terminal's keys reach us and, with us, what we have started."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:  # there is none
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


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
