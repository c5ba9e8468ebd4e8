"""A delivery over the fakes, and images of two commits."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.beside import Beside
from pipeline.deploy import Delivery
from pipeline.outcome import Outcome
from pipeline.release.ledger import Ledger
from pipeline.release.store import State
from pipeline.settings import Settings
from tests.fakes import FakeClock, FakeEngine, FakeProbe, FakeTraffic, Image, World

A, B = "a" * 40, "b" * 40


def reference(sha: str) -> str:
    return f"ghcr.io/panager/panager@sha256:{sha[0] * 64}"


@dataclass(frozen=True)
class OnHost:
    reference: str
    migrations: str


@dataclass
class Host:
    """One deploy host in memory."""

    world: World
    folder: Path
    settings: Settings

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self.retired: list[int] = []
        self.migrations: dict[str, str] = {}
        self.env = {"KEY": "value", "DB_PASSWORD": "sentinel-secret"}

    def delivery(self, **changes) -> Delivery:
        state = State(self.folder / "state", app="panager")
        parts = {
            "settings": self.settings,
            "state": state,
            "ledger": Ledger(state.ledger),
            "engine": FakeEngine(self.world),
            "traffic": FakeTraffic(self.world),
            "probe": FakeProbe(self.world),
            "clock": FakeClock(self.world),
            "report": self.said.append,
            "started": 0.0,
            "retire": self.retired.append,
        }
        return Delivery(**parts | changes)

    def on_host(self, sha: str, _reference: str = "") -> OnHost:
        return OnHost(reference(sha), self.migrations.get(sha, "m1"))

    def deploy(self, sha: str, *, dry_run: bool = False, **changes) -> Outcome:
        env_file = self.folder / "env"
        env_file.write_text("".join(f"{key}={value}\n" for key, value in self.env.items()))
        return self.delivery(**changes).deploy(
            sha=sha, pull=self.on_host, compose="services: {}", dry_run=dry_run
        )

    def rollback(self, to: str | None = None, **changes) -> Outcome:
        return self.delivery(**changes).rollback(to=to, pull=self.on_host)

    def break_image(self, commit: str, **changes) -> None:
        self.world.images[reference(commit)] = Image(**{"sha": commit} | changes)


def new_host(folder: Path) -> Host:
    """Return a host with images of A and B, on which nothing is live."""
    world = World(images={reference(sha): Image(sha=sha) for sha in (A, B)})
    settings = Settings(
        env_file=folder / "env",
        state_dir=folder / "state",
        required_env=("KEY",),
        standby=0.0,
    )
    return Host(world=world, folder=folder, settings=settings)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch, no_power_cuts: None) -> None:
    """Let anybody lay out a host's folders."""
    monkeypatch.setattr("pipeline.traffic.folders.os.chown", lambda *_: None)


@pytest.fixture
def host(tmp_path: Path, lenient: None) -> Host:
    return new_host(tmp_path)


@pytest.fixture(autouse=True)
def tidied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was removed after deployments, which no unit test does: for each, its app."""
    found: list[str] = []
    monkeypatch.setattr(Beside, "tidy_up", lambda self: found.append(self.settings.app))
    return found
