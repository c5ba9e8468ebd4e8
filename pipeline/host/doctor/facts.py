"""What several checks want to know of this machine and its service; each is looked at once."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, UnavailableError
from pipeline.host.client import connect, engine_host
from pipeline.host.doctor.check import Once
from pipeline.host.doctor.greeting import greet, is_loopback
from pipeline.settings import Settings

__all__ = ["PROJECT", "SECONDS", "Facts", "Service", "is_here", "nearest"]

SECONDS = 1  # for each question to the engine
PROJECT = "com.docker.compose.project"


@dataclass(frozen=True, kw_only=True)
class Service:
    """Who can be asked about the service; without an answer to give, the checks are left out.

    Attributes:
        prove: Raises a PipelineError where this user may not pull from or push to the registry.
        status: What `invoke status --json` says.
        history: The newest deployments, as `invoke history --json` lists them.
    """

    prove: Callable[[], None] | None = None
    status: Callable[[], Mapping[str, Any]] | None = None
    history: Callable[[], Sequence[Mapping[str, Any]]] = tuple


class Facts:
    """What was seen so far; every question waits for its answer or raises a PipelineError."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self.settings = settings
        self.service = service
        self.info = Once(_info)
        self.status = Once(self._status)
        self.registry = Once(partial(greet, registry_url(settings), trust=settings.ca_bundle))

    def engine_answers(self) -> bool:
        """Tell whether anything can be asked of the engine."""
        try:
            self.info()
        except PipelineError:
            return False
        return True

    def recorded(self) -> str:
        """Return the commit that is live by the ledger; "" where none is, or nobody knows."""
        with suppress(PipelineError):  # whoever asks for the status gets to hear of it
            for row in self.service.history():
                if row["outcome"] in {"live", "stopped"}:
                    return str(row["sha"] or "")
        return ""

    def named_registry(self) -> bool:
        """Tell whether somebody named the registry: `up` pushes to one of its own, else."""
        return self.settings.sources.get("registry", "").startswith("PIPELINE_")

    def _status(self) -> Mapping[str, Any]:
        if self.service.status is None:
            raise UnavailableError("Nobody can say what serves.")
        return self.service.status()


def registry_url(settings: Settings) -> str:
    """Return where the registry answers: plain HTTP on this machine, as the engine has it."""
    name = settings.registry
    name = "registry-1.docker.io" if name in {"docker.io", "index.docker.io"} else name
    plain = is_loopback(name.rpartition(":")[0] or name)
    return f"{'http' if plain else 'https'}://{name}/v2/"


def is_here() -> bool:
    """Tell whether the engine that we ask is this machine's."""
    named = engine_host()
    return not named or named.startswith(("unix:", "http+unix:"))


def nearest(path: Path) -> Path:
    """Return the path itself, or the first of its parents that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _info() -> Mapping[str, Any]:
    with connect(seconds=SECONDS) as client:
        return dict(client.info())
