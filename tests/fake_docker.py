"""An engine with its images and a registry, in memory, behind the ways that image/ asks.

It refuses what nobody planned. tests/contract/test_image.py runs the same tests against it
and against the real engine and registry.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from pipeline import shell
from pipeline.errors import CommandError, RegistryError
from pipeline.image import about, credentials, registry
from pipeline.image.manifests import OCI_MANIFEST, Manifest
from pipeline.settings import Settings

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
REVISION = "org.opencontainers.image.revision"
REAL_RUN = shell.run


def bytes_digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def config_of(content: str) -> bytes:
    """Return the configuration of an image: its second word is all that it has of files."""
    revision, _, rest = content.partition(" ")
    config = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-02T03:04:05Z",
        "config": {"Labels": {REVISION: revision}, "Env": None},
        "rootfs": {"diff_ids": [bytes_digest(rest.partition(" ")[0].encode())]},
        "history": [{"created_by": "COPY app"}, {"created_by": "ENV x", "empty_layer": True}],
    }
    return json.dumps(config).encode()


def manifest_of(content: str) -> Manifest:
    """Return the manifest of an image; whatever else its content says makes another one."""

    def descriptor(of: bytes, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": bytes_digest(of), "size": len(of)}

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config_of(content), "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(content.encode(), "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    return Manifest(media_type=OCI_MANIFEST, content=json.dumps(document).encode())


def digest_of(content: str) -> str:
    return manifest_of(content).digest


@dataclass
class FakeDocker:
    """Answers the command lines and questions that it knows; any other fails the test.

    Attributes:
        images: Content by reference; a content is `<revision> <files> <anything>`.
        remote: Content by reference, in the registry.
        refuse: What the engine says instead, by the start of the command line.
        down: No engine answers.
        attests: The engine has the containerd image store.
        trouble: What the next questions to the registry end with.
        lost: Names that a push or put does not arrive under.
        blobs: More contents of the registry, and manifests, by digest.
        asked: Questions to the registry.
        ran: What changes something: command lines, pushes, pulls, puts.
        secrets: What went to standard input.
        variables: What the builder got beside our environment.
        on_build: Makes the content of a build from its context.
    """

    images: dict[str, str] = field(default_factory=dict)
    remote: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    down: bool = False
    attests: bool = True
    trouble: list[Exception] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    blobs: dict[str, bytes | Manifest] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    variables: list[dict[str, str]] = field(default_factory=list)
    on_build: Callable[[Path], str] = lambda context: f"{SHA} built"

    def run(self, argv: Sequence[str], *, timeout: float, **how: Any) -> shell.Result:
        if argv[0] != "docker":
            return REAL_RUN(argv, timeout=timeout, **how)
        assert 0 < timeout <= 3600
        refused = [said for start, said in self.refuse.items() if " ".join(argv).startswith(start)]
        if refused:
            return self._end(argv, how, code=1, tail=refused[0])
        match list(argv[1:]):
            case ["image", "inspect", ref]:
                return self._inspect(argv, how, ref)
            case ["version", *_]:
                return self._end(argv, how, code=int(self.down), tail="no daemon" * self.down)
            case ["info", "--format", _]:
                store = "io.containerd.snapshotter.v1" if self.attests else "extfs"
                said = "" if self.down else f'[["driver-type","{store}"]]\n'
                return self._end(argv, how, code=int(self.down), stdout=said)
            case ["image", "tag", content, ref]:
                self.images[ref] = content
            case ["login", "--username", user, "--password-stdin", host]:
                self.ran.append((user, host))
                self.secrets.append(how["stdin"].reveal())
            case ["buildx", "build", *flags, context]:
                self.ran.append(tuple(argv))
                self.variables.append(how["env"])
                how["on_line"]("#1 done")
                how["on_line"]("")
                (ref,) = [flag.removeprefix("--tag=") for flag in flags if "--tag=" in flag]
                self.images[ref] = self.on_build(Path(context))
            case _:
                raise AssertionError(f"nobody planned {argv}")
        return self._end(argv, how)

    def push(self, name: str, *, tag: str, **how: Any) -> Iterator[dict[str, Any]]:
        yield from self._stream("push", f"{name}:{tag}", how)
        if tag not in self.lost:
            self.remote[f"{name}:{tag}"] = self.images[f"{name}:{tag}"]

    def pull(self, name: str, *, tag: str, **how: Any) -> Iterator[dict[str, Any]]:
        ref = f"{name}@{tag}"
        yield from self._stream("pull", ref, how)
        if ref not in self.lost:
            (self.images[ref],) = {c for c in self.remote.values() if digest_of(c) == tag}

    def _stream(self, verb: str, ref: str, how: dict[str, Any]) -> Iterator[dict[str, Any]]:
        assert how["stream"]
        assert how["decode"]
        self.ran.append((verb, ref))
        self.secrets.append(how["auth_config"].get("password", ""))
        yield {"status": "Preparing", "id": "layer"}
        if (said := self.refuse.get(verb)) is not None:
            yield {"error": said, "errorDetail": {"message": said}}

    def send(self, *_args: Any, **_how: Any) -> Any:
        raise AssertionError("nobody planned a request of the engine's own")

    def client(self, **how: Any) -> SimpleNamespace:
        assert 0 < how["timeout"] <= 120
        return SimpleNamespace(api=self, close=lambda: None)

    @contextmanager
    def connect(self, settings: Settings) -> Iterator["FakeRepository"]:
        yield FakeRepository(self, settings.image)

    def _inspect(self, argv: Sequence[str], how: dict[str, Any], ref: str) -> shell.Result:
        content = self._content(ref)
        if content is None or self.down:
            return self._end(argv, how, code=1, stdout="[]\n")
        config = json.loads(config_of(content))
        found = {
            "Id": content,
            "RepoDigests": [f"other/x@{bytes_digest(b'')}", f"{NAME}@{digest_of(content)}"],
            "Os": "linux",
            "Architecture": "amd64",
            "Size": 7,
            "Config": config["config"],
            "RootFS": {"Layers": config["rootfs"]["diff_ids"]},
        }
        return self._end(argv, how, stdout=json.dumps([found]))

    def _content(self, ref: str) -> str | None:
        by_digest = {f"{NAME}@{digest_of(content)}": content for content in self.images.values()}
        return self.images.get(ref, by_digest.get(ref))

    @staticmethod
    def _end(
        argv: Sequence[str], how: dict[str, Any], *, code: int = 0, stdout: str = "", tail: str = ""
    ) -> shell.Result:
        if code and how.get("check", True):
            raise CommandError("docker failed", code=code, details=tail)
        return shell.Result(argv=tuple(argv), code=code, stdout=stdout, tail=tail, seconds=0.0)


@dataclass
class FakeRepository:
    """What the registry answers us."""

    docker: FakeDocker
    image: str

    def digest(self, reference: str) -> str | None:
        found = self.manifest(reference)
        return found and found.digest

    def manifest(self, reference: str) -> Manifest | None:
        self._ask(reference)
        known = {manifest_of(c).digest: manifest_of(c) for c in self.docker.remote.values()}
        known |= {d: blob for d, blob in self.docker.blobs.items() if isinstance(blob, Manifest)}
        content = self.docker.remote.get(f"{self.image}:{reference}")
        if content is not None:
            return known.get(content, manifest_of(content))
        return known.get(reference)

    def blob(self, digest: str) -> bytes:
        self._ask(digest)
        known = {bytes_digest(config_of(c)): config_of(c) for c in self.docker.remote.values()}
        found = {**known, **self.docker.blobs}[digest]
        assert isinstance(found, bytes)
        return found

    def put(self, tag: str, manifest: Manifest) -> None:
        self.docker.ran.append(("put", f"{self.image}:{tag}"))
        if tag in self.docker.lost:
            raise RegistryError(f"{self.image}:{tag} names nothing")
        by_digest = {digest_of(c): c for c in self.docker.remote.values()}
        self.docker.blobs.setdefault(manifest.digest, manifest)
        self.docker.remote[f"{self.image}:{tag}"] = by_digest.get(manifest.digest, manifest.digest)

    def prove_pull(self) -> None:
        self._ask("a pull")

    def prove_push(self) -> None:
        self._ask("a push")

    def _ask(self, what: str) -> None:
        self.docker.asked.append(what)
        if self.docker.trouble:
            raise self.docker.trouble.pop(0)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Put the fake in the engine's place, and in the registry's."""
    fake = FakeDocker()
    monkeypatch.setattr(shell, "run", fake.run)
    monkeypatch.setattr(docker, "from_env", fake.client)
    monkeypatch.setattr(registry, "connect", fake.connect)
    monkeypatch.setattr(about, "connect", fake.connect)
    own = credentials.of

    def of(settings: Settings) -> credentials.Login | None:
        return own(settings) if settings.registry_user else None  # nobody's real configuration

    monkeypatch.setattr(credentials, "of", of)
    return fake
