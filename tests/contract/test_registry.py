"""What only a real registry that wants a login can show; test_image.py has the rest."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from pipeline.errors import RegistryError
from pipeline.image import distribution
from pipeline.image import registry as images
from pipeline.image.ref import Built
from pipeline.settings import Secret, Settings
from tests.contract.images import commit_of, make

pytestmark = pytest.mark.usefixtures("docker_config")


@pytest.fixture
def anonymous(settings: Settings) -> Settings:
    """Settings without a login; Docker's own configuration counts."""
    return replace(settings, registry_user="", registry_password=Secret(""))


@pytest.fixture
def logged_in(settings: Settings, anonymous: Settings) -> Settings:
    images.login(settings, lambda line: None)
    return anonymous


@pytest.fixture
def published(
    engine: docker.DockerClient, logged_in: Settings, sha: str, forget: Callable[[str], None]
) -> Built:
    """An image that the registry has and this host has not."""
    make(engine, logged_in.image, sha)
    pushed = images.push(logged_in, commit_of(sha), lambda line: None)
    forget(logged_in.image)
    return pushed


@pytest.fixture
def nowhere(settings: Settings) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return replace(settings, registry=f"127.0.0.1:{probe.getsockname()[1]}")


class TestLogin:
    def test_a_right_password_is_kept_and_never_shown(
        self, settings: Settings, docker_config: Path, lines: list[str]
    ) -> None:
        images.login(settings, lines.append)

        assert lines == [f"Logged in to {settings.registry} as ci."]
        assert settings.registry in json.loads((docker_config / "config.json").read_text())["auths"]

    def test_a_wrong_password_is_refused(self, settings: Settings, docker_config: Path) -> None:
        wrong = replace(settings, registry_password=Secret("wr0ng-password"))

        with pytest.raises(RegistryError) as refused:
            images.login(wrong, lambda line: None)

        assert refused.value.exit_code == 1
        assert f"{settings.registry} refused a login as ci" in refused.value.message
        assert "PIPELINE_REGISTRY_PASSWORD" in refused.value.hint
        assert "wr0ng-password" not in str(refused.value.as_dict())
        assert not (docker_config / "config.json").exists()

    def test_nobody_there(self, nowhere: Settings) -> None:
        with pytest.raises(RegistryError, match="connection refused") as refused:
            images.login(nowhere, lambda line: None)

        assert nowhere.registry in refused.value.message
        assert nowhere.registry_password.reveal() not in str(refused.value.as_dict())


class TestPush:
    def test_without_a_login_the_next_step_is_named(
        self, engine: docker.DockerClient, anonymous: Settings, sha: str
    ) -> None:
        make(engine, anonymous.image, sha)

        with pytest.raises(RegistryError, match="refused") as refused:
            images.push(anonymous, commit_of(sha), lambda line: None)

        assert "invoke login" in refused.value.hint

    def test_nobody_there(
        self,
        forget: Callable[[str], None],
        engine: docker.DockerClient,
        nowhere: Settings,
        sha: str,
    ) -> None:
        make(engine, nowhere.image, sha)
        try:
            with pytest.raises(RegistryError, match="connection refused"):
                images.push(nowhere, commit_of(sha), lambda line: None)
        finally:
            forget(nowhere.image)


class TestEnsureLocal:
    def test_pulls_by_digest_what_this_host_lacks(
        self,
        engine: docker.DockerClient,
        logged_in: Settings,
        published: Built,
        lines: list[str],
    ) -> None:
        image = images.ensure_local(logged_in, published.sha, lines.append)

        assert image.reference == f"{logged_in.image}@{published.digest}"
        assert (image.revision, image.migrations) == (published.sha, "m1")
        assert lines == [f"Pulling {image.reference}"]
        assert engine.images.get(f"{logged_in.image}:{published.sha}").id == image.id

    def test_an_unknown_digest(self, logged_in: Settings, sha: str) -> None:
        with pytest.raises(RegistryError):
            images.ensure_local(
                logged_in,
                sha,
                lambda line: None,
                reference=f"{logged_in.image}@sha256:{'0' * 64}",
            )

    def test_without_a_login(self, anonymous: Settings, sha: str) -> None:
        with pytest.raises(RegistryError, match="refused") as refused:
            images.ensure_local(anonymous, sha, lambda line: None)

        assert "invoke login" in refused.value.hint

    def test_nobody_there_is_known_at_once(self, nowhere: Settings, sha: str) -> None:
        started = time.monotonic()

        with pytest.raises(RegistryError, match="connection refused") as refused:
            images.ensure_local(nowhere, sha, lambda line: None)

        assert nowhere.registry in refused.value.message
        assert time.monotonic() - started < 10


class Busy(http.server.BaseHTTPRequestHandler):
    """A registry that answers the manifest with 503, and keeps count."""

    asked = 0

    def do_GET(self) -> None:
        root = self.path == "/v2/"
        type(self).asked += self.command == "HEAD"
        self.send_response(200 if root else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name the server looks for

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setattr(Busy, "asked", 0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield replace(settings, registry=f"127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_busy_registry_is_asked_again_and_then_named(
    busy: Settings, sha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "PAUSES", (0.0, 0.0))

    with pytest.raises(RegistryError, match="busy or out of order"):
        images.ensure_local(busy, sha, lambda line: None)

    assert Busy.asked == 3
