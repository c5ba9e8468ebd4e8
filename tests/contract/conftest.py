"""What the contract tests share: the real engine, a real registry with a login.

Nothing is skipped: where no engine answers, every test here is an error.
"""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
from docker.errors import DockerException

from pipeline.image import distribution, http
from pipeline.settings import Secret, Settings
from tests.contract import hostile
from tests.contract.labs import TIMEOUT, FakeLab, Lab, RealLab
from tests.contract.scene import STALL, WHOLE, Scene, noted
from tests.e2e.support import machine
from tests.e2e.support import registry as registries
from tests.e2e.support.registry import Registry


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
def registry(engine: docker.DockerClient) -> Iterator[Registry]:
    with registries.running() as running:
        yield running


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
        registry_user=registry.user,
        registry_password=Secret(registry.password),
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
def sha() -> str:
    return (uuid.uuid4().hex + uuid.uuid4().hex)[:40]


@pytest.fixture
def scene(
    settings: Settings,
    engine: docker.DockerClient,
    sha: str,
    forget: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """A registry that misbehaves when it is told to, between the engine and the real one."""
    with hostile.standing_before(settings.registry) as front:
        ours = replace(settings, registry=front.host, stall_timeout=STALL, push_timeout=WHOLE)
        made = Scene(
            engine=engine, front=front, settings=ours, direct=settings, sha=sha, forget=forget
        )
        monkeypatch.setattr(distribution, "time", SimpleNamespace(sleep=made.pauses.append))
        monkeypatch.setattr(http, "ask", partial(http.ask, deadline=STALL))
        for name in ("push", "pull"):
            move = noted(getattr(docker.APIClient, name), made.moves)
            monkeypatch.setattr(docker.APIClient, name, move)
        yield made
        forget(ours.image)


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
