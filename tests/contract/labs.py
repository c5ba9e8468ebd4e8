"""Two labs with the same handles: one in memory, one on the real Docker Engine and HAProxy."""

import http.client
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.engine.compose import ComposeEngine
from pipeline.ports import Answer, Bundle, Colour, Engine, Traffic
from pipeline.traffic.folders import install, owner
from pipeline.traffic.haproxy import HAProxy
from pipeline.traffic.probe import HealthProbe
from tests import fakes
from tests.e2e.support import machine

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(__file__).parent / "tiny"
MODES = ("good", "better", "exits", "unready", "bad-migration")
TIMEOUT = 60.0  # seconds for one thing that Compose does


def sha_of(mode: str) -> str:
    """Return the commit that the image of a mode names."""
    return mode.encode().hex().ljust(40, "0")[:40]


@dataclass
class FakeLab:
    """The fakes of tests/fakes.py over one world."""

    folder: Path
    world: fakes.World = field(default_factory=fakes.World)

    def __post_init__(self) -> None:
        self.engine: Engine = fakes.FakeEngine(self.world)
        self.traffic: Traffic = fakes.FakeTraffic(self.world)

    def bundle(self, mode: str) -> Bundle:
        (self.folder / "env").write_text('POSTGRES_PASSWORD="of-no-use-elsewhere"\n')
        self.world.images[mode] = fakes.Image(
            sha=sha_of(mode),
            exits=3 if mode == "exits" else None,
            healthy=mode != "unready",
            log=f"started {sha_of(mode)}",
        )
        self.world.fail_at = "migrate" if mode == "bad-migration" else ""
        return fakes.bundle(mode, self.folder)

    def unknown(self) -> Bundle:
        return fakes.bundle("nobody-built-this", self.folder)

    def public(self) -> Answer:
        return fakes.FakeProbe(self.world)(fakes.PUBLIC)

    def in_the_pool(self) -> set[str]:
        return {self.world.image(each).sha for each in self.world.serving()}

    def restart_proxy(self) -> None:
        pass  # what it must keep is all it has

    def away(self) -> Traffic:
        return fakes.FakeTraffic(fakes.World())

    @contextmanager
    def request_in_flight(self, colour: Colour) -> Iterator[None]:
        self.world.sessions[colour] = 2
        yield


@dataclass
class RealLab:
    """One Compose project of the repo's own file, with a tiny image in place of the app."""

    folder: Path
    project: str
    port: int = field(default_factory=machine.free_port)

    def __post_init__(self) -> None:
        self.engine: Engine = ComposeEngine(self.project)
        self.traffic: Traffic = HAProxy(config=self.folder / "proxy", run=self.folder / "run")
        shutil.copy(ROOT / "docker-compose.yml", self.folder)
        env = self.folder / "env"
        env.write_text("POSTGRES_PASSWORD=of-no-use-elsewhere\n", encoding="utf-8")
        install(config=self.folder / "proxy", run=self.folder / "run")

    @property
    def repository(self) -> str:
        return f"{self.project}/tiny"

    def build(self) -> None:
        for mode in MODES:
            subprocess.run(
                [
                    *("docker", "buildx", "build", "--quiet", "--load"),
                    *("--build-arg", f"REVISION={sha_of(mode)}", "--build-arg", f"MODE={mode}"),
                    *("--tag", f"{self.repository}:{mode}", str(TINY)),
                ],
                check=True,
                capture_output=True,
                timeout=120,
                # Attested images get a manifest list, which an engine cannot run by tag alone.
                env=os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
            )

    def bundle(self, mode: str) -> Bundle:
        return self._bundle(f"{self.repository}:{mode}")

    def unknown(self) -> Bundle:
        return self._bundle(f"{self.repository}:nobody-built-this")

    def _bundle(self, image: str) -> Bundle:
        return Bundle(
            compose_file=self.folder / "docker-compose.yml",
            variables={
                "PIPELINE_IMAGE": image,
                "PIPELINE_RELEASE": "of-the-lab",
                "PIPELINE_ENV_FILE": str(self.folder / "env"),
                "PIPELINE_PORT": str(self.port),
                "PIPELINE_PROXY_DIR": str(self.folder / "proxy"),
                "PIPELINE_PROXY_RUN": str(self.folder / "run"),
                "PIPELINE_PROXY_USER": ":".join(map(str, owner())),
            },
        )

    def public(self) -> Answer:
        return HealthProbe(path="/health", host="localhost")(f"127.0.0.1:{self.port}")

    def restart_proxy(self) -> None:
        (proxy,) = machine.containers(self.project, "proxy")
        machine.docker("restart", "--time", "1", proxy)

    def away(self) -> Traffic:
        nowhere = self.folder / "nowhere"
        return HAProxy(config=nowhere, run=nowhere)

    @contextmanager
    def request_in_flight(self, colour: Colour) -> Iterator[None]:
        request = threading.Thread(target=self._slow)
        request.start()
        yield
        request.join(TIMEOUT)

    def _slow(self) -> None:
        connection = http.client.HTTPConnection(f"127.0.0.1:{self.port}", timeout=10)
        connection.request("GET", "/slow")
        connection.getresponse().read()
        connection.close()

    def in_the_pool(self) -> set[str]:
        """Return the commits that answer at the public port."""
        return {self.public().sha for _ in range(20)}

    def empty(self) -> None:
        """Leave the project as it was before its first release."""
        self.traffic.switch(None)
        for colour in ("blue", "green"):
            self.engine.stop(colour, timeout=2)
            for gone in self.traffic.servers(colour):  # the proxy would notice at its next check
                self.traffic.recheck(colour, gone.address)


Lab = FakeLab | RealLab
