"""A server, as `invoke host` leaves it: engine, boot order, the user that deploys, its folders.

`prepare()` names everything first, asks once and does it; where nothing is lacking, it does
nothing. `checks()` only looks. A firewall is only looked at by both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pipeline.errors import PipelineError
from pipeline.host import accounts, bases, boot, daemon, docker, firewall
from pipeline.host.accounts import Folder, Group, Join, Make
from pipeline.host.boot import Enable
from pipeline.host.consent import Confirm, Report
from pipeline.host.docker import Besides, Step
from pipeline.host.machine import Machine, observe
from pipeline.host.needs import SET_UP, Configure, Install, Start, needed, ready
from pipeline.settings import Settings

__all__ = ["Line", "checks", "prepare"]

Status = Literal["ok", "would", "hint", "fail"]
KEYS = Path(".ssh")  # in the user's home
STATE = Path(".local/state")
NO_SHELLS = ("nologin", "false")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One look at a server.

    Attributes:
        name: What was looked at.
        status: `would`: it is lacking, and `invoke host` would do what the message says; `fail`:
            it is not for us to mend; `hint`: for its owner to think about.
        message: What was seen, or would be done.
    """

    name: str
    status: Status
    message: str

    def __str__(self) -> str:
        return f"{self.status:<5} {self.name}: {self.message}"


def prepare(
    settings: Settings, *, yes: bool, interactive: bool, confirm: Confirm, report: Report
) -> None:
    """Make sure of everything but the base images.

    Args:
        settings: Of the service: who deploys, where its state is, where it is published.
        yes: Do it without asking; where that takes root, with a `sudo` that asks nothing, too.
        interactive: Somebody is at a terminal.
        confirm: Asks that person.
        report: Gets one line for each thing to do, done, or looked at.

    Raises:
        UsageError: Something is missing and nobody agreed to it, or the user cannot be one.
        UnavailableError: It could not be done; what was done before it stays.
    """
    user = settings.deploy_user
    if user:
        accounts.refuse(user)
    machine = docker.ensure_engine(
        yes=yes,
        interactive=interactive,
        confirm=confirm,
        report=report,
        besides=Besides(look=partial(_steps, settings), flags=("--user", user) if user else ()),
    )
    for line in _around(settings, machine):
        report(str(line))


def checks(settings: Settings, *, engine_only: bool = False) -> list[Line]:
    """Look at everything that `invoke host` looks at, in a fixed order; change nothing.

    Args:
        settings: As `prepare()`.
        engine_only: Leave the base images out.

    Raises:
        UsageError: The user cannot be one.
    """
    if settings.deploy_user:
        accounts.refuse(settings.deploy_user)
    machine = observe()
    lines = [*_engine(machine), *_around(settings, machine)]
    return lines if engine_only else [*lines, _bases(machine)]


def _steps(settings: Settings, machine: Machine) -> Sequence[Step]:
    """Return what has to be done besides the engine.

    Raises:
        UsageError: A folder is somebody else's.
    """
    return (*_boot_steps(machine), *_user_steps(settings, machine), *_folders(settings))


def _boot_steps(machine: Machine) -> Sequence[Step]:
    if machine.elsewhere:
        return ()
    off = boot.look(systemd=machine.systemd).off
    # An engine that is to be started is enabled with it.
    units = tuple(unit for unit in off if machine.engine or unit != boot.ENGINE)
    return (Enable(units=units),) if units else ()


def _user_steps(settings: Settings, machine: Machine) -> Sequence[Step]:
    name = settings.deploy_user
    if not name:
        return ()
    account = accounts.find(name)
    # The engine's packages bring their group along.
    there = "engine" in machine.lacks or accounts.group_exists(accounts.DOCKER)
    steps: list[Step] = [] if there else [Group()]
    if account is None:
        steps.append(Make(name=name))
    if account is None or accounts.DOCKER not in account.groups:
        steps.append(Join(name=name))
    return steps


def _folders(settings: Settings) -> Sequence[Folder]:
    """Return the user's folders that are missing, or open to others."""
    name = settings.deploy_user
    if not name:
        return ()
    default = settings.sources.get("state_dir") == "default"  # that is in our home, not in theirs
    state = STATE / settings.app if default else settings.state_dir
    wanted = [
        Folder(path=KEYS, owner=name, what="folder of keys"),
        Folder(path=state, owner=name, what="state folder"),
    ]
    return [folder for folder in wanted if folder.lacks()]


def _engine(machine: Machine) -> list[Line]:
    try:
        actions = needed(machine)
    except PipelineError as exc:
        return [Line(name="engine", status="fail", message=f"{exc.message} {exc.hint}")]
    would = {type(action): str(action) for action in actions}
    fine = {
        Install: ("packages", "Docker Engine, the docker command, Compose and buildx are there"),
        Configure: ("settings", _settings(machine)),
        Start: ("engine", ready(machine) if not would else f"Docker Engine {machine.engine}"),
    }
    return [
        Line(name=name, status="would", message=would[kind])
        if kind in would
        else Line(name=name, status="ok", message=message)
        for kind, (name, message) in fine.items()
    ]


def _settings(machine: Machine) -> str:
    if machine.engine and not machine.managed:
        return "the engine is not this machine's own, or was started with flags: only looked at"
    return "as they should be, with limits for containers' logs" + (
        ", which count from dockerd's next start if they are younger than this one"
        if machine.engine and daemon.file_is_younger()
        else ""
    )


def _around(settings: Settings, machine: Machine) -> list[Line]:
    """Look at all that is neither the engine nor the base images."""
    return [*_boot(machine), *_user(settings, machine), _exposure(settings, machine)]


def _boot(machine: Machine) -> list[Line]:
    if machine.elsewhere:
        return []
    seen = boot.look(systemd=machine.systemd)
    would = _boot_steps(machine)
    if would:
        return [Line(name="boot", status="would", message=str(would[0]))]
    if seen.masked:
        units = " ".join(seen.masked)
        message = f"somebody has masked {units}. Where that may change: `systemctl unmask {units}`"
        return [Line(name="boot", status="fail", message=f"{message}, then {SET_UP}")]
    if not seen.systemd:
        message = (
            "no systemd here: whatever starts this machine's programs has to start dockerd, too; by"
            f" hand: {SET_UP}. Its containers come back with it"
        )
        return [Line(name="boot", status="hint", message=message)]
    if seen.unknown and machine.engine:
        message = f"systemd has no {boot.ENGINE}: see to it that the engine starts with the machine"
        return [Line(name="boot", status="hint", message=message)]
    message = "the engine starts with the machine, and its containers with it"
    return [Line(name="boot", status="ok", message=message)]


def _user(settings: Settings, machine: Machine) -> list[Line]:
    name = settings.deploy_user
    if not name:
        message = (
            "none of its own is set (--user, PIPELINE_DEPLOY_USER); whoever may use the engine"
        )
        return [Line(name="user", status="ok", message=f"{message} deploys, root for one")]
    lines = [
        Line(name="user", status="would", message=str(step))
        for step in _user_steps(settings, machine)
    ]
    if not lines:
        message = f"{name} is there, in the group docker ({accounts.EQUALS_ROOT})"
        lines.append(Line(name="user", status="ok", message=message))
    account = accounts.find(name)
    if account is not None and Path(account.shell).name in NO_SHELLS:
        message = f"{name} has no shell: `usermod --shell {accounts.SHELL} {name}` lets it log in"
        lines.append(Line(name="user", status="hint", message=message))
    try:
        folders = _folders(settings)
    except PipelineError as exc:
        message = f"{exc.message} {exc.hint}"
        return [*lines, Line(name="folders", status="fail", message=message)]
    return [
        *lines,
        *(Line(name="folders", status="would", message=str(folder)) for folder in folders),
        *(
            []
            if folders
            else [Line(name="folders", status="ok", message=f"keys and state are {name}'s alone")]
        ),
    ]


def _exposure(settings: Settings, machine: Machine) -> Line:
    seen = firewall.look(settings.bind_address, settings.port, systemd=machine.systemd)
    return Line(name="firewall", status="ok" if seen.safe else "hint", message=seen.message)


def _bases(machine: Machine) -> Line:
    if machine.refused:
        message = "not to be seen by this user"
        return Line(name="base images", status="hint", message=message)
    if not machine.engine:
        message = "looked at once the engine answers"
        return Line(name="base images", status="would", message=message)
    try:
        missing = bases.missing_bases()
    except PipelineError as exc:
        return Line(name="base images", status="fail", message=f"{exc.message} {exc.hint}")
    if not missing:
        return Line(name="base images", status="ok", message="all are here")
    message = f"{', '.join(missing)}: pull them, or build stand-ins where no registry answers"
    return Line(name="base images", status="would", message=message)
