"""Daily work on what is live; tasks.py makes these tasks its own."""

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

import wiring
from pipeline.errors import UsageError
from pipeline.view import terminal
from pipeline.view.program import command, process_started
from pipeline.view.terminal import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.day import Day
    from pipeline.engine.attached import Said

__all__ = ["env", "exec_", "logs", "run_"]

PAINT = {"blue": 34, "green": 32, "proxy": 35, "db": 36}  # SGR, of a service's name
NO_TTY = "no terminal for the command, although there is one here"


def _day() -> "Day":
    from pipeline.day import Day

    return Day.of(wiring.settings(), report=terminal.progress, started=process_started())


def _typed() -> list[str]:
    """Return the command after `--`, word by word; invoke keeps it as one text only."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def _end(code: int) -> None:
    if code:
        raise Exit(code=code)


def _print(lines: "Iterable[Said]", *, prefix: bool) -> None:
    width, paints = 0, sys.stdout.isatty()
    for line in lines:
        name = line.container.name
        width = max(width, len(name))
        start = f"{name:<{width}} | " if prefix else ""
        if start and paints:
            start = f"\x1b[{PAINT.get(line.container.service, 33)}m{start}\x1b[0m"
        terminal.result(start + line.text)


@task(
    help={
        "follow": "go on as more is said, until Ctrl-C",
        "since": "an age (10m, 1h30m, 2d) or a time in ISO 8601",
        "lines": "how many of each container (default: 100; all with --since or --grep)",
        "grep": "only lines in which this regular expression is found",
        "colour": "blue, green or both (default: what is live)",
        "service": "db or proxy, instead of a colour",
        "no_prefix": "lines as they are, without the name of the container",
    }
)
@command
@wiring.on_host
def logs(
    context: Context,
    *,
    follow: bool = False,
    since: str | None = None,
    lines: str | None = None,
    grep: str | None = None,
    colour: str | None = None,
    service: str | None = None,
    no_prefix: bool = False,
) -> None:
    """Show what the live release says."""
    from pipeline.day import Wanted

    wanted = Wanted(since=since, lines=lines, grep=grep, colour=colour, service=service)
    try:
        with closing(_day().logs(wanted, follow=follow)) as said:
            _print(said, prefix=not no_prefix)
    except BrokenPipeError:  # whoever reads it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        if not follow:
            raise


@task(name="exec", help={"service": "db or proxy, instead of what is live", "no_tty": NO_TTY})
@command
@wiring.on_host
def exec_(context: Context, *, service: str | None = None, no_tty: bool = False) -> None:
    """Run what follows `--` (default: a shell) in a container of the live release."""
    terminal_ = not no_tty and sys.stdin.isatty() and sys.stdout.isatty()
    _end(_day().execute(_typed(), service=service, terminal=terminal_))


@task(name="run", help={"no_tty": NO_TTY})
@command
@wiring.on_host
def run_(context: Context, *, no_tty: bool = False) -> None:
    """Run what follows `--` (default: a shell) in a new container of the live release."""
    terminal_ = not no_tty and sys.stdin.isatty() and sys.stdout.isatty()
    _end(_day().run(_typed(), terminal=terminal_))


@task(
    help={
        "diff": "a release, by commit or id: how it differs from the live one",
        "to": "with --diff: from this one instead",
        "check": "an env file: what is wrong with it, and how it differs from the live release's",
        "json": JSON,
    }
)
@command
@wiring.on_host
def env(
    context: Context,
    *,
    diff: str | None = None,
    to: str | None = None,
    check: str | None = None,
    json: bool = False,
) -> None:
    """Show the keys of the live release's environment, never a value."""
    from pipeline import envs

    if (to and not diff) or (check and diff):
        raise UsageError(
            "--to goes with --diff only, and --check with neither.",
            hint="`invoke env --diff A --to B`, or `invoke env --check FILE`.",
        )
    parts = _day().parts
    if check:
        found = envs.check(parts, Path(check))
        _show_check(found)
    elif diff:
        found = envs.differences(parts, diff, to)
        terminal.result(f"from release {found['from']['release']} to {found['to']['release']}")
        _show_changes(found)
    else:
        found = envs.keys(parts)
        terminal.result(f"release {found['release']} of {found['sha']}: {found['source']}")
        for each in found["keys"]:
            terminal.result(f"  {each['key']:<30} {'empty' if each['empty'] else 'set'}")
    if json:
        terminal.data(found)
    _end(UsageError.exit_code if found.get("problems") else 0)


def _show_check(found: dict[str, Any]) -> None:
    for line in found["warnings"]:
        terminal.result(f"warn  {line}")
    if found["live"]:
        terminal.result(f"compared with the live release {found['live']['release']}:")
        _show_changes(found)
    if problems := found["problems"]:
        terminal.fail(
            UsageError(
                f"{found['file']} cannot be used as it is.",
                hint="Mend these lines: KEY=value, with quotes around spaces and #.",
                details="\n".join(problems),
            )
        )
    else:
        terminal.result(f"ok    {found['file']}: {len(found['keys'])} keys")


def _show_changes(found: dict[str, Any]) -> None:
    for how in ("added", "removed", "changed"):
        for key in found[how]:
            terminal.result(f"  {how:<8} {key}")
    if not any(found[how] for how in ("added", "removed", "changed")):
        terminal.result("  no difference")
