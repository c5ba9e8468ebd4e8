"""`invoke doctor` on a real machine: what is well, what is not, and that its remedies mend it."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.support import machine
from tests.e2e.support.command import Ran
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import SENTINEL, Site
from tests.e2e.test_figures import spread

CODES = {"ok": 0, "warn": 6, "fail": 1}
# Of the machine that the tests run on, and nothing that they could make right.
ITS_OWN = {"disk", "memory", "log limits", "boot", "base images"}
TARGET = 2.0  # seconds
NEVER_LONGER = 6.0  # seconds, on a machine that is busy; the figure says what it takes


def doctor(site: Site, **environ: str) -> Ran:
    ran = site.invoke("doctor", "--json", **environ)
    assert "Traceback" not in ran.text
    assert SENTINEL not in ran.text
    assert ran.code == CODES[ran.json["worst"]]
    assert all(each["remedy"] for each in ran.json["checks"] if each["status"] != "ok")
    return ran


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in ran.json["checks"]}


def mend(site: Site, remedy: str) -> None:
    """Type what it says to type."""
    subprocess.run(
        ["bash", "-c", remedy],
        cwd=site.invoke.root,
        env=site.invoke.environ,
        check=True,
        capture_output=True,
        timeout=120,
    )


def test_a_machine_that_serves_is_well(a_live: Site, figures: dict[str, object]):
    rounds = [doctor(a_live) for _ in range(3)]
    found = checks(rounds[0])
    bad = {name: each for name, each in found.items() if each["status"] != "ok"}
    assert set(bad) <= ITS_OWN, bad
    assert not [each for each in bad.values() if each["status"] == "fail"]
    assert found["service"]["message"].startswith(a_live.commits["a"][:12])
    assert found["registry"]["message"].endswith("pull and push are allowed")
    assert found["port"]["message"].endswith("is this service's")
    seconds = spread(each.seconds for each in rounds)
    figures["doctor (target: 2) [s]"] = seconds
    assert seconds["min"] <= TARGET


def test_a_registry_that_stopped_is_named_and_started(a_live: Site, registry: Registry):
    with registry.stopped():
        found = checks(doctor(a_live))["registry"]
        assert found["status"] == "fail"
        assert f"{registry.host} cannot be reached" in found["message"]
        mend(a_live, found["remedy"])
        machine.eventually(
            lambda: checks(doctor(a_live))["registry"]["status"] == "ok",
            within=10,
            what="the registry that doctor had us start",
        )


@pytest.mark.parametrize(
    ("service", "deed"),
    [
        ("colour", ("rm", "--force")),
        ("proxy", ("stop", "--time", "1")),
        ("db", ("stop", "--time", "5")),
    ],
)
def test_what_hands_did_is_named_and_what_it_says_to_type_mends_it(
    a_live: Site, service: str, deed: tuple[str, ...]
):
    sought = {"colour": "drift", "proxy": "containers", "db": "containers"}[service]
    if service == "colour":
        ((service, _),) = a_live.colours().items()
    name = a_live.container(service)["Name"].removeprefix("/")
    machine.docker(*deed, name)

    def is_seen() -> dict[str, Any] | None:
        found = checks(doctor(a_live))[sought]
        return found if found["status"] == "fail" else None

    found = machine.eventually(is_seen, within=10, what="that doctor sees it")
    assert name in found["message"] or service in found["message"]
    mend(a_live, found["remedy"])
    # Who waits for the database, or for the proxy's next look, takes a moment.
    machine.eventually(lambda: doctor(a_live).json["worst"] != "fail", within=15, what="all well")
    assert a_live.served() == "a"


@pytest.fixture
def taken(spare_site: Site) -> Iterator[Site]:
    """An app whose port somebody else has: we."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", spare_site.port))
        other.listen()
        yield spare_site


def test_before_the_first_deployment_nothing_is_made(taken: Site):
    found = checks(doctor(taken))
    assert found["service"]["message"] == "nothing is live yet"
    assert not taken.state.exists()
    assert f"(process {os.getpid()})" in found["port"]["message"]
    assert found["port"]["remedy"].removeprefix("sudo ").startswith(f"kill {os.getpid()}  #")


def test_state_of_another_app_or_version_is_named_and_left_alone(a_live: Site, spare_site: Site):
    other = checks(doctor(a_live, PIPELINE_APP="someone-else"))["service"]
    assert other["status"] == "fail"
    assert a_live.app in other["message"]
    assert "PIPELINE_STATE_DIR" in other["remedy"]

    spare_site.state.mkdir()
    ledger = spare_site.state / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 99")
    before = ledger.read_bytes()
    newer = checks(doctor(spare_site))["service"]
    assert (newer["status"], "another version (schema 99)" in newer["message"]) == ("fail", True)
    assert ledger.read_bytes() == before
    assert [path.name for path in spare_site.state.iterdir()] == ["ledger.db"]


def test_an_engine_that_hangs_holds_nobody_up(spare_site: Site, figures: dict[str, object]):
    spare_site.invoke("--list").ok()  # makes .venv, where this is the first command of all
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ran = doctor(spare_site, DOCKER_HOST=f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    found = checks(ran)
    assert "names does not answer" in found["engine"]["message"]
    assert found["engine"]["remedy"].startswith("unset DOCKER_HOST")
    assert found["env file"]["status"] == "ok"
    figures["doctor, the engine hangs (target: 2) [s]"] = round(ran.seconds, 3)
    assert ran.seconds <= NEVER_LONGER
