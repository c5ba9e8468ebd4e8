"""Secrets of the env file, the build and the registry are found nowhere else."""

import base64
import gzip
import io
import signal
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support.command import Ran, finish
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import Site
from tests.e2e.support.watch import Argv, command_lines

GZIP = b"\x1f\x8b"
STORE = "/var/lib/registry"  # in the registry's container


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What nobody may find, by what it is.

    Attributes:
        mark: Part of all that is made for one test.
        known: The secrets themselves, as they are written and as HTTP sends them.
        temporary: Where all temporary files of the commands go.
    """

    mark: str
    known: dict[str, bytes]
    temporary: Path

    def found_in(self, content: bytes) -> set[str]:
        return {name for name, secret in self.known.items() if secret in content}

    def found_below(self, folder: Path) -> dict[str, set[str]]:
        """Return what the files of a folder have, by their paths; links are not followed."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        found = {str(path.relative_to(folder)): self.found_in(path.read_bytes()) for path in files}
        return {path: names for path, names in found.items() if names}

    def lent(self) -> Path | None:
        """Return the Docker configuration that has the login, while there is one."""
        configs = self.temporary.glob("*/config.json")
        return next((path for path in configs if self.found_in(path.read_bytes())), None)


@pytest.fixture
def secrets(registry: Registry, tmp_path: Path) -> Secrets:
    mark = f"sentinel{uuid.uuid4().hex}"
    pair = f"{registry.user}:{registry.password}".encode()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return Secrets(
        mark=mark,
        known={
            "database password": f"{mark}a".encode(),
            "mail token": f"{mark}b".encode(),
            "pip's index": f"{mark}c".encode(),
            "registry password": registry.password.encode(),
            "registry login": base64.b64encode(pair),
        },
        temporary=temporary,
    )


@pytest.fixture
def guarded(spare_site: Site, secrets: Secrets, tmp_path: Path) -> Site:
    """A site with secrets of its own in all three places."""
    (spare_site.folder / "env").write_text(
        f"POSTGRES_PASSWORD={secrets.mark}a\n"
        f"DATABASE_URL=postgresql://panager:{secrets.mark}a@db:5432/panager\n"
        f"MAIL_TOKEN={secrets.mark}b\n"
    )
    # Nobody listens there: pip asks, with the password, and goes on without that index.
    pip = tmp_path / "pip.conf"
    pip.write_text(
        f"[global]\nretries = 1\nextra-index-url = https://ci:{secrets.mark}c@127.0.0.1:1/simple\n"
    )
    pip.chmod(0o600)
    environ = {"PIPELINE_PIP_CONFIG": str(pip), "TMPDIR": str(secrets.temporary)}
    return replace(spare_site, invoke=spare_site.invoke.having(**environ))


def test_secrets_are_found_in_nothing_that_is_made_or_said(
    guarded: Site, registry: Registry, secrets: Secrets
):
    sha = guarded.commits["b"]
    with Argv(secrets.mark) as processes:
        said = delivered(guarded, sha)

    for ran in said:
        assert secrets.found_in(ran.text.encode()) == set(), " ".join(ran.argv)
    assert any("buildx build" in line for line in processes.looked_at), "it looked"
    assert secrets.found_in("\n".join(processes.looked_at).encode()) == set()
    for container in machine.containers(guarded.app):
        assert secrets.found_in(logs(container)) == set()

    image = f"{guarded.repository}:{sha}"
    for about in (("image", "inspect"), ("history", "--no-trunc")):
        assert secrets.found_in(machine.docker(*about, image).encode()) == set()
    kept = list(contents(image, registry))
    for attestation in (b"https://slsa.dev/provenance/", b"https://spdx.dev/Document"):
        assert any(attestation in content for content in kept), "it looked"
    assert any(b'"id":"pip"' in content.replace(b" ", b"") for content in kept), "pip got it"
    assert set().union(*map(secrets.found_in, kept)) == set()

    snapshots = secrets.found_below(guarded.state)
    assert {Path(path).name for path in snapshots} == {"env"}
    assert {(guarded.state / path).stat().st_mode & 0o777 for path in snapshots} == {0o600}
    assert secrets.found_below(secrets.temporary) == {}
    assert secrets.found_below(guarded.folder / "docker") == {}


def test_a_login_that_is_lent_to_a_builder_goes_with_it(guarded: Site, secrets: Secrets):
    child = guarded.invoke.start("build", "--sha", guarded.commits["a"], "--no-cache")
    try:
        config = machine.eventually(secrets.lent, within=30, what="a login for the builder")
        modes = config.stat().st_mode & 0o777, config.parent.stat().st_mode & 0o777
        machine.eventually(lambda: builders(guarded), within=30, what="the builder")
        child.send_signal(signal.SIGTERM)
    finally:
        ran = finish(child, timeout=30)

    assert modes == (0o600, 0o700)
    ran.refused(1)
    assert builders(guarded) == []
    assert secrets.found_in(ran.text.encode()) == set()
    assert secrets.found_below(secrets.temporary) == {}


def delivered(site: Site, sha: str) -> list[Ran]:
    """Return what every command says that has to do with a delivery, for people and as JSON."""
    named = ("--sha", sha)
    return [
        site.invoke("build", *named, "--no-cache", timeout=300).ok(),
        site.invoke("push", *named).ok(),
        site.invoke("build", *named, "--push", "--json").ok(),
        site.invoke("push", *named, "--json").ok(),
        site.invoke("deploy", *named).ok(),
        site.invoke("deploy", *named, "--json").ok(),
        site.invoke("doctor"),
        site.invoke("doctor", "--json"),
        *(
            site.invoke(*command, *form).ok()
            for command in (("status",), ("history",), ("inspect", *named))
            for form in ((), ("--json",))
        ),
    ]


def builders(site: Site) -> list[str]:
    return [line for line in command_lines() if f"--tag={site.repository}" in line]


def logs(container: str) -> bytes:
    ran = subprocess.run(["docker", "logs", container], capture_output=True, check=True, timeout=30)
    return ran.stdout + ran.stderr


def contents(image: str, registry: Registry) -> Iterator[bytes]:
    """Yield every layer, manifest, configuration and attestation, unpacked: here and there."""
    seen: set[str] = set()
    for command in (
        ["docker", "image", "save", image],
        ["docker", "cp", f"{registry.container}:{STORE}", "-"],
    ):
        saved = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
            for member in archive:
                digest = digest_in(member.name)
                if member.isfile() and digest not in seen:
                    seen.add(digest)
                    content = archive.extractfile(member).read()
                    yield gzip.decompress(content) if content.startswith(GZIP) else content


def digest_in(path: str) -> str:
    """Return the name of a content: where a path has none, the path."""
    return next((part for part in Path(path).parts if len(part) == 64), path)
