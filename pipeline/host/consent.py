"""Nothing is installed, started or built on a machine before somebody agreed to it."""

from collections.abc import Callable, Sequence

from pipeline.errors import UsageError

__all__ = ["UP", "Confirm", "Report", "agree"]

UP = "./bin/invoke up --yes"
Report = Callable[[str], None]
Confirm = Callable[[str], bool]


def agree(
    steps: Sequence[str],
    *,
    yes: bool,
    interactive: bool,
    confirm: Confirm,
    report: Report,
    command: str = UP,
) -> None:
    """Return where somebody agreed to all of `steps`, which are sentences; never wait for nobody.

    `command` is what does them without asking.

    Raises:
        UsageError: Nobody can be asked, or the answer was no. It lists every step.
    """
    if yes or interactive:
        for step in steps:
            report(step)
    if yes or (interactive and confirm("Go on?")):
        return
    why = "the answer was no" if interactive else "nobody can be asked here"
    raise UsageError(
        f"This machine is not ready, and {why}. It lacks: {'; '.join(steps)}.",
        hint=f"`{command}` does all of this.",
    )
