"""up() and down(): the whole pipeline on this machine, from no engine to a live release."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipeline.engine.compose import ComposeEngine
from pipeline.host import bases, docker, registry
from pipeline.host import server as servers
from pipeline.outcome import Outcome, Report
from pipeline.ports import Bundle
from pipeline.release import lock
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.store import State
from pipeline.settings import Settings
from pipeline.ship import COMPOSE_FILE, Shipping
from pipeline.traffic.haproxy import HAProxy

__all__ = ["Consent", "down", "host", "up"]

DOWN_TIMEOUT = 120.0  # seconds
PLACEHOLDER = "change-me"


@dataclass(frozen=True, kw_only=True)
class Consent:
    """Whether this machine may be changed.

    Attributes:
        yes: Said on the command line.
        interactive: Somebody is there to be asked.
        confirm: Asks, and tells whether the answer was yes.
    """

    yes: bool
    interactive: bool
    confirm: Callable[[str], bool]


def host(
    *,
    consent: Consent,
    report: Report,
    engine_only: bool = False,
    server: Settings | None = None,
) -> dict[str, float]:
    """Make sure of engine and base images; return the seconds that each took.

    Args:
        consent: Whether this machine may be changed.
        report: Gets one line for each thing done.
        engine_only: Leave the base images to whoever needs them.
        server: Settings of the service that this machine is a server of: then also of what a
            server needs besides. None: it is enough that everything runs now.

    Raises:
        UsageError: Something is missing and nobody agreed to install it.
        EngineError: It could not be installed or started.
        UnavailableError: Something that a server needs could not be done.
    """
    phases: dict[str, float] = {}
    with _timed(phases, "engine"):
        if server is None:
            docker.ensure_engine(**vars(consent), report=report)
        else:
            servers.prepare(server, **vars(consent), report=report)
    if engine_only:
        return phases
    with _timed(phases, "bases"):
        bases.ensure_bases(**vars(consent), report=report)
    return phases


def up(
    settings: Settings, *, sha: str | None, consent: Consent, report: Report, started: float
) -> tuple[Outcome, dict[str, float]]:
    """Host, local registry, build, push, deploy, verify; return the outcome and all phases.

    Raises:
        PipelineError: A phase before the deployment failed; what was live still serves.
    """
    phases = host(consent=consent, report=report)
    if settings.sources["registry"].startswith("PIPELINE_"):
        report(f"registry: {settings.registry}, as PIPELINE_REGISTRY says")
    else:
        with _timed(phases, "registry"):
            local = registry.ensure_local_registry(
                app=settings.app, port=settings.local_registry_port, report=report
            )
            settings = replace(settings, registry=local)
    _ensure_env_file(settings, report)
    shipping = Shipping(settings=settings, report=report, started=started)
    with _timed(phases, "build"):
        commit = shipping.build(sha).sha
    with _timed(phases, "push"):
        shipping.push(commit)
    with _timed(phases, "deploy"):
        outcome = shipping.deploy(commit)
    if outcome.error is None:
        with _timed(phases, "verify"):
            shipping.expect(commit)
    return outcome, phases


def down(settings: Settings, *, volumes: bool, report: Report) -> None:
    """Remove what `up` made; keep data and history unless `volumes`.

    Raises:
        LockedError: A deployment is going on.
        EngineError: The engine refused.
    """
    state = State(settings.state_dir, app=settings.app)
    state.create()
    bundle = Bundle(
        compose_file=settings.root / COMPOSE_FILE, variables={"PIPELINE_ENV_FILE": os.devnull}
    )
    with lock.hold(state.lock, command="down"):
        ComposeEngine(settings.app).remove(bundle, volumes=volumes, timeout=DOWN_TIMEOUT)
        HAProxy(config=state.proxy_config, run=state.proxy_run).forget()
        ledger = Ledger(state.ledger)
        if ledger.live() or ledger.unfinished():
            ledger.record(Deployment(kind="down", release=None, colour=None, outcome="stopped"))
        registry.remove_local_registry(app=settings.app, volumes=volumes)
    report("removed containers and network" + (" and data" if volumes else "; the data is kept"))


def _ensure_env_file(settings: Settings, report: Report) -> None:
    """Make an env file from the example where there is none, with a password of its own."""
    path = settings.root / settings.env_file
    earlier = Ledger(State(settings.state_dir, app=settings.app).ledger).lives()
    if settings.env_content or path.exists() or earlier:
        return  # a new password would lock an earlier release's database
    example = (settings.root / ".env.example").read_text(encoding="utf-8")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(example.replace(PLACEHOLDER, secrets.token_urlsafe(24)))
    report(f"env file: made {path} from .env.example, with a new password")


@contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    phases[name] = round(time.monotonic() - started, 3)
