"""A host whose hooks are shell scripts; each keeps what it was told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import ship, webhook
from pipeline.deploy import Delivery
from pipeline.parsing import Hooks, Secret
from pipeline.settings import Settings
from pipeline.ship import Shipping
from tests.unit.delivery.conftest import Host


class Site:
    """A host with a checkout.

    Attributes:
        messages: What the webhook would have got.
    """

    def __init__(self, host: Host, root: Path) -> None:
        self.host, self.root = host, root
        self.messages: list[dict] = []

    def script(self, name: str, *lines: str) -> str:
        path = self.root / f"{name}.sh"
        path.write_text("\n".join([f"cat >> {self.root}/{name}.told", *lines]) + "\n")
        return f"sh {name}.sh"

    def set(self, **given: str) -> None:
        found = Hooks(**{name: (tuple(line.split()),) for name, line in given.items()})
        self.host.settings = replace(self.host.settings, hooks=found)

    def set_all(self) -> None:
        """Have one script for each hook, of its name."""
        self.set(**{name: self.script(name) for name in vars(Hooks())})

    def told(self, name: str) -> list[dict]:
        path = self.root / f"{name}.told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def shipping(self) -> Shipping:
        return Shipping(settings=self.host.settings, report=self.host.said.append, started=0.0)

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.host.said if line.startswith("warning: ")]

    def hear(self) -> None:
        """Have a webhook."""
        self.host.settings = replace(self.host.settings, webhook_url=Secret("https://x.example/y"))


def hooked(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return the host with a checkout at `root`, without hooks yet."""
    root.mkdir()
    made = Site(host, root)
    monkeypatch.setattr(Settings, "root", root)
    monkeypatch.setattr(Delivery, "of", classmethod(lambda cls, *_, **__: host.delivery()))
    monkeypatch.setattr(
        ship.registry, "ensure_local", lambda _settings, sha, **_: host.on_host(sha)
    )
    monkeypatch.setattr(ship.commits, "file_of", lambda *_, **__: "services: {}")
    monkeypatch.setattr(webhook, "send", lambda _, about, **__: made.messages.append(dict(about)))
    (host.folder / "env").write_text("KEY=value\nDB_PASSWORD=sentinel-secret\n")
    return made
