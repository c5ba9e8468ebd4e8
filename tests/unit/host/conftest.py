"""A machine in memory: its commands, its files, its engine."""

import http.server
import json
import os
import shlex
import sys
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import docker as sdk
import pytest
from docker.errors import ImageNotFound, NotFound

from pipeline import shell
from pipeline.errors import CommandError
from pipeline.host import apt, bases, daemon, daemon_json, docker
from pipeline.host import machine as looks
from pipeline.host.machine import Machine
from pipeline.host.needs import Configure
from tests.unit.host.people import People

DEBIAN_12 = 'ID=debian\nVERSION_CODENAME=bookworm\nVERSION="12 (bookworm)"\n'
ENTRY = "Types: deb\nURIs: http://mirror.example/debian\nSigned-By: /usr/share/keyrings/own.gpg\n"

OURS = {
    "engine": "26.1.5",
    "managed": True,
    "restartable": True,
    "image_store": True,
    "log_limits": True,
    "daemon": True,
    "client": True,
    "compose": (2, 26),
    "buildx": True,
    "distro": apt.Distro(id="debian", codename="bookworm"),
}
READY = "Docker Engine 26.1.5 answers, with Compose 2.26 and buildx"
SURVIVE = "containers survive its restart (live-restore)"
STORE = "images are in containerd's store"
LIVE = Configure(settings=("live-restore",), then="reload")
BOTH = Configure(settings=("live-restore", "containerd-snapshotter"), then="restart")


def no(question):
    raise AssertionError(f"nobody may be asked here: {question}")


def nothing_waits(seconds):
    assert seconds <= 0.1


def engine_pings(monkeypatch, answer):
    """Let `answer` say whether the engine answers on its socket."""
    for module in (daemon, looks):
        monkeypatch.setattr(module, "engine_pings", answer)


def info(*, live_restore=True, swarm="inactive", containers=0, image_store=True):
    """Return what `docker info` answers to what the wing asks it."""
    status = [daemon.SNAPSHOTTER] if image_store else [["Backing Filesystem", "extfs"]]
    return f"{str(live_restore).lower()} {swarm} {containers} {json.dumps(status)}\n"


def without(*names, **values):
    return Machine(**{name: OURS[name] for name in OURS if name not in names} | values)


def ensure(said, *, yes=True):
    docker.ensure_engine(yes=yes, interactive=False, confirm=no, report=said.append)


@dataclass
class Commands:
    """Runs what was planned, by the start of its command line; refuses everything else."""

    planned: dict[str, object] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)

    def plan(self, start, answer="", *, code=0):
        """Answer a text, an exit code, or raise: `answer` may also be called with the argv."""
        self.planned[start] = (answer, code)

    def run(self, argv, *, timeout, check=True, env=None, **_):
        assert timeout > 0
        line = shlex.join(argv)
        self.ran.append(line)
        self.environments.append(dict(env or {}))
        starts = [start for start in self.planned if line.startswith(start)]
        if not starts:
            raise AssertionError(f"nobody planned this command: {line}")
        answer, code = self.planned[max(starts, key=len)]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(argv) or ""
        if check and code:
            raise CommandError(f"`{line}` failed with exit code {code}.", code=code, details=answer)
        return shell.Result(argv=tuple(argv), code=code, stdout=answer, tail=answer, seconds=0.0)


@pytest.fixture
def commands(monkeypatch):
    fake = Commands()
    monkeypatch.setattr(shell, "run", fake.run)
    return fake


@pytest.fixture
def said():
    return []


@pytest.fixture
def machine(monkeypatch, tmp_path, commands):
    """Move every path of this machine that the wing looks at below `tmp_path`; Debian 12, empty."""
    etc = tmp_path / "etc"
    for folder in ("sources.list.d", "preferences.d"):
        (etc / folder).mkdir(parents=True)
    (tmp_path / "os-release").write_text(DEBIAN_12)
    (etc / "sources.list.d/debian.sources").write_text(ENTRY)
    for module, name, path in [
        (apt, "OS_RELEASE", tmp_path / "os-release"),
        (apt, "ETC", etc),
        (apt, "KEYS", etc / "keyrings"),
        (apt, "POLICY", tmp_path / "policy-rc.d"),
        (apt, "SYSTEMD", tmp_path / "systemd"),
        (looks, "DOCKER_SOCKET", tmp_path / "docker.sock"),
        (looks, "DOCKER_CE", tmp_path / "docker-ce.list"),
        (looks, "APPARMOR", tmp_path / "apparmor"),
        (daemon, "LOG", tmp_path / "dockerd.log"),
        (daemon, "PID_FILE", tmp_path / "docker.pid"),
        (daemon_json, "SETTINGS", tmp_path / "docker/daemon.json"),
        (daemon_json, "DATA_ROOT", tmp_path / "data"),
        (bases, "CA_BUNDLE", tmp_path / "ca.crt"),
    ]:
        monkeypatch.setattr(module, name, path)
    programs = {}
    monkeypatch.setattr("shutil.which", lambda name, path=None: programs.get(name))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("time.sleep", nothing_waits)
    engine_pings(monkeypatch, lambda: False)
    monkeypatch.setattr(apt, "http_answers", lambda url: False)
    monkeypatch.setattr(bases, "http_answers", lambda url, any_status: False)
    # Limits of logs have tests of their own: here, they are nobody's to set.
    monkeypatch.setattr(daemon, "logs_by_flags", lambda pid, systemd: True)
    commands.plan("dpkg-query --show", "ii  base-files\nrc  old-one\n")
    targets = f"http://mirror.example/debian/|bookworm|main|{etc}/sources.list.d/debian.sources:1\n"
    commands.plan("apt-get indextargets", targets)
    commands.plan("apt-get update")
    commands.plan("sudo", CommandError("`sudo` is not installed or not on PATH."))
    commands.plan(f"{sys.executable} -m pip config list")
    commands.plan("apt-config dump", 'Acquire::http::Proxy "http://proxy.example";\n')
    return SimpleNamespace(path=tmp_path, etc=etc, programs=programs, commands=commands)


@pytest.fixture
def people(machine, monkeypatch):
    """Give the machine users of its own."""
    fake = People(machine.path / "home", machine.commands)
    fake.take_over(monkeypatch)
    return fake


@pytest.fixture
def file(machine):
    """Return dockerd's settings file, which is not there."""
    return daemon_json.SETTINGS


@pytest.fixture
def clients(machine):
    """Put a client with both plugins on PATH."""
    machine.programs["docker"] = "/usr/local/bin/docker"
    machine.commands.plan("docker version", "26.1.5\n")
    machine.commands.plan("docker info", info())
    machine.commands.plan("docker compose version", "2.26.1-4\n")
    machine.commands.plan("docker buildx version", "github.com/docker/buildx 0.13.1\n")
    machine.commands.plan("docker context show", "default\n")
    return machine


@pytest.fixture
def stopped(clients, monkeypatch):
    """Install an engine that does not run; `start()` makes it answer."""
    machine = clients
    machine.programs["dockerd"] = "/usr/sbin/dockerd"
    machine.up, machine.spawned = False, []

    def start(_=None):
        machine.up = True

    def spawn(argv, *, log, inherit):
        machine.spawned.append((argv, log))
        start()
        return os.getpid()

    machine.start = start
    monkeypatch.setattr(shell, "spawn", spawn)
    engine_pings(monkeypatch, lambda: machine.up)
    machine.commands.plan("docker version", lambda _: "26.1.5" if machine.up else "")
    return machine


class Container:
    """One container of the fake engine."""

    def __init__(self, engine, name, *, labels, port, status="created"):
        self.engine, self.name, self.labels, self.status = engine, name, labels, status
        self.attrs = {"HostConfig": {"PortBindings": {"5000/tcp": [{"HostPort": str(port)}]}}}

    def start(self):
        self.engine.did.append(f"start {self.name}")
        self.status = "running"

    def remove(self, *, force):
        assert force
        self.engine.did.append(f"remove {self.name}")
        del self.engine.containers_by_name[self.name]

    def logs(self, *, tail):
        return b"level=fatal msg=no\n"[: tail * 80]


class Engine:
    """The part of the docker SDK that the wing uses; anything else is an AttributeError."""

    def __init__(self):
        self.did = []
        self.created = {}
        self.local_images = set(bases.BASES)
        self.containers_by_name = {}
        self.volumes_by_name = set()
        self.about = {
            "DockerRootDir": "/",
            "DriverStatus": [daemon.SNAPSHOTTER],
            "HttpsProxy": "",
            "LiveRestoreEnabled": True,
            "RegistryConfig": {"Mirrors": []},
            "Swarm": {"LocalNodeState": "inactive"},
        }
        self.published = []
        self.images = SimpleNamespace(get=self._image)
        self.containers = SimpleNamespace(get=self._container, create=self._create)
        self.volumes = SimpleNamespace(get=self._volume)
        self.api = SimpleNamespace(containers=self._list)

    def _image(self, name):
        if name not in self.local_images:
            raise ImageNotFound(name)
        return name

    def _container(self, name):
        if name not in self.containers_by_name:
            raise NotFound(name)
        return self.containers_by_name[name]

    def _create(self, image, *, name, labels, ports, **rest):
        assert image in self.local_images
        self.did.append(f"create {name}")
        self.created = {"ports": ports, **rest}
        self.volumes_by_name |= set(rest["volumes"])
        port = ports["5000/tcp"][1]
        made = Container(self, name, labels=labels, port=port)
        self.containers_by_name[name] = made
        return made

    def _volume(self, name):
        if name not in self.volumes_by_name:
            raise NotFound(name)
        return SimpleNamespace(remove=lambda: self.volumes_by_name.remove(name))

    def _list(self, *, filters):
        self.did.append(f"list {filters['publish']}")
        return self.published

    def version(self):
        return {"Version": "26.1.5"}

    def info(self):
        return self.about

    def close(self):
        self.did.append("close")


@pytest.fixture
def engine(monkeypatch):
    fake = Engine()
    monkeypatch.setattr(sdk, "from_env", lambda timeout: fake)
    return fake


@pytest.fixture
def no_engine(monkeypatch):
    def refuse(timeout):
        raise sdk.errors.DockerException("FileNotFoundError")

    monkeypatch.setattr(sdk, "from_env", refuse)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers 200 to /ok, 401 to /private, 404 to everything else."""

    def do_GET(self):
        code = {"/ok": 200, "/private": 401}.get(self.path, 404)
        self.send_response(code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"key")

    do_HEAD = do_GET  # noqa: N815 - its caller's name

    def log_message(self, *_):
        pass


@pytest.fixture
def site(socket_enabled):
    """Serve Page on a port of this machine; return the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
