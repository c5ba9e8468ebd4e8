"""An engine with its images and a registry, in memory, behind the two ways that image/ asks.

It refuses what nobody planned. tests/contract/test_image.py runs the same tests against it
and against the real engine and registry.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from pipeline import shell
from pipeline.errors import CommandError
from pipeline.image import registry

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
REAL_RUN = shell.run


def digest_of(content: str) -> str:
    return f"sha256:{sha256(content.encode()).hexdigest()}"


@dataclass
class FakeDocker:
    """Answers the command lines that it knows; any other fails the test.

    Attributes:
        images: Content by reference; a content is `<revision> <anything>`.
        remote: Content by reference, in the registry.
        refuse: What the engine says instead, by the start of the command line.
        down: No engine answers.
        trouble: What the next questions to the registry end with.
        asked: Questions to the registry.
        ran: Command lines that change something.
        secrets: What went to standard input.
        on_build: Makes the content of a build from its context.
    """

    images: dict[str, str] = field(default_factory=dict)
    remote: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    down: bool = False
    trouble: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    on_build: Callable[[Path], str] = lambda context: f"{SHA} built"

    def run(self, argv: Sequence[str], *, timeout: float, **how: Any) -> shell.Result:
        if argv[0] != "docker":
            return REAL_RUN(argv, timeout=timeout, **how)
        assert 0 < timeout <= 3600
        for start, said in self.refuse.items():
            if " ".join(argv).startswith(start):
                return self._end(argv, how, code=1, tail=said)
        match list(argv[1:]):
            case ["image", "inspect", ref]:
                return self._inspect(argv, how, ref)
            case ["version", *_]:
                return self._end(argv, how, code=int(self.down), tail="no daemon" * self.down)
            case ["image", "tag", content, ref]:
                self.images[ref] = content
            case ["push", ref]:
                self.ran.append(tuple(argv))
                self.remote[ref] = self.images[ref]
                how["on_line"]("Pushed")
            case ["pull", "--quiet", ref]:
                self.ran.append(tuple(argv))
                (self.images[ref],) = {c for c in self.remote.values() if digest_of(c) in ref}
            case ["login", "--username", user, "--password-stdin", host]:
                self.ran.append((user, host))
                self.secrets.append(how["stdin"].reveal())
            case ["buildx", "build", *flags, context]:
                self.ran.append(tuple(argv))
                how["on_line"]("#1 done")
                how["on_line"]("")
                (ref,) = [flag.removeprefix("--tag=") for flag in flags if "--tag=" in flag]
                self.images[ref] = self.on_build(Path(context))
            case _:
                raise AssertionError(f"nobody planned {argv}")
        return self._end(argv, how)

    def get_registry_data(self, ref: str) -> SimpleNamespace:
        self.asked.append(ref)
        if self.trouble:
            raise self.trouble.pop(0)
        if ref not in self.remote:
            raise NotFound("manifest unknown")
        return SimpleNamespace(id=digest_of(self.remote[ref]))

    def _inspect(self, argv: Sequence[str], how: dict[str, Any], ref: str) -> shell.Result:
        content = self.images.get(ref)
        if content is None or self.down:
            return self._end(argv, how, code=1, stdout="[]\n")
        known = content in self.remote.values()
        found = {
            "Id": content,
            "RepoDigests": [f"other/x@{digest_of('')}", f"{NAME}@{digest_of(content)}"] * known,
            "Os": "linux",
            "Architecture": "amd64",
            "Size": 7,
            "Config": {"Labels": {"org.opencontainers.image.revision": content.split()[0]}},
        }
        return self._end(argv, how, stdout=json.dumps([found]))

    @staticmethod
    def _end(
        argv: Sequence[str], how: dict[str, Any], *, code: int = 0, stdout: str = "", tail: str = ""
    ) -> shell.Result:
        if code and how.get("check", True):
            raise CommandError("docker failed", code=code, details=tail)
        return shell.Result(argv=tuple(argv), code=code, stdout=stdout, tail=tail, seconds=0.0)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Put the fake in the engine's place."""
    fake = FakeDocker()
    monkeypatch.setattr(shell, "run", fake.run)
    monkeypatch.setattr(
        registry, "_client", lambda: SimpleNamespace(images=fake, close=lambda: None)
    )
    monkeypatch.setattr(registry.time, "sleep", lambda seconds: None)
    return fake
