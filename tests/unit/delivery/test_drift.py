"""Status tells what is so, and where that is not what the ledger says."""

import pytest

from pipeline.errors import UsageError
from pipeline.status import status
from tests.fakes import Container
from tests.unit.delivery.conftest import A, B, Host, reference


def drift(host: Host) -> list[str]:
    return status(host.delivery())["drift"]


def test_before_the_first_deployment(host: Host):
    found = status(host.delivery())
    assert found["live"] is found["standby"] is found["interrupted"] is None
    assert found["drift"] == []
    assert found["healthy"] is False


def test_nothing_differs_after_a_deployment(host: Host):
    host.deploy(A)
    found = status(host.delivery())
    assert found["drift"] == []
    assert found["live"]["sha"] == A
    assert found["live"]["replicas"] == 1


def test_a_route_that_was_switched_by_hand(host: Host):
    host.deploy(A)
    host.world.live = None
    assert drift(host) == ["The proxy sends requests to nobody; by the ledger, blue is live."]


def test_a_replica_that_was_stopped_by_hand(host: Host):
    host.deploy(A)
    host.world.of("blue")[0].running = False
    assert drift(host) == [
        "blue has 0 running replicas, not 1.",
        "panager-blue-1 is exited, exit code 0.",
    ]


def test_a_container_of_another_image_release_or_env(host: Host):
    host.deploy(A)
    (container,) = host.world.of("blue")
    container.env = {"KEY": "other", "DB_PASSWORD": "sentinel-secret"}
    assert drift(host) == ["panager-blue-1 runs with other values of KEY than its env file's."]
    container.release = "somebody"
    assert drift(host)[0].startswith("panager-blue-1 runs release somebody, not aaaaaaa-")
    container.reference = reference(B)
    assert "runs ghcr.io/panager/panager@sha256:bbb" in drift(host)[0]


def test_containers_that_no_deployment_started(host: Host):
    host.deploy(A)
    host.world.containers["green"] = [Container(1, reference(B), "172.31.0.1")]
    (found,) = drift(host)
    assert "which no deployment started" in found
    assert status(host.delivery())["standby"] is None


def test_a_proxy_that_does_not_run(host: Host):
    host.deploy(A)
    host.world.proxy_runs = False
    assert "the proxy does not run" in drift(host)


def test_what_serves_without_the_ledger(host: Host):
    host.deploy(A)
    host.delivery().state.ledger.unlink()
    assert drift(host) == ["The proxy sends requests to blue; by the ledger, nothing is live."]


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_what_the_ledger_does_not_know_is_not_taken_apart(host: Host, strategy: str):
    host.deploy(A)
    host.delivery().state.ledger.unlink()
    object.__setattr__(host.settings, "strategy", strategy)
    host.world.events.clear()
    with pytest.raises(UsageError, match="could not be brought back"):
        host.deploy(B)
    assert host.world.events == []


def test_a_release_whose_files_are_gone(host: Host):
    release = host.deploy(A).release
    (host.delivery().state.folder / "releases" / release.id / "env").unlink()
    (found,) = drift(host)
    assert f"The env of release {release.id} cannot be read" in found


def test_looking_changes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch):
    host.deploy(A)
    monkeypatch.setattr("pipeline.traffic.folders.os.chown", pytest.fail)
    folder = host.delivery().state.folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    drift(host)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("what", ["stopped", "env"])
def test_a_deployment_of_what_is_live_mends_it(host: Host, what: str):
    object.__setattr__(host.settings, "replicas", 2)
    host.deploy(A)
    first, _ = host.world.of("blue")
    if what == "stopped":
        first.running = False
    else:
        first.env = {}
    host.deploy(A)
    assert drift(host) == []
    assert host.world.live == "green"


def test_while_both_colours_have_requests_either_release_is_a_healthy_answer(host: Host):
    host.deploy(A)
    release = host.deploy(B).release
    first = Container(1, reference(A), "172.31.0.1", release="of-a")
    host.world.containers["blue"] = [first]
    first.release = host.delivery().ledger.history()[1]["release"]
    host.world.live = "both"
    for there in (host.world.of("blue"), host.world.of("green")):
        host.world.open = {each.address for each in there}
        found = status(host.delivery())
        assert found["healthy"] is True
    assert found["live"]["release"] == release.id
