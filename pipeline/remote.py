"""The same command on another machine: PIPELINE_HOST=ssh://user@host.

The pipeline's own code goes there as a commit (that of this checkout), so lock, ledger, state
and engine are that machine's, and nothing of it has to be installed there first. What a person
has set here goes along; secrets only by standard input of ssh.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError, UsageError
from pipeline.image import commit as commits
from pipeline.parsing import Secret
from pipeline.release import env
from pipeline.settings import Settings
from pipeline.ssh.connection import SSH_FAILED, Connection

__all__ = ["flags", "there"]

TALKED_TO = {"exec", "run"}  # they have our standard streams, and no need of a secret
CHANGE_USERS = {"host", "up", "runner"}  # and a connection that is kept knows no new groups
NEEDS_ENV = {"deploy", "up", "doctor"}
FILES = {("env", "check")}  # flags that name a file of this machine
STAYS = {"host", "env_file", "env_content", "codecov_token", "codecov_url"}
# What ssh ends with where it loses the connection, or is itself ended: SIGHUP, SIGKILL, SIGTERM.
LOST = {SSH_FAILED, 129, 137, 143}
_COMMITS = {"sha", "expect"}
_RELEASES = {"to", "diff"}  # perhaps a commit, perhaps the shortened name of what is known there
_KNOWN_THERE = re.compile(r"[0-9a-fA-F]{4,40}(-[0-9a-f]+)?")


def there(
    settings: Settings,
    *,
    task: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    remainder: Sequence[str] = (),
    interactive: bool = False,
    terminal: bool = False,
    report: Callable[[str], None],
) -> int:
    """Run a task on the host that the settings name; return its exit code.

    Args:
        settings: Ours.
        task: Its name on the command line.
        given: Its arguments by parameter.
        defaults: What each is where it is not given.
        remainder: What follows `--` on the command line.
        interactive: Whether somebody is there whom ssh may ask.
        terminal: Whether what is talked to gets a terminal.
        report: Gets one line for each thing done.

    Raises:
        UsageError: Unknown commit, or a file that cannot be read; nothing was done.
        UnavailableError: The host cannot be reached or lacks something.
    """
    code = commits.resolve_commit(None, root=settings.root)
    arguments, wanted = _resolved(given, settings.root)
    if settings.sources["state_dir"].startswith("PIPELINE_") and settings.state_dir.is_relative_to(
        settings.root
    ):
        raise UsageError(
            f"The state folder {settings.state_dir} is in this checkout, which is not there.",
            hint="Set PIPELINE_STATE_DIR to a path that the host has, such as ~/state.",
        )
    values, secrets = _travels(settings)
    if task in NEEDS_ENV:
        secrets |= _env_content(settings, arguments)
    files = [
        _file(name, settings.root / Path(arguments.pop(name)).expanduser())
        for each, name in FILES
        if each == task and arguments.get(name)
    ]
    host = Connection(settings.host, interactive=interactive)
    _tell_of_changes(settings.root, host, report)
    base = _prepare(host, settings, [code, *wanted], report)
    values = {"PIPELINE_ENV_FILE": f"{base}/.env", **values}
    argv = [task, *flags(arguments, defaults)]
    if task in TALKED_TO:
        rest = ["--", *remainder] if remainder else []
        program = f"{base}/checkouts/{code}/bin/invoke"
        variables = [f"{name}={value}" for name, value in values.items()]
        return host.attach(
            ["env", "-u", "PIPELINE_HOST", *variables, program, *argv, *rest],
            terminal=terminal and not arguments.get("no_tty"),
        )
    ended = host.run(
        {
            "do": "command",
            "app": settings.app,
            "sha": code,
            "argv": argv,
            "env": values | secrets,
            "files": files,
        }
    )
    if task in CHANGE_USERS:
        host.close()
    if ended in LOST:
        raise UnavailableError(
            f"The connection to {host.name} was lost. What ran there is cancelled as soon as it "
            "notices, which undoes what is not yet recorded as live.",
            hint="`invoke status` shows what serves; `invoke resume` ends what was interrupted.",
        )
    return ended


def flags(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return arguments as they are typed; those that say what is so anyway are left out."""
    found = []
    for name, value in given.items():
        if value is None or value == defaults.get(name):
            continue
        if isinstance(value, bool):
            found.append(_flag(name) if value else f"--no-{_flag(name)[2:]}")
        elif isinstance(value, list | tuple):
            found += [f"{_flag(name)}={each}" for each in value]
        else:
            found.append(f"{_flag(name)}={value}")  # one word, so that no value is an option
    return found


def _flag(name: str) -> str:
    plain = name.strip("_").replace("_", "-")
    return f"-{plain}" if len(plain) == 1 else f"--{plain}"


def _resolved(given: Mapping[str, Any], root: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments with full hashes for commits; and which of them this checkout has.

    HEAD, a branch or HEAD~1 is what it is here, not what it is there.
    """
    found, here = dict(given), []
    for name in sorted((_COMMITS | _RELEASES) & set(found)):
        text = found[name]
        if (name != "sha" and text is None) or (name in _RELEASES and _KNOWN_THERE.fullmatch(text)):
            continue
        found[name] = commits.resolve_commit(text, root=root, must_exist=False)
        if commits.file_of(found[name], "docker-compose.yml", root=root) is not None:
            here.append(found[name])
    return found, here


def _travels(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is set in our environment, by variable: what may be seen, and the secrets."""
    seen, secrets = {}, {}
    for name, source in settings.sources.items():
        value = getattr(settings, name)
        if name in STAYS or not re.fullmatch(r"[A-Z][A-Z0-9_]*", source):
            continue
        if isinstance(value, Secret):
            secrets[source] = value.reveal()
        else:
            seen[source] = _text(value)
    return seen, secrets


def _text(value: Any) -> str:  # noqa: ANN401 - a setting
    """Return a setting as a variable says it; a folder of our home is one of the home there."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Path) and value.is_relative_to(Path.home()):
        return f"~/{value.relative_to(Path.home())}"
    return str(value)


def _env_content(settings: Settings, arguments: dict[str, Any]) -> dict[str, str]:
    """Return ENV_FILE as it is to be there: ours, or the content of our file where we have one."""
    named = arguments.pop("env_file", None)
    if settings.env_content:
        return {"ENV_FILE": settings.env_content.reveal()}
    path = settings.root / Path(named or settings.env_file).expanduser()
    if named is None and not path.exists():
        return {}
    env.read(path)
    return {"ENV_FILE": _read(path)}


def _file(name: str, path: Path) -> dict[str, Any]:
    """Return what makes a file of ours one of theirs, for the flag that names it."""
    text = _read(path)
    mode = path.stat().st_mode & 0o777
    return {"flag": _flag(name), "name": path.name, "text": text, "mode": mode}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"The file {path} cannot be read: {exc}.", hint="Name a text file of this machine."
        ) from exc


def _tell_of_changes(root: Path, host: Connection, report: Callable[[str], None]) -> None:
    try:
        commits.refuse_dirty(root)
    except UsageError as exc:
        names = ", ".join(line[3:] or line for line in exc.details.splitlines())
        report(f"not on {host.name}, because it is in no commit: {names}")


def _prepare(
    host: Connection, settings: Settings, wanted: list[str], report: Callable[[str], None]
) -> str:
    """Make sure of a checkout of the first commit there, and of the others; return its base."""
    request = {"do": "prepare", "app": settings.app, "commits": wanted}
    answer = host.ask(request)
    if missing := answer["missing"]:
        report(f"{host.name}: gets {', '.join(each[:12] for each in missing)}")
        failure = UnavailableError(
            f"{host.name} still lacks commit {missing[0]}.",
            hint=f"Remove its copy, then try again: ssh {host.shown} rm -rf {answer['repository']}",
        )
        try:
            host.push(missing, answer["repository"], root=settings.root)
        except UnavailableError as exc:
            failure = exc  # unless it was that somebody else has just pushed the same
        answer = host.ask(request)
        if answer["missing"]:
            raise failure
    return str(answer["base"])
