"""What is measured: each case can make one of two commits live at one address."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.bench.users import BUSY, Crowd
from tests.e2e.support import load, machine
from tests.e2e.support.command import CommandLine, clean_environment
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import Site

START = 60.0  # seconds that a first release may take until it answers
TIMEOUT = 180.0  # seconds for one command
OTHER = {"a": "b", "b": "a"}


class Case(Protocol):
    """One way to get from one release to another.

    Attributes:
        name: Unique in a run.
        crowd: Who uses the service meanwhile.
        throughput: Whether the way through its proxy is measured as well.
    """

    name: str
    crowd: Crowd
    throughput: bool

    @property
    def address(self) -> str:
        """`host:port` that users ask."""

    def prepare(self) -> str:
        """Get to where a round can start; return the name of the commit that is live."""

    def change(self, name: str) -> dict[str, Any]:
        """Make a commit live, which is measured; return what the tool says about it."""

    def remove(self) -> None:
        """Remove what `prepare` and `change` made."""


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """This pipeline's `invoke deploy`."""

    site: Site
    strategy: str
    replicas: int = 1
    crowd: Crowd = BUSY

    @property
    def name(self) -> str:
        return f"{self.strategy}-{self.replicas}{_idle(self.crowd)}"

    @property
    def address(self) -> str:
        return self.site.address

    @property
    def throughput(self) -> bool:
        return self.crowd is BUSY

    def prepare(self) -> str:
        live = OTHER.get(self.site.served(), "a")
        self.change(live)
        return live

    def change(self, name: str) -> dict[str, Any]:
        flags = ("--strategy", self.strategy, "--replicas", str(self.replicas))
        return dict(self.site.deploy(name, *flags).ok().json)

    def remove(self) -> None:
        """The site is everybody's; whoever made it removes it."""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """This pipeline's `invoke rollback` to the colour that is still warm."""

    site: Site
    replicas: int = 1
    crowd: Crowd = BUSY
    throughput: bool = False  # the proxy is the same one

    @property
    def name(self) -> str:
        return f"rollback-{self.replicas}{_idle(self.crowd)}"

    @property
    def address(self) -> str:
        return self.site.address

    def prepare(self) -> str:
        before = Deploy(site=self.site, strategy="blue-green", replicas=self.replicas)
        before.prepare()
        return before.prepare()

    def change(self, name: str) -> dict[str, Any]:
        sha = self.site.commits[name]
        said = dict(self.site.invoke("rollback", "--to", sha, "--json").ok().json)
        assert "start" not in said["phases"], "there was no warm standby: a container was started"
        return said

    def remove(self) -> None:
        """The site is everybody's; whoever made it removes it."""


@dataclass(frozen=True, kw_only=True)
class Compose:
    """`docker compose up` by hand, of this repository's own Compose file."""

    site: Site
    project: str
    port: int = field(default_factory=machine.free_port)
    name: str = "compose"
    crowd: Crowd = BUSY
    throughput: bool = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> str:
        self._compose("a", "up", "--detach", "--wait", "proxy", "db")
        self._compose("a", "run", "--rm", "migrate")
        self.change("a")
        return "a"

    def change(self, name: str) -> dict[str, Any]:
        self._compose(name, "up", "-d", "--force-recreate", "--wait", "blue")
        return {}

    def remove(self) -> None:
        machine.remove_project(self.project)

    def _compose(self, name: str, *argv: str) -> None:
        env = clean_environment() | {
            "PIPELINE_IMAGE": f"{self.site.repository}:{self.site.commits[name]}",
            "PIPELINE_ENV_FILE": str(self.site.folder / "env"),
            "PIPELINE_PORT": str(self.port),
            "POSTGRES_PASSWORD": password(self.site),
        }
        # Where the proxy's socket is belongs to whoever runs it, as in the pipeline's own projects.
        sockets = self.site.folder / self.project
        sockets.mkdir(exist_ok=True)
        env |= {
            "PIPELINE_PROXY_RUN": str(sockets),
            "PIPELINE_PROXY_USER": f"{os.getuid()}:{os.getgid()}",
        }
        file = self.site.invoke.root / "docker-compose.yml"
        command = ("compose", "--file", str(file), "--project-name", self.project)
        machine.docker(*command, *argv, timeout=TIMEOUT, env=env)


def password(site: Site) -> str:
    """Return the database's password in the site's env file."""
    lines = (site.folder / "env").read_text(encoding="utf-8").splitlines()
    (value,) = [line.split("=", 1)[1] for line in lines if line.startswith("POSTGRES_PASSWORD=")]
    return value


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Anybody else's command.

    It is run with BENCH_ACTION=deploy each time the image of BENCH_SHA, BENCH_IMAGE, has to
    answer at BENCH_ADDRESS (the first time, nothing runs there yet), and with
    BENCH_ACTION=remove in the end.
    """

    site: Site
    registry: Registry
    name: str
    command: tuple[str, ...]
    port: int = field(default_factory=machine.free_port)
    crowd: Crowd = BUSY
    throughput: bool = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> str:
        self.change("a")
        machine.eventually(
            lambda: load.served(self.address) == self.site.commits["a"],
            within=START,
            what=f"{self.name}: the first release at BENCH_ADDRESS",
        )
        return "a"

    def change(self, name: str) -> dict[str, Any]:
        self._run("deploy", name)
        return {}

    def remove(self) -> None:
        self._run("remove", "a")

    def environ(self, action: str, name: str) -> Mapping[str, str]:
        """Return what the command is told."""
        sha = self.site.commits[name]
        return {
            "BENCH_ACTION": action,
            "BENCH_ADDRESS": self.address,
            "BENCH_HOST": "127.0.0.1",
            "BENCH_PORT": str(self.port),
            "BENCH_SHA": sha,
            "BENCH_IMAGE": f"{self.site.repository}:{sha}",
            "BENCH_REGISTRY": self.registry.host,
            "BENCH_REGISTRY_USER": self.registry.user,
            "BENCH_REGISTRY_PASSWORD": self.registry.password,
        }

    def _run(self, action: str, name: str) -> None:
        ran = subprocess.run(
            self.command,
            env={**os.environ, **self.environ(action, name)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        said = (ran.stdout + ran.stderr)[-2000:]
        assert ran.returncode == 0, f"{self.name}: {action} ended with {ran.returncode}:\n{said}"


def start_alone(image: str, name: str) -> float:
    """Return the seconds from `docker run` to the service's first 200, the floor of all this."""
    port = machine.free_port()
    started = time.monotonic()
    machine.docker("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000", image)
    try:
        address = f"127.0.0.1:{port}"
        machine.eventually(lambda: load.served(address), within=START, what="the floor")
        return time.monotonic() - started
    finally:
        machine.docker("rm", "--force", "--volumes", name)


def _idle(crowd: Crowd) -> str:
    return "" if crowd is BUSY else "-idle"


def ship(invoke: CommandLine, shas: Mapping[str, str]) -> None:
    """Build and push the images of commits `a` and `b`."""
    invoke("login").ok()
    for name in OTHER:
        invoke("build", "--sha", shas[name], timeout=600).ok()
        invoke("push", "--sha", shas[name], timeout=600).ok()
