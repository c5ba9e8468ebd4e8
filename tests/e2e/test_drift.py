"""What others did to the machine: it is found and named, and the next command ends it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support.site import SENTINEL, Site, what

LIVE_MAP = "/usr/local/etc/haproxy/live.map"


def compose(site: Site, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` in the checkout, as whoever has the site's variables in a shell."""
    image = f"{site.repository}:{site.commits['b']}"
    return subprocess.run(
        ["docker", "compose", *argv],
        cwd=site.invoke.root,
        env={**site.invoke.environ, "PIPELINE_IMAGE": image, "POSTGRES_PASSWORD": SENTINEL},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project_by_hand(a_live: Site) -> Iterator[str]:
    """Name of the project that Compose takes in the checkout; what is made of it is removed."""
    name = json.loads(compose(a_live, "config", "--format", "json").stdout)["name"]
    assert name != a_live.app
    assert not machine.containers(name), f"in use: `docker compose -p {name} down` ends it"
    try:
        yield name
    finally:
        machine.remove_project(name)


def test_compose_by_hand_changes_nothing_that_serves(a_live: Site, project_by_hand: str):
    with a_live.under_load(), a_live.untouched():
        ran = compose(a_live, "up", "--detach")
    assert machine.containers(project_by_hand), f"it did nothing: {ran.stderr}"
    status = a_live.status()
    assert status["healthy"]
    assert status["drift"] == []
    a_live.deploy("b").ok()
    assert a_live.served() == "b"


def test_a_replica_stopped_by_hand_is_reported(a_live: Site):
    a_live.deploy("b", "--replicas", "2").ok()
    assert a_live.status()["drift"] == []
    ((colour, (stopped, _)),) = a_live.colours().items()
    name = machine.inspect(stopped)["Name"].removeprefix("/")
    machine.docker("stop", "--time", "5", stopped)
    status = a_live.status()
    assert any(name in each or colour in each for each in status["drift"])
    assert status["live"]["sha"] == a_live.commits["b"]
    assert status["drift"][0] in a_live.invoke("status").ok().stdout


def test_a_container_exchanged_for_another_image_is_reported(a_live: Site, tmp_path: Path):
    ((colour, _),) = a_live.colours().items()
    was = a_live.container(colour)
    name = was["Name"].removeprefix("/")
    exchange(was, f"{a_live.repository}:{a_live.commits['b']}", colour=colour, folder=tmp_path)
    machine.eventually(lambda: a_live.served() == "b", within=20, what="the other image")
    drift = a_live.status()["drift"]
    assert any(name in each or colour in each for each in drift)
    a_live.invoke("status", "--expect", a_live.commits["a"]).refused(3)

    a_live.deploy("a").ok()
    assert a_live.served() == "a"
    assert a_live.status()["drift"] == []


def exchange(was: dict, image: str, *, colour: str, folder: Path) -> None:
    """Put a container of another image in a replica's place, labels and all."""
    env = folder / "env"
    database = next(line for line in was["Config"]["Env"] if line.startswith("DATABASE_URL="))
    env.write_text(database)
    labels = [
        word
        for label, value in was["Config"]["Labels"].items()
        if label.startswith("com.docker.compose.") or label == "pipeline.release"
        for word in ("--label", f"{label}={value}")
    ]
    (network,) = was["NetworkSettings"]["Networks"]
    machine.docker("rm", "--force", was["Id"])
    machine.docker(
        *("run", "--detach", "--name", was["Name"].removeprefix("/"), "--env-file", str(env)),
        *("--network", network, "--network-alias", colour, *labels, image),
    )


def test_a_route_switched_by_hand_is_reported(b_over_a: Site):
    site, before = b_over_a, b_over_a.status()
    assert before["drift"] == []
    live, standby = (before[name]["colour"] for name in ("live", "standby"))
    site.tell_proxy(f"set map {LIVE_MAP} live {standby}")
    assert site.served() == "a"
    after = site.status()
    assert what(after["live"]) == what(before["standby"]), "what people really get"
    assert any(live in each and standby in each for each in after["drift"])
    site.invoke("status", "--expect", site.commits["b"]).refused(3)

    site.tell_proxy(f"set map {LIVE_MAP} live {live}")
    assert site.status()["drift"] == []


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
def test_a_killed_deployment_is_resumed(a_live: Site, strategy: str):
    before = a_live.status()["live"]
    with a_live.under_load(outage=strategy == "recreate"):
        kill(a_live, strategy)
        status = a_live.status()
        ran = a_live.invoke("resume", "--wait", "30").ok()
        assert a_live.served() == "a"
    assert status["interrupted"]["kind"] == "deploy"
    assert status["interrupted"]["sha"] == a_live.commits["unready"]
    assert status["interrupted"]["since"]
    assert a_live.commits["unready"][:12] in ran.text
    after = a_live.status()
    assert after["interrupted"] is None
    assert what(after["live"]) == what(before)
    assert after["drift"] == []
    assert len(a_live.replicas()) == 1
    newest = a_live.history()[0]
    assert (newest["sha"], newest["outcome"]) == (a_live.commits["unready"], "failed")

    with a_live.untouched():
        assert "nothing to resume" in a_live.invoke("resume").ok().text


def test_a_killed_deployment_stops_nobody(a_live: Site):
    kill(a_live, "blue-green")
    assert a_live.served() == "a"
    with a_live.under_load():
        ran = a_live.deploy("b", "--wait", "30").ok()
    assert "interrupted" in ran.stderr
    assert a_live.served() == "b"
    assert len(a_live.replicas()) == 1
    status = a_live.status()
    assert status["interrupted"] is None
    assert status["drift"] == []
    assert [row["outcome"] for row in a_live.history()[:2]] == ["live", "failed"]


def test_a_rollback_after_a_killed_deployment_leads_to_what_was_live_before_it(b_over_a: Site):
    kill(b_over_a, "blue-green")
    with b_over_a.under_load():
        ran = b_over_a.invoke("rollback", "--wait", "30", "--json").ok()
    assert "interrupted" in ran.stderr
    assert ran.json["sha"] == b_over_a.commits["b"]
    assert b_over_a.served() == "b"
    assert len(b_over_a.replicas()) == 1
    status = b_over_a.status()
    assert status["interrupted"] is None
    assert status["drift"] == []
    b_over_a.invoke("rollback").ok()
    assert b_over_a.served() == "a"


def kill(site: Site, strategy: str) -> None:
    """Kill a deployment that waits for its release to get ready."""
    with site.deploying("unready", "--strategy", strategy) as process:
        process.kill()
        process.communicate(timeout=30)


def test_before_the_first_deployment_there_is_nothing_to_resume(spare_site: Site):
    assert "nothing to resume" in spare_site.invoke("resume").ok().text
    assert machine.containers(spare_site.app) == []
    assert spare_site.history() == []


def test_a_database_that_was_removed_by_hand_is_named_and_made_again(a_live: Site):
    machine.docker("rm", "--force", a_live.container("db")["Id"])
    machine.docker("volume", "rm", f"{a_live.app}_db-data")
    drift = a_live.status()["drift"]
    assert "There is no container of db." in drift
    assert any("the data is gone" in each for each in drift)
    ran = a_live.deploy("b").ok()
    assert "warning: There is no volume either" in ran.text
    assert a_live.status()["drift"] == []
    with a_live.under_load():
        pass


def test_a_network_that_was_removed_by_hand_is_made_again(a_live: Site):
    machine.docker("stop", "--time", "1", *machine.containers(a_live.app))
    machine.docker("network", "rm", f"{a_live.app}_default")
    assert "db is exited." in a_live.status()["drift"]
    a_live.deploy("b").ok()
    assert a_live.status()["drift"] == []
    with a_live.under_load():
        pass
