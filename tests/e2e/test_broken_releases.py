"""A release that fails: what was live goes on, nobody notices, and the message says why."""

import json

import pytest

from tests.e2e.support import machine
from tests.e2e.support.command import Ran
from tests.e2e.support.site import SENTINEL, Site
from tests.e2e.support.watch import Argv


def failed(site: Site, name: str, **environ: str) -> Ran:
    """Deploy a broken commit under load and return how it was refused."""
    with site.under_load(), site.untouched():
        ran = site.deploy(name, **environ).refused(3)
    answer = ran.json
    assert answer["outcome"] == "failed"
    assert answer["sha"] == site.commits[name]
    assert answer["live_seconds"] is None
    assert answer["requests"]["failed"] == 0
    assert answer["error"]["exit_code"] == 3
    newest = site.history()[0]
    assert (newest["sha"], newest["outcome"]) == (site.commits[name], "failed")
    assert SENTINEL not in ran.text
    assert SENTINEL not in json.dumps(newest)
    return ran


def test_an_image_that_exits_at_its_start(a_live: Site):
    ran = failed(a_live, "exits")
    assert "ended with exit code 7" in ran.error
    assert "cannot use" in ran.stderr, "its last words are shown"
    assert "***" in ran.stderr, "without what was secret in them"


def test_an_image_that_never_gets_ready(a_live: Site):
    ran = failed(a_live, "unready", PIPELINE_START_TIMEOUT="3")
    assert "was not healthy within 3 s" in ran.error
    assert "503" in ran.error, "the proxy's last check is named"
    assert "last probe of" in ran.stderr
    assert '"reason"' not in ran.error


def test_an_image_that_answers_another_commit(a_live: Site):
    ran = failed(a_live, "wrong")
    assert a_live.commits["wrong"] in ran.error
    assert "0" * 40 in ran.error


def test_a_migration_that_fails(a_live: Site):
    ran = failed(a_live, "migration")
    assert "nowhere" in ran.error, "the database's own words"
    assert "on ***" in ran.stderr, "without what was secret in them"


def test_an_env_file_that_lacks_a_required_key(a_live: Site, tmp_path):
    env = tmp_path / "env"
    env.write_text(f"POSTGRES_PASSWORD={SENTINEL}\n")
    with a_live.under_load(), a_live.untouched():
        ran = a_live.deploy("b", "--env-file", str(env)).refused(2)
    assert "DATABASE_URL" in ran.error
    assert SENTINEL not in ran.text


def test_the_next_good_release_needs_no_cleaning_up(a_live: Site):
    failed(a_live, "exits")
    with a_live.under_load():
        a_live.deploy("b").ok()
    assert a_live.served() == "b"


@pytest.mark.parametrize("name", ["b", "exits"])
def test_secrets_are_found_nowhere(a_live: Site, name: str):
    with Argv(SENTINEL) as processes:
        ran = a_live.deploy(name)
    assert any("compose" in line for line in processes.looked_at), "it looked"
    assert processes.found == set()
    assert SENTINEL not in ran.text
    for container in machine.containers(a_live.app):
        config = machine.inspect(container)["Config"]
        shown = (config["Labels"], config["Cmd"], config["Entrypoint"], config["Healthcheck"])
        assert SENTINEL not in json.dumps(shown)
    image = f"{a_live.repository}:{a_live.commits[name]}"
    assert SENTINEL not in machine.docker("history", "--no-trunc", image)
    kept = [file for file in a_live.state.rglob("*") if file.is_file()]
    holding = {file.name for file in kept if SENTINEL.encode() in file.read_bytes()}
    assert holding == {"env"}, "only the snapshots have it"


def test_what_is_kept_is_for_its_owner_alone(a_live: Site):
    assert a_live.state.stat().st_mode & 0o777 == 0o700
    releases = list(a_live.state.glob("releases/*"))
    assert releases
    for release in releases:
        assert release.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in release.iterdir()} == {0o600}
    assert (a_live.state / "ledger.db").stat().st_mode & 0o777 == 0o600


def test_values_arrive_as_they_were_written(a_live: Site):
    (colour,) = a_live.colours()
    assert f"MAIL_TOKEN=$HOME-{SENTINEL}-`id`" in a_live.container(colour)["Config"]["Env"]
