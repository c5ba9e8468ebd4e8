import shutil
import threading
from types import SimpleNamespace

import pytest

from pipeline.errors import CommandError, RegistryError
from pipeline.host import doctor
from pipeline.settings import Secret, Settings

NAMES = [
    "engine", "compose", "buildx", "live-restore", "image store", "disk", "port", "base images",
    "registry", "env file", "state folder",
]  # fmt: skip
GIB = 1 << 30


@pytest.fixture
def healthy(engine, commands, monkeypatch, tmp_path):
    """Make a machine on which every check is ok; return its settings."""
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor, "port_trouble", lambda host, port: "")
    connected = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr("socket.create_connection", lambda address, timeout: connected)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=50 * GIB))
    commands.plan("docker compose version", "2.26.1\n")
    commands.plan("docker buildx version", "github.com/docker/buildx 0.13.1\n")
    env = tmp_path / "env"
    env.write_text("DATABASE_URL=postgresql://db\nPOSTGRES_PASSWORD='sentinel'\n")
    env.chmod(0o600)
    return Settings(
        state_dir=tmp_path / "state/panager",
        env_file=env,
        required_env=("DATABASE_URL", "POSTGRES_PASSWORD"),
    )


def check(settings, name, **given):
    return {found.name: found for found in doctor.checks(settings, **given)}[name]


def changed(settings, **values):
    return Settings(**{**vars(settings), **values})


def test_a_healthy_machine_is_all_ok(healthy):
    found = doctor.checks(healthy)
    assert [one.name for one in found] == NAMES
    assert {one.status for one in found} == {"ok"}
    assert {one.remedy for one in found} == {""}
    assert "sentinel" not in repr(found)


def test_without_an_engine_the_rest_is_still_looked_at(healthy, no_engine):
    found = doctor.checks(healthy)
    assert [one.name for one in found] == NAMES
    failed = {one.name for one in found if one.status == "fail"}
    assert failed == {"engine", "image store", "base images"}
    assert all(one.remedy for one in found if one.status != "ok")


def test_what_hangs_is_left_behind(healthy, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("socket.create_connection", lambda address, timeout: release.wait())
    monkeypatch.setattr(doctor, "SECONDS", 0.05)
    found = check(healthy, "registry")
    release.set()
    assert (found.status, found.message) == ("fail", "no answer within 0.05 s")
    assert "PIPELINE_REGISTRY" in found.remedy


@pytest.mark.parametrize("answer", ["2.23.3", ""])
def test_an_old_compose_is_named(healthy, commands, answer):
    commands.plan("docker compose version", answer)
    found = check(healthy, "compose")
    assert (found.status, found.remedy) == ("fail", "./bin/invoke host --yes")
    assert "Compose 2.24 or later" in found.message


def test_a_missing_buildx_is_named(healthy, commands):
    commands.plan("docker buildx version", CommandError("`docker buildx version` failed."))
    assert check(healthy, "buildx").status == "fail"


@pytest.mark.parametrize(
    ("on", "swarm", "seen"),
    [
        (True, "inactive", ("ok", "containers survive a restart of the engine", "")),
        (False, "active", ("ok", "a swarm node cannot have it", "")),
        (False, "locked", ("ok", "a swarm node cannot have it", "")),
        (
            False,
            "inactive",
            ("warn", "off: containers stop with the engine", "./bin/invoke host --yes"),
        ),
    ],
)
def test_live_restore_is_looked_at(healthy, engine, *, on, swarm, seen):
    engine.about |= {"LiveRestoreEnabled": on, "Swarm": {"LocalNodeState": swarm}}
    found = check(healthy, "live-restore")
    assert (found.status, found.message, found.remedy) == seen


@pytest.mark.parametrize("status", [[["Backing Filesystem", "extfs"]], None])
def test_a_store_without_attestations_is_a_failure(healthy, engine, status):
    engine.about["DriverStatus"] = status
    found = check(healthy, "image store")
    assert (found.status, found.remedy) == ("fail", "./bin/invoke host --yes")


@pytest.mark.parametrize(("free", "status"), [(GIB // 2, "fail"), (2 * GIB, "warn")])
def test_little_space_is_seen_where_it_is_least(healthy, monkeypatch, free, status):
    sizes = {"/": free}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=sizes.get(str(folder), 50 * GIB))
    )
    found = check(healthy, "disk")
    assert found.status == status
    assert found.message.endswith("GiB free at /")


def test_a_port_of_another_program_fails_and_ours_does_not(healthy, engine, monkeypatch):
    monkeypatch.setattr(doctor, "port_trouble", lambda host, port: "Address already in use")
    assert check(healthy, "port").status == "fail"
    assert "list 8000/tcp" in engine.did
    engine.published = [{"Id": "1"}]
    assert check(healthy, "port").message == "127.0.0.1:8000 is this service's"


def test_a_port_that_nobody_can_explain_fails(healthy, no_engine, monkeypatch):
    monkeypatch.setattr(doctor, "port_trouble", lambda host, port: "Permission denied")
    found = check(healthy, "port")
    assert (found.status, found.message) == (
        "fail",
        "127.0.0.1:8000 cannot be had: Permission denied",
    )


def test_missing_base_images_are_listed(healthy, engine):
    engine.local_images.remove("haproxy:2.6")
    found = check(healthy, "base images")
    assert (found.status, found.message) == ("warn", "missing: haproxy:2.6")


def test_an_unreachable_registry_is_a_warning(healthy, monkeypatch):
    def refuse(address, timeout):
        assert address == ("127.0.0.1", 5001)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    found = check(changed(healthy, registry="127.0.0.1:5001"), "registry")
    assert found.status == "warn"
    assert found.message == "127.0.0.1:5001 cannot be reached: Connection refused"


def test_an_unreachable_registry_is_not_asked_for_rights(healthy, monkeypatch):
    def refuse(address, timeout):
        raise ConnectionRefusedError(111, "Connection refused")

    def prove():
        raise AssertionError

    monkeypatch.setattr("socket.create_connection", refuse)
    assert check(healthy, "registry", prove=prove).status == "warn"


def test_the_rights_to_pull_and_push_are_proven(healthy):
    asked = []
    found = check(healthy, "registry", prove=lambda: asked.append("rights"))
    assert (found.status, found.message) == ("ok", "ghcr.io: pull and push are allowed")
    assert asked == ["rights"]
    assert check(healthy, "registry").message == "ghcr.io can be reached"


@pytest.mark.parametrize(("source", "status"), [("PIPELINE_REGISTRY", "fail"), ("default", "warn")])
@pytest.mark.parametrize("hint", ["`invoke login`", ""])
def test_rights_that_are_missing_are_named(healthy, source, status, hint):
    def prove():
        raise RegistryError("The registry ghcr.io refused the push.", hint=hint)

    found = check(changed(healthy, sources={"registry": source}), "registry", prove=prove)
    assert (found.status, found.message) == (status, "The registry ghcr.io refused the push.")
    assert hint in found.remedy
    assert found.remedy


def test_rights_that_nobody_answers_for_are_left_behind(healthy, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(doctor, "SECONDS", 0.05)
    found = check(healthy, "registry", prove=release.wait)
    release.set()
    assert (found.status, found.message) == ("fail", "no answer within 0.05 s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DATABASE_URL=sentinel\n", "POSTGRES_PASSWORD is missing or empty"),
        ("DATABASE_URL=\nPOSTGRES_PASSWORD=sentinel\n", "DATABASE_URL is missing or empty"),
        ("DATABASE_URL='sentinel\nPOSTGRES_PASSWORD=x\n", "line 1 is malformed"),
    ],
)
def test_an_incomplete_env_file_is_named_without_its_values(healthy, text, message):
    healthy.env_file.write_text(text)
    found = check(healthy, "env file")
    assert found.status == "fail"
    assert message in found.message
    assert "sentinel" not in repr(found)


def test_an_env_file_that_others_can_read_is_a_warning(healthy):
    healthy.env_file.chmod(0o644)
    found = check(healthy, "env file")
    assert (found.status, found.remedy) == ("warn", f"chmod 600 {healthy.env_file}")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), (b"\xff", "not UTF-8")]
)
def test_an_env_file_that_cannot_be_read_is_a_warning(healthy, content, reason):
    if content is None:
        healthy.env_file.unlink()
    else:
        healthy.env_file.write_bytes(content)
    found = check(healthy, "env file")
    assert (found.status, reason in found.message) == ("warn", True)


def test_the_env_file_may_come_from_a_secret(healthy):
    content = Secret("DATABASE_URL=sentinel\nPOSTGRES_PASSWORD=sentinel\n")
    found = check(changed(healthy, env_content=content), "env file")
    assert (found.status, found.message) == ("ok", "ENV_FILE has every required key")


def test_a_state_folder_that_cannot_be_written_fails(healthy, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    found = check(healthy, "state folder")
    assert found.status == "fail"
    assert "PIPELINE_STATE_DIR" in found.remedy
