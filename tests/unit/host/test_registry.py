import pytest

from pipeline.errors import EngineError, UnavailableError
from pipeline.host import registry
from tests.unit.host.conftest import Container, nothing_waits


def ensure(said, port=5000):
    return registry.ensure_local_registry(app="panager", port=port, report=said.append)


@pytest.fixture
def free(engine, monkeypatch):
    """Give an engine whose registry answers as soon as it runs, on a machine with free ports."""

    def status(host, port, path):
        assert (host, path) == ("127.0.0.1", "/v2/")
        return (
            200 if any(c.status == "running" for c in engine.containers_by_name.values()) else None
        )

    monkeypatch.setattr(registry, "http_status", status)
    monkeypatch.setattr(registry, "port_trouble", lambda host, port: "")
    monkeypatch.setattr("time.sleep", nothing_waits)
    return engine


def put(engine, *, app="panager", port=5000, status="running"):
    container = Container(
        engine, "panager-registry", labels={"pipeline.registry": app}, port=port, status=status
    )
    engine.containers_by_name["panager-registry"] = container
    return container


def test_a_registry_is_started_on_loopback_only(free, said):
    assert ensure(said) == "127.0.0.1:5000"
    assert free.did == ["create panager-registry", "start panager-registry", "close"]
    made = free.created
    assert made["ports"] == {"5000/tcp": ("127.0.0.1", 5000)}
    assert made["volumes"] == {"panager-registry": {"bind": "/var/lib/registry", "mode": "rw"}}
    assert made["read_only"]
    assert made["cap_drop"] == ["ALL"]
    assert made["restart_policy"] == {"Name": "unless-stopped"}
    assert made["log_config"].config == {"max-size": "10m", "max-file": "3"}
    assert said == ["Local registry started on 127.0.0.1:5000"]


def test_a_registry_that_runs_is_left_alone(free, said, monkeypatch):
    put(free)
    monkeypatch.setattr(registry, "port_trouble", lambda host, port: "taken, by this registry")
    ensure(said)
    assert free.did == ["close"]
    assert said == []


def test_a_stopped_registry_is_started(free, said):
    put(free, status="exited")
    ensure(said)
    assert free.did == ["start panager-registry", "close"]


def test_another_port_means_another_container_with_the_same_images(free, said):
    put(free, port=5001)
    assert ensure(said) == "127.0.0.1:5000"
    assert free.did[:2] == ["remove panager-registry", "create panager-registry"]


def test_a_port_in_use_is_one_clear_error(free, said, monkeypatch):
    monkeypatch.setattr(registry, "port_trouble", lambda host, port: "Address already in use")
    with pytest.raises(UnavailableError, match=r"Port 5000.*Address already in use") as caught:
        ensure(said)
    assert "ss -ltnp" in caught.value.hint
    assert free.did == ["close"]


def test_a_container_of_somebody_else_is_not_touched(free, said):
    put(free, app="other")
    with pytest.raises(UnavailableError, match="not this pipeline's"):
        ensure(said)
    with pytest.raises(UnavailableError, match="not this pipeline's"):
        registry.remove_local_registry("panager", volumes=True)
    assert free.did == ["close", "close"]


def test_a_registry_that_does_not_answer_shows_its_log(free, said, monkeypatch):
    monkeypatch.setattr(registry, "http_status", lambda *_: 503)
    monkeypatch.setattr(registry, "START_SECONDS", 0.01)
    with pytest.raises(EngineError, match="does not answer") as caught:
        ensure(said)
    assert caught.value.details == "level=fatal msg=no\n"


def test_removing_keeps_the_images_unless_told(free, said):
    ensure(said)
    registry.remove_local_registry("panager", volumes=False)
    assert free.containers_by_name == {}
    assert free.volumes_by_name == {"panager-registry"}
    registry.remove_local_registry("panager", volumes=True)
    assert free.volumes_by_name == set()
    registry.remove_local_registry("panager", volumes=True)  # there may be none
