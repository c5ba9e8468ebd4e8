"""A machine in memory on which every check is ok, and whose service can say anything."""

import os
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipeline.host import apt, daemon, daemon_json, doctor
from pipeline.host.doctor import check, facts, machine, network
from pipeline.host.doctor import engine as engine_looks
from pipeline.host.doctor.greeting import Greeting
from pipeline.settings import Settings

GIB = 1 << 30
SHA = "a1" * 20
LIVE = {
    "url": "http://127.0.0.1:8000",
    "healthy": True,
    "answer": "200",
    "lock": None,
    "live": {"sha": SHA, "release": "r", "colour": "blue", "replicas": 1},
    "standby": None,
    "interrupted": None,
    "drift": [],
}


def space(*, free=50 * GIB, total=100 * GIB, inodes=0.9, flags=0):
    """Return what statvfs() says of a file system."""
    block = 4096
    return SimpleNamespace(
        f_frsize=block, f_blocks=total // block, f_bfree=free // block, f_bavail=free // block,
        f_files=1000, f_favail=int(1000 * inodes), f_flag=flags,
    )  # fmt: skip


def container(name, *, service="", app="panager", state="running", status="Up", **more):
    labels = {"com.docker.compose.project": app, "com.docker.compose.service": service or name}
    return {
        "Id": name, "Names": [f"/{app}-{name}-1"], "State": state, "Status": status,
        "Labels": labels, **more,
    }  # fmt: skip


class Doctor:
    """The machine: change it, then look at it."""

    def __init__(self, settings, engine):
        self.settings, self.engine = settings, engine
        self.status, self.history = dict(LIVE), [{"outcome": "live", "sha": SHA}]
        self.prove = lambda: None
        self.containers = [container(name) for name in ("blue", "db", "proxy")]
        self.inspected = {}
        self.volumes, self.networks = [{"Name": "panager_db-data"}], [{"Name": "panager_default"}]
        engine.api = SimpleNamespace(
            containers=self._containers,
            images=lambda name: [{"Created": 1, "Size": 9 * GIB}, {"Created": 2, "Size": GIB // 5}],
            inspect_container=self._inspect,
            volumes=lambda filters: {"Volumes": self.volumes or None},
            networks=lambda filters: self.networks,
        )

    def _containers(self, *, filters, all=False):  # noqa: A002 - its name
        if "publish" in filters:
            return self.engine.published
        if "status" in filters:
            return [each for each in self.containers if each["State"] in filters["status"]]
        (label,) = [filters["label"]]
        project = label.partition("=")[2]
        return [
            each
            for each in self.containers
            if each["Labels"]["com.docker.compose.project"] == project
            and (all or each["State"] == "running")
        ]

    def _inspect(self, container):
        limits = {"Type": "json-file", "Config": {"max-size": "10m"}}
        (name,) = [each["Names"][0] for each in self.containers if each["Id"] == container]
        return {"Name": name, "HostConfig": {"LogConfig": limits, **self.inspected}}

    def set(self, **values):
        self.settings = Settings(**{**vars(self.settings), **values})

    def checks(self, **given):
        return doctor.checks(self.settings, self._asked(given))

    def __call__(self, name, **given):
        """Return one of the checks."""
        seen = facts.Facts(self.settings, self._asked(given))
        (look,) = [each for each in doctor._looks(seen) if each.name == name]
        begun = check.begin(lambda: doctor._seen(look, seen))
        return doctor._end(look, begun, time.monotonic() + doctor.SECONDS)

    def _asked(self, given):
        asked = {"prove": self.prove, "status": self._status, "history": lambda: self.history}
        return doctor.Service(**{**asked, **given})

    def _status(self):
        if isinstance(self.status, Exception):
            raise self.status
        return self.status


@pytest.fixture
def greetings(monkeypatch):
    """What web servers say, by URL; all others are well."""
    said = {}
    well = Greeting(
        status=401, expires=datetime.now(UTC) + timedelta(days=80), date=datetime.now(UTC)
    )
    for module in (facts, network):
        monkeypatch.setattr(module, "greet", lambda url, trust: said.get(url, well))
    return said


@pytest.fixture
def look(engine, commands, greetings, monkeypatch, tmp_path):
    """Make a machine on which every check is ok."""
    monkeypatch.setattr(check.os, "geteuid", lambda: 1000)
    named = {1000: "ci"}
    monkeypatch.setattr(check.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name=named[uid]))
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(network, "port_trouble", lambda host, port: "")
    monkeypatch.setattr(network.socket, "getaddrinfo", lambda *_, **__: ["somewhere"])
    monkeypatch.setattr(machine.os, "statvfs", lambda folder: space())
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(apt, "SYSTEMD", tmp_path)
    monkeypatch.setattr(daemon_json, "SETTINGS", tmp_path / "daemon.json")
    monkeypatch.setattr(daemon, "PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(engine_looks, "DOCKER_SOCKET", tmp_path / "docker.sock")
    (tmp_path / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable:    2000000 kB\n")
    (tmp_path / "daemon.json").write_text('{"log-opts": {"max-size": "10m"}}')
    commands.plan("docker compose version", "2.26.1\n")
    commands.plan("docker buildx version", "github.com/docker/buildx 0.13.1\n")
    commands.plan("systemctl is-enabled docker.service", "enabled\n")
    env = tmp_path / "env"
    env.write_text("DATABASE_URL=postgresql://db\nPOSTGRES_PASSWORD='sentinel'\n")
    env.chmod(0o600)
    engine.about |= {
        "ServerVersion": "26.1.5", "LoggingDriver": "json-file", "OSType": "linux",
        "Architecture": "x86_64",
    }  # fmt: skip
    settings = Settings(
        state_dir=tmp_path / "state/panager",
        env_file=env,
        required_env=("DATABASE_URL", "POSTGRES_PASSWORD"),
        public_url="https://panager.example/",
        sources={"registry": "PIPELINE_REGISTRY"},
    )
    settings.state_dir.mkdir(parents=True, mode=0o755)
    os.chmod(settings.state_dir, 0o755)  # noqa: PTH101 - whatever our umask is
    return Doctor(settings, engine)
