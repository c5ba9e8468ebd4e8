"""What could keep a deployment, or the service, from working here, each with its remedy.

Nothing here changes anything, hangs or raises: all looks begin at once, and whoever has
not answered at the deadline is left behind.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from pipeline.errors import AttentionError, PipelineError
from pipeline.host.doctor import engine, machine, network, service
from pipeline.host.doctor.check import SET_UP, Check, Status, begin, failed, refused, warned
from pipeline.host.doctor.facts import Facts, Service, registry_url
from pipeline.settings import Settings

__all__ = ["Check", "Service", "checks", "exit_code", "worst"]

SECONDS = 1.5  # for all of it
EXIT_CODES = {"ok": 0, "warn": AttentionError.exit_code, "fail": PipelineError.exit_code}
RANK: tuple[Status, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True)
class _Look:
    """One check to be made.

    Attributes:
        engine: There is nothing to see while no engine answers.
        late: What it comes to if there is no answer in time.
        next: What to type then.
    """

    name: str
    see: Callable[[Facts], Check]
    engine: bool = False
    late: Callable[[str, str, str], Check] = failed
    next: str = SET_UP


def checks(settings: Settings, asked: Service | None = None) -> list[Check]:
    """Return every check, in a fixed order; takes at most about 1.5 seconds, raises nothing.

    Args:
        settings: Of the service.
        asked: Who can say what serves, and whether the registry lets us in.
    """
    facts = Facts(settings, asked or Service())
    began = time.monotonic()
    begun = [(look, begin(partial(_seen, look, facts))) for look in _looks(facts)]
    return [_end(look, seen, began + SECONDS) for look, seen in begun]


def worst(found: Sequence[Check]) -> Status:
    """Return the worst of some checks."""
    return max((check.status for check in found), key=RANK.index, default="ok")


def exit_code(found: Sequence[Check]) -> int:
    """Return the worst of some checks, as a command says it."""
    return EXIT_CODES[worst(found)]


def _looks(facts: Facts) -> Iterator[_Look]:
    settings, asked = facts.settings, facts.service
    yield _Look("engine", engine.engine)
    yield _Look("compose", engine.compose)
    yield _Look("buildx", engine.buildx)
    yield _Look("live-restore", engine.live_restore, engine=True)
    yield _Look("image store", engine.image_store, engine=True)
    yield _Look("log limits", engine.log_limits, engine=True)
    yield _Look("boot", engine.boot, late=warned)
    yield _Look("platforms", engine.platforms, engine=True)
    yield _Look("base images", engine.base_images, engine=True)
    yield _Look("disk", machine.disk, next=f"df -h {settings.state_dir}")
    yield _Look("memory", machine.memory)
    yield _Look("clock", machine.clock, late=warned, next="timedatectl")
    yield _Look("state folder", machine.state_folder, next=f"df -h {settings.state_dir}")
    yield _Look("port", network.port)
    ask = f"curl --head {registry_url(settings)}"
    yield _Look("DNS", network.names, late=warned, next="cat /etc/resolv.conf")
    yield _Look("registry", network.registry, late=warned, next=ask)
    if registry_url(settings).startswith("https:"):
        see = network.registry_certificate
        yield _Look("registry certificate", see, late=warned, next=ask)
    if settings.public_url:
        ask = f"curl --head {settings.public_url}"
        yield _Look("public URL", network.public_url, late=warned, next=ask)
    yield _Look("env file", service.env_file)
    if settings.runner_url:
        yield _Look("runner", service.runner, late=warned, next="./bin/invoke runner status")
    yield _Look("containers", service.containers, engine=True)
    if asked.status is not None:
        look = "./bin/invoke status  # takes the time that it needs"
        yield _Look("service", service.serving, engine=True, next=look)
        yield _Look("drift", service.drift, engine=True, late=warned, next=look)


def _seen(look: _Look, facts: Facts) -> Check:
    try:
        if look.engine and not facts.engine_answers():
            message = "not known while no engine answers"
            return warned(look.name, message, engine.silence()[1])
        return look.see(facts)
    except PipelineError as exc:
        return refused(look.name, exc, remedy=look.next)
    except Exception as exc:  # noqa: BLE001 - a look that fails must not hide the others
        message = f"could not be looked at: {type(exc).__name__}: {exc}"
        return warned(look.name, message, look.next)


def _end(look: _Look, seen: Future[Check], deadline: float) -> Check:
    try:
        return seen.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return look.late(look.name, f"did not answer within {SECONDS:g} s", look.next)
