"""The command line's edges: where errors become exit codes, and nothing else does that."""

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.program import Program as InvokeProgram

from pipeline.errors import PipelineError, UsageError
from pipeline.view import terminal

__all__ = ["Program", "command", "confirm", "interactive", "process_started"]


class Program(InvokeProgram):
    """Invoke, with this project's exit code for bad usage."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the options before the task's name."""
        with _UsageIsTwo():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse tasks and their flags."""
        with _UsageIsTwo():
            super().parse_tasks()


class _UsageIsTwo:
    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        if isinstance(exc, ParseError | ValueError):  # the latter of a number that is none
            hint = "next:  `invoke --list` names the tasks, `invoke --help TASK` its flags."
            raise Exit(f"error: {exc}\n{hint}", code=UsageError.exit_code) from exc


P = ParamSpec("P")


def command(
    body: Callable[Concatenate[Context, P], None],
) -> Callable[Concatenate[Context, P], None]:
    """Make a task's body end as the contract says: message, next step, JSON, exit code."""

    @functools.wraps(body)
    def run(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        for each in _cancels():
            signal.signal(each, _cancel)
        try:
            body(context, *args, **kwargs)
        except PipelineError as exc:
            raise _end(exc, json=bool(kwargs.get("json"))) from exc
        except KeyboardInterrupt as exc:
            cancelled = PipelineError(
                "Cancelled; nothing was changed.", hint="`invoke status` shows what serves."
            )
            raise _end(cancelled, json=bool(kwargs.get("json"))) from exc

    return run


def _end(error: PipelineError, *, json: bool) -> Exit:
    terminal.fail(error)
    if json:
        terminal.data({"outcome": "failed", "error": error.as_dict()})
    return Exit(code=error.exit_code)


def _cancels() -> list[signal.Signals]:
    # A shell that starts us in the background lets us inherit an ignored SIGINT: a cancel is
    # one nevertheless. What `nohup` asks for is another matter.
    cancels = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        cancels.append(signal.SIGHUP)
    return cancels


def _cancel(_signal: int, _frame: Any) -> NoReturn:  # noqa: ANN401 - the interpreter's frame
    # Only the first: GitHub sends one of each, and the second must not interrupt the undoing.
    # Not SIG_IGN, which the commands that undo would inherit.
    for each in _cancels():
        signal.signal(each, lambda *_: None)
    raise KeyboardInterrupt


def interactive() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask, and tell whether the answer was yes."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def process_started() -> float:
    """Return when this process started, on the scale of `time.monotonic()`.

    What people wait for includes the start of Python. Source: proc(5), field 22 of stat.
    """
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
