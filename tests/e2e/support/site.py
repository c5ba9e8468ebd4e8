"""One app on this host: its command line, its address, and what can be seen of it."""

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import load, machine
from tests.e2e.support.checkout import Checkout
from tests.e2e.support.command import CommandLine, Ran, clean_environment
from tests.e2e.support.registry import Registry

# Looked for in everything that is shown or kept; both would be read as something else
# by whoever expanded them.
SENTINEL = "sentinel-1f8e2b7c"
MAIL_TOKEN = f"$HOME-{SENTINEL}-`id`"
ENV = (
    f"POSTGRES_PASSWORD={SENTINEL}\n"
    f"DATABASE_URL=postgresql://panager:{SENTINEL}@db:5432/panager\n"
    f"MAIL_TOKEN='{MAIL_TOKEN}'\n"
)
# For commands that are to leave the old colour warm, longer than any test takes; else none does.
KEPT = {"PIPELINE_STANDBY": "60"}
WARM_UP = 40  # requests before and after what a load is there to watch


@dataclass(frozen=True, kw_only=True)
class Site:
    """One app on this host.

    Attributes:
        commits: Full hashes by name (see checkout.CHANGES); `a` and `b` are good.
        folder: State folder, env file and Docker configuration are below it.
    """

    invoke: CommandLine
    app: str
    port: int
    repository: str
    commits: Mapping[str, str]
    folder: Path

    @classmethod
    def make(cls, checkout: Checkout, registry: Registry, *, app: str, folder: Path) -> "Site":
        """Lay out the folders of a new app; nothing runs yet."""
        config = docker_config(folder / "docker")
        env = folder / "env"
        env.write_text(ENV, encoding="utf-8")
        env.chmod(0o600)
        port = machine.free_port()
        repository = f"{app}/panager"
        environ = {
            "DOCKER_CONFIG": str(config),
            "PIPELINE_APP": app,
            "PIPELINE_PORT": str(port),
            "PIPELINE_REGISTRY": registry.host,
            "PIPELINE_REPOSITORY": repository,
            "PIPELINE_REGISTRY_USER": registry.user,
            "PIPELINE_REGISTRY_PASSWORD": registry.password,
            "PIPELINE_STATE_DIR": str(folder / "state"),
            "PIPELINE_ENV_FILE": str(env),
            "PIPELINE_START_TIMEOUT": "30",
            "PIPELINE_STABILITY_WINDOW": "0.3",
            "PIPELINE_STANDBY": "0",
            # A test's deployments take nothing away that another one has built ahead.
            "PIPELINE_KEEP_RELEASES": "100",
            "PIPELINE_BUILD_CACHE_GB": "10000",
        }
        return cls(
            invoke=CommandLine(root=checkout.root, environ=clean_environment() | environ),
            app=app,
            port=port,
            repository=f"{registry.host}/{repository}",
            commits=checkout.commits,
            folder=folder,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def deploy(self, name: str, *argv: str, **environ: str) -> Ran:
        """Run `invoke deploy --json` for one of the commits."""
        return self.invoke("deploy", "--sha", self.commits[name], "--json", *argv, **environ)

    def served(self) -> str:
        """Return the name of the commit that answers at the public port."""
        names = {sha: name for name, sha in self.commits.items()}
        sha = load.served(self.address)
        return names.get(sha, sha)

    def container(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's only container."""
        (container,) = machine.containers(self.app, service)
        return machine.inspect(container)

    def colours(self) -> dict[str, list[str]]:
        """Return the container ids of each colour that has any."""
        found = {colour: machine.containers(self.app, colour) for colour in ("blue", "green")}
        return {colour: ids for colour, ids in found.items() if ids}

    def replicas(self) -> set[str]:
        """Return the container ids of both colours."""
        return {container for ids in self.colours().values() for container in ids}

    def status(self) -> dict[str, Any]:
        """Return what `invoke status --json` says."""
        return dict(self.invoke("status", "--json").ok().json)

    def history(self) -> list[dict[str, Any]]:
        """Return what `invoke history --json` lists."""
        return list(self.invoke("history", "--json").ok().json)

    def tell_proxy(self, command: str) -> str:
        """Return what the proxy answers on its runtime socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(self.state / "run/admin.sock"))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    @contextmanager
    def deploying(
        self, name: str = "unready", *argv: str, **environ: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Have a deployment under way whose containers have just appeared.

        By default it goes on to wait for a release that never gets ready.
        """
        environ = {"PIPELINE_START_TIMEOUT": "60", **environ}
        before = self.replicas()
        process = self.invoke.start("deploy", "--sha", self.commits[name], *argv, **environ)
        try:
            machine.eventually(
                lambda: self.replicas() - before or process.poll() is not None,
                within=30,
                what="the new release's container",
            )
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)

    @contextmanager
    def under_load(self, *, outage: bool = False) -> Iterator[load.Load]:
        """Send 100 requests a second meanwhile; fail where one is lost, or a task is missing.

        Args:
            outage: There has to be one, and whoever is turned away has to be told so.
        """
        with load.Load(self.address) as running:
            machine.eventually(lambda: running.sent > WARM_UP, within=10, what="load")
            yield running
            enough = running.sent + WARM_UP
            machine.eventually(lambda: running.sent > enough, within=10, what="load afterwards")
        assert bool(running.announced) == outage, f"{running.announced} were turned away"
        assert running.lost == []
        assert running.acknowledged
        assert running.missing() == {}

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Fail where anything changes for users, or a container is exchanged."""
        before = (self.served(), self.colours(), machine.containers(self.app, "proxy"))
        assert before[0] in self.commits
        yield
        assert (self.served(), self.colours(), machine.containers(self.app, "proxy")) == before

    def remove(self) -> None:
        """Remove everything that the engine has of this app."""
        machine.remove_project(self.app)
        machine.remove_images(self.repository)


def what(release: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `status` says of a release, but for since when."""
    return {name: value for name, value in release.items() if name != "since"}


def docker_config(folder: Path) -> Path:
    """Make a Docker configuration of one's own: no login is seen or changed, plugins stay."""
    folder.mkdir(mode=0o700, parents=True)
    plugins = Path.home() / ".docker/cli-plugins"
    if plugins.is_dir():
        (folder / "cli-plugins").symlink_to(plugins)
    (folder / "config.json").write_text(json.dumps({}), encoding="utf-8")
    return folder
