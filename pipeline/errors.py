"""Every error the pipeline raises on purpose.

PipelineError                 message, hint, exit code
├── UsageError            2   bad flag, setting, env file or commit; nothing was done
├── UnavailableError      1   something needed does not answer; nothing was changed
│   ├── EngineError           Docker Engine, Compose or buildx
│   ├── RegistryError         image registry: unreachable, refused, wrong digest
│   ├── TrafficError          the proxy's runtime socket
│   └── CommandError          a child process failed, timed out or is not installed
├── ReleaseFailedError    3   the new release was started and failed; the old one serves
├── LockedError           4   another deployment holds the lock
├── UndoFailedError       5   rollback or undo itself failed: a person is needed
└── AttentionError        6   nothing is wrong yet; `doctor` says what may go wrong soon

Foreign errors (docker, subprocess, sqlite3, socket) become one of these at the
edge, `from exc`. `pipeline/view/program.py` is the one place that turns them into
an exit code.
"""

from typing import Any

__all__ = [
    "AttentionError",
    "CommandError",
    "EngineError",
    "LockedError",
    "PipelineError",
    "RegistryError",
    "ReleaseFailedError",
    "TrafficError",
    "UnavailableError",
    "UndoFailedError",
    "UsageError",
]


class PipelineError(Exception):
    """What went wrong, what to do next, and the exit code that says which kind it was.

    Args:
        message: One sentence that names the cause.
        hint: The next step, as something a person can type or check.
        details: Evidence to show below the message: last log lines, a probe's answer.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """Return the error as `--json` shows it."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
            "exit_code": self.exit_code,
        }


class UsageError(PipelineError):
    """Bad usage or configuration; nothing was done."""

    exit_code = 2


class UnavailableError(PipelineError):
    """It could not be done, and nothing was changed."""

    exit_code = 1


class EngineError(UnavailableError):
    """Docker Engine, Compose or buildx is missing or refused."""


class RegistryError(UnavailableError):
    """The image registry is unreachable, refused, or told something else than was built."""


class TrafficError(UnavailableError):
    """The proxy's runtime socket does not answer, or answers nonsense."""


class CommandError(UnavailableError):
    """A child process failed, ran past its deadline or is not installed.

    Args:
        message: One sentence that names the cause.
        code: The child's exit code; None where it did not start or was killed at its deadline.
        hint: The next step.
        details: The child's last lines, redacted.
    """

    def __init__(
        self, message: str, *, code: int | None = None, hint: str = "", details: str = ""
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.code = code


class ReleaseFailedError(PipelineError):
    """The new release was started and failed; the old one serves."""

    exit_code = 3


class LockedError(PipelineError):
    """Another deployment holds the lock."""

    exit_code = 4


class UndoFailedError(PipelineError):
    """Rollback or undo itself failed: a person is needed."""

    exit_code = 5


class AttentionError(PipelineError):
    """Nothing is wrong yet; what may go wrong soon has been said."""

    exit_code = 6
