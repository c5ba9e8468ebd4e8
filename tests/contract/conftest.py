"""What the contract tests share: the real engine, a real registry with a login.

Nothing is skipped: where no engine answers, every test here is an error.
"""

import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from pipeline.settings import Secret, Settings
from tests.contract.labs import TIMEOUT, FakeLab, Lab, RealLab
from tests.e2e.support import machine

REGISTRY_IMAGE = "registry:2"
USER, PASSWORD = "ci", "s3cret-of-the-test"
# bcrypt of PASSWORD; made once, because nothing in the lock can make one
HTPASSWD = f"{USER}:$2b$05$panagerpanagerpanager.4bvvG3o3ppdmb1L4Y7tpct2zp5vzmJ2\n"


@dataclass(frozen=True)
class Registry:
    """A running registry.

    Attributes:
        host: `127.0.0.1:<port>`.
    """

    host: str


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=60)
    except DockerException as exc:
        message = f"No Docker Engine answers ({exc}); `./bin/invoke host --yes` makes sure of one."
        raise RuntimeError(message) from exc
    yield client
    client.close()


@pytest.fixture(scope="session")
def registry(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    htpasswd = tmp_path_factory.mktemp("registry") / "htpasswd"
    htpasswd.write_text(HTPASSWD)
    container = engine.containers.run(
        REGISTRY_IMAGE,
        detach=True,
        labels={"pipeline.test": "registry"},
        ports={"5000/tcp": ("127.0.0.1", None)},
        volumes={str(htpasswd): {"bind": "/auth/htpasswd", "mode": "ro"}},
        environment={
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "test",
            "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
        },
    )
    try:
        container.reload()
        host = f"127.0.0.1:{container.ports['5000/tcp'][0]['HostPort']}"
        _until_it_asks_for_a_login(host)
        yield Registry(host=host)
    finally:
        container.remove(force=True, v=True)


def _until_it_asks_for_a_login(host: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=2)
        except urllib.error.HTTPError as exc:
            assert exc.code == 401  # noqa: PT017 - the answer we wait for is an error
            return
        except OSError:
            assert time.monotonic() < deadline, f"no registry on {host}"
            time.sleep(0.05)


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own, empty Docker configuration: no test sees or changes the user's logins."""
    folder = tmp_path / "docker"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def settings(
    registry: Registry, docker_config: Path, forget: Callable[[str], None]
) -> Iterator[Settings]:
    """Settings with a repository of this test's own; its images are removed at the end."""
    settings = Settings(
        registry=registry.host,
        repository=f"contract/{uuid.uuid4().hex}",
        registry_user=USER,
        registry_password=Secret(PASSWORD),
        push_timeout=60,
    )
    yield settings
    forget(settings.image)


@pytest.fixture
def forget(engine: docker.DockerClient) -> Callable[[str], None]:
    """Remove what the engine has under a name."""

    def remove(name: str) -> None:
        for image in engine.images.list(name=name):
            engine.images.remove(image.id, force=True)

    return remove


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A git repository; call it with files to commit them, and it returns the hash."""
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setattr(Settings, "root", root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *identity, *args], cwd=root, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")

    def commit(**files: str) -> str:
        for name, content in files.items():
            (root / name).write_text(content)
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "change")
        return git("rev-parse", "HEAD")

    return commit


@pytest.fixture(scope="session")
def real_lab(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealLab]:
    """A Compose project of the tests' own on the real engine; removed with its data at the end."""
    lab = RealLab(
        folder=tmp_path_factory.mktemp("lab"), project=f"panager-contract-{uuid.uuid4().hex[:8]}"
    )
    try:
        lab.build()
        lab.engine.ensure_services(lab.bundle("good"), timeout=TIMEOUT)
        yield lab
    finally:
        machine.remove_project(lab.project)
        machine.remove_images(lab.repository)


@pytest.fixture(params=["fake", "real"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """The same handles twice: over the fakes, over the real engine and proxy."""
    if request.param == "fake":
        fake = FakeLab(folder=tmp_path)
        fake.engine.ensure_services(fake.bundle("good"), timeout=TIMEOUT)
        yield fake
        return
    real: RealLab = request.getfixturevalue("real_lab")
    yield real
    real.empty()
