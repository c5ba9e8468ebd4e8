"""Engine and plugins: what is half installed, silent, or not as deployments need it."""

import pytest

from pipeline.errors import CommandError
from pipeline.host import apt, daemon, daemon_json
from pipeline.host.doctor import engine as looks
from tests.unit.host.doctor.conftest import container

SET_UP = "./bin/invoke host --yes"


@pytest.fixture
def silent(look, no_engine, monkeypatch):
    """No engine answers; programs are those of a set, this user may do everything."""
    programs = {"docker", "dockerd"}
    monkeypatch.setattr(
        "shutil.which", lambda name, path=None: f"/usr/bin/{name}" if name in programs else None
    )
    monkeypatch.setattr(looks.os, "access", lambda path, mode: True)
    monkeypatch.setattr(daemon, "running", lambda: None)
    look.programs = programs
    return look


def test_an_engine_that_is_not_installed(silent):
    silent.programs.clear()
    found = silent("engine")
    assert (found.status, found.message) == ("fail", "no Docker Engine is installed")
    assert found.remedy == SET_UP
    for name in ("compose", "buildx"):
        assert silent(name).message == "the docker command is not installed"


def test_half_an_installation(silent):
    silent.programs.remove("dockerd")
    found = silent("engine")
    assert found.message == "the docker command is here, and no engine: half an installation"
    assert found.remedy == SET_UP


def test_an_engine_that_does_not_run(silent):
    assert silent("engine").message == "dockerd is installed and does not run"
    looks.DOCKER_SOCKET.touch()
    assert "it left" in silent("engine").message
    assert silent("engine").remedy == SET_UP


def test_a_user_who_may_not_talk_to_the_engine(silent, monkeypatch):
    looks.DOCKER_SOCKET.touch()
    monkeypatch.setattr(looks.os, "access", lambda path, mode: False)
    found = silent("engine")
    assert found.message == "user ci may not talk to the engine"
    assert found.remedy == "sudo usermod --append --groups docker ci  # then log in again"


@pytest.mark.parametrize(
    ("systemd", "remedy"),
    [
        (True, "sudo systemctl restart docker  # journalctl --unit docker says"),
        (False, "sudo kill 7 && ./bin/invoke host --yes  # /var/log/dockerd.log says"),
    ],
)
def test_an_engine_that_hangs(silent, monkeypatch, tmp_path, systemd, remedy):
    looks.DOCKER_SOCKET.touch()
    monkeypatch.setattr(daemon, "running", lambda: 7)
    monkeypatch.setattr(apt, "SYSTEMD", tmp_path if systemd else tmp_path / "nothing")
    found = silent("engine")
    assert found.message == "dockerd (process 7) runs and does not answer within 1 s"
    assert found.remedy.startswith(remedy)


def test_an_engine_of_another_machine(silent, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2375")
    found = silent("engine")
    assert "DOCKER_HOST=" in found.message
    assert "10.0.0.7:2375 names does not answer" in found.message
    assert found.remedy.startswith("unset DOCKER_HOST")
    assert silent("port").message.endswith("is on the engine's machine")
    assert silent("boot").message == "the engine is another machine's"


def test_an_engine_whose_certificates_are_not_there(silent, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nothing"))
    for name in ("engine", "containers", "port"):
        found = silent(name)
        assert found.status == "fail"
        assert "DOCKER_CERT_PATH" in found.remedy


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("2.23.3", "Compose 2.24 or later is needed, this is 2.23"),
        ("", "Compose is not installed; 2.24 or later is needed"),
    ],
)
def test_an_old_compose_or_none(look, commands, answer, message):
    commands.plan("docker compose version", answer)
    found = look("compose")
    assert (found.status, found.message, found.remedy) == ("fail", message, SET_UP)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ({"code": 1}, "the buildx plugin is not installed"),
        ({"answer": CommandError("`docker` may not be run by this user.")}, "not installed"),
        ({"answer": CommandError("`docker buildx version` did not finish within 1.2 s.")}, "1.2 s"),
    ],
)
def test_a_missing_or_hanging_buildx(look, commands, outcome, message):
    commands.plan("docker buildx version", **outcome)
    found = look("buildx")
    assert (found.status, found.remedy) == ("fail", SET_UP)
    assert message in found.message


@pytest.mark.parametrize(
    ("on", "swarm", "seen"),
    [
        (True, "inactive", ("ok", "containers survive a restart of the engine", "")),
        (False, "active", ("ok", "a swarm node cannot have it", "")),
        (False, "locked", ("ok", "a swarm node cannot have it", "")),
        (False, "inactive", ("warn", "off: containers stop with the engine", SET_UP)),
    ],
)
def test_live_restore(look, on, swarm, seen):
    look.engine.about |= {"LiveRestoreEnabled": on, "Swarm": {"LocalNodeState": swarm}}
    found = look("live-restore")
    assert (found.status, found.message, found.remedy) == seen


@pytest.mark.parametrize("status", [[["Backing Filesystem", "extfs"]], None])
def test_a_store_without_attestations(look, status):
    look.engine.about["DriverStatus"] = status
    found = look("image store")
    assert (found.status, found.remedy) == ("fail", SET_UP)


def test_logs_of_ours_that_grow_without_end(look):
    look.inspected = {"LogConfig": {"Type": "json-file", "Config": None}}
    found = look("log limits")
    assert found.status == "warn"
    assert "panager-db-1" in found.message
    assert "docker-compose.yml" in found.remedy


@pytest.mark.parametrize("text", ["{}", '{"log-opts": {"max-file": "3"}}', '{"log-opts": []}'])
def test_logs_of_others_that_grow_without_end(look, text):
    daemon_json.SETTINGS.write_text(text)
    assert (look("log limits").status, look("log limits").remedy) == ("warn", SET_UP)
    look.engine.about["LoggingDriver"] = "journald"
    assert look("log limits").status == "ok"


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ("enabled", "ok", "systemd starts the engine, the engine starts the containers"),
        ("disabled", "fail", "docker.service is disabled: after a reboot nothing serves"),
        ("", "fail", "docker.service is not known to systemd: after a reboot nothing serves"),
    ],
)
def test_an_engine_that_does_not_come_back(look, commands, said, status, message):
    commands.plan("systemctl is-enabled docker.service", said, code=0 if status == "ok" else 1)
    found = look("boot")
    assert (found.status, found.message) == (status, message)
    assert found.remedy == ("" if status == "ok" else "sudo systemctl enable docker.service")


def test_a_machine_without_systemd(look, monkeypatch, tmp_path):
    monkeypatch.setattr(apt, "SYSTEMD", tmp_path / "nothing")
    found = look("boot")
    assert found.status == "warn"
    assert found.remedy.startswith(f"{SET_UP}  # after each reboot")


@pytest.mark.parametrize(
    ("machine", "wanted", "status"),
    [
        ("x86_64", "linux/amd64,linux/arm64", "ok"),
        ("aarch64", "linux/amd64,linux/arm64", "ok"),
        ("aarch64", "", "ok"),
        ("aarch64", "linux/amd64", "warn"),
    ],
)
def test_images_for_another_architecture(look, machine, wanted, status):
    look.engine.about["Architecture"] = machine
    look.set(platforms=wanted)
    found = look("platforms")
    assert found.status == status
    assert found.remedy == ("export PIPELINE_PLATFORMS=linux/arm64" if status == "warn" else "")


def test_missing_base_images(look):
    look.engine.local_images.remove("haproxy:2.6")
    found = look("base images")
    assert (found.status, found.message) == ("warn", "missing: haproxy:2.6")


def test_containers_of_others_are_not_looked_at(look):
    look.containers.append(container("foreign", app="other"))
    assert look("containers").message == "2 besides the releases' own, all well"
