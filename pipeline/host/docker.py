"""A Docker Engine with Compose v2 and buildx: installed where it is missing, started, set.

What is lacking is named, all of it, then somebody agrees, then it is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import EngineError, UsageError
from pipeline.host import apt, daemon, packages, sudo
from pipeline.host.consent import UP, Confirm, Report, agree
from pipeline.host.machine import Machine, observe
from pipeline.host.needs import SET_UP, Action, Configure, Install, needed, ready

__all__ = ["Besides", "Step", "ensure_engine"]


class Step(Protocol):
    """Something else to do to this machine, in a sentence."""

    def __str__(self) -> str: ...

    def do(self, report: Report) -> None:
        """Do it."""
        ...


def _nothing(_: Machine) -> Sequence[Step]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Besides:
    """What a machine needs besides its engine.

    Attributes:
        look: Returns what has to be done by root once the engine has its parts.
        flags: Of `invoke host`, so that root does it, too.
    """

    look: Callable[[Machine], Sequence[Step]] = _nothing
    flags: tuple[str, ...] = ()


def ensure_engine(
    *,
    yes: bool,
    interactive: bool,
    confirm: Confirm,
    report: Report,
    besides: Besides = Besides(),
) -> Machine:
    """Make sure that an engine answers, with Compose v2 and buildx; do nothing where it does.

    Args:
        yes: Install and start without asking; where that takes root, with a `sudo` that asks
            nothing, too.
        interactive: Somebody is at a terminal.
        confirm: Asks that person.
        report: Gets one line for each thing done.
        besides: What else this machine needs, named and done with it.

    Returns:
        The machine as it is then.

    Raises:
        UsageError: Something is missing and nobody agreed to it, or we are not root.
        EngineError: It could not be installed or does not start.
        UnavailableError: What is needed besides could not be done.
    """
    machine = observe()
    actions, more = needed(machine), besides.look(machine)
    optional = not more and all(isinstance(action, Configure) for action in actions)
    if not actions and not more:
        report(ready(machine))
        return machine
    by_sudo = sudo.works(yes=yes)
    command = " ".join((SET_UP, *besides.flags))
    steps = [str(step) for step in (*actions, *more)]
    if optional and not machine.root and not by_sudo:
        report(_as_it_is(machine, actions))
        return machine
    if not machine.root and not by_sudo:
        raise UsageError(
            f"Only root can set this machine up. It lacks: {'; '.join(steps)}.",
            hint=f"sudo {command}",
        )
    if not machine.engine:
        steps.append("the base images, which are looked at once the engine answers")
    try:
        agree(
            steps,
            yes=yes,
            interactive=interactive,
            confirm=confirm,
            report=report,
            command=command if more else UP,
        )
    except UsageError:
        if more or not optional:
            raise
        report(_as_it_is(machine, actions))
        return machine
    if by_sudo:
        sudo.host("--engine", *besides.flags, report=report)
    else:
        _do(actions, machine, report)
        for step in more:
            step.do(report)
    left = observe()
    needed(left)  # says so where this user may not talk to it
    missing = [*left.lacks, *([] if left.engine else ["an engine that answers"])]
    missing += [str(step) for step in besides.look(left)]
    if missing:
        raise EngineError(
            f"The installation went through, but this is still missing: {'; '.join(missing)}.",
            hint="`docker version`, `docker compose version`, `docker buildx version` must answer.",
        )
    report(ready(left))
    return left


def _do(actions: tuple[Action, ...], machine: Machine, report: Report) -> None:
    for action in actions:
        if isinstance(action, Install):
            _install(action, machine, report)
        elif isinstance(action, Configure):
            _configure(action, machine, report)
        else:
            daemon.start(systemd=action.systemd, report=report)


def _install(action: Install, machine: Machine, report: Report) -> None:
    try:
        apt.install(action.packages, distro=machine.distro, key=action.key, report=report)
    except EngineError as exc:
        raise packages.explained(exc) from exc


def _configure(action: Configure, machine: Machine, report: Report) -> None:
    if action.then == "restart" and daemon.about().containers != 0:
        raise EngineError(
            "The Docker Engine has got containers meanwhile, so it was not restarted.",
            hint=f"Run {SET_UP} again; it says what can be done.",
        )
    daemon.turn_on(action.settings, then=action.then, systemd=machine.systemd, report=report)


def _as_it_is(machine: Machine, actions: tuple[Action, ...]) -> str:
    names = [
        name for action in actions if isinstance(action, Configure) for name in action.settings
    ]
    how = SET_UP if machine.root else f"sudo {SET_UP}"
    return f"{ready(machine)} (`{how}` turns {' and '.join(names)} on)"
