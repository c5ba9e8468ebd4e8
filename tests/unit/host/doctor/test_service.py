"""Env file, runner, containers, what serves, drift."""

from types import SimpleNamespace

import pytest

from pipeline.errors import EngineError, UnavailableError
from pipeline.host import runner
from pipeline.settings import Secret
from tests.unit.host.doctor.conftest import SHA, container


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DATABASE_URL=sentinel\n", "POSTGRES_PASSWORD is missing or empty"),
        ("DATABASE_URL=\nPOSTGRES_PASSWORD=sentinel\n", "DATABASE_URL is missing or empty"),
        ("DATABASE_URL='sentinel\nPOSTGRES_PASSWORD=x\n", "line 1 is malformed"),
    ],
)
def test_an_incomplete_env_file_is_named_without_its_values(look, text, message):
    look.settings.env_file.write_text(text)
    found = look("env file")
    assert found.status == "fail"
    assert message in found.message
    assert found.remedy == f'"${{EDITOR:-vi}}" {look.settings.env_file}'
    assert "sentinel" not in repr(found)


def test_an_env_file_that_others_can_read(look):
    look.settings.env_file.chmod(0o644)
    found = look("env file")
    assert (found.status, found.remedy) == ("warn", f"chmod 600 {look.settings.env_file}")


def test_an_env_file_that_is_no_text(look):
    look.settings.env_file.write_bytes(b"\xff")
    found = look("env file")
    assert (found.status, "not UTF-8" in found.message) == ("warn", True)


def test_an_env_file_is_needed_for_the_first_release_only(look):
    look.settings.env_file.unlink()
    assert look("env file").status == "ok"
    look.history = [{"outcome": "stopped", "sha": None}, *look.history]
    found = look("env file")
    assert (found.status, "No such file" in found.message) == ("warn", True)
    assert found.remedy.startswith("install -m 0600 ")
    assert found.remedy.endswith("# then set DATABASE_URL, POSTGRES_PASSWORD")


@pytest.mark.parametrize(
    ("text", "status", "remedy"),
    [
        ("DATABASE_URL=sentinel\nPOSTGRES_PASSWORD=sentinel\n", "ok", ""),
        ("DATABASE_URL=sentinel\n", "fail", "# correct the secret ENV_FILE"),
    ],
)
def test_the_env_file_may_come_from_a_secret(look, text, status, remedy):
    look.set(env_content=Secret(text))
    found = look("env file")
    assert (found.status, found.remedy) == (status, remedy)
    assert "sentinel" not in repr(found)


def test_what_serves(look):
    assert look("service").message == f"{SHA[:12]} serves as blue, 1 replica(s)"
    assert look("drift").message == "what runs is what the ledger says"


def test_before_the_first_deployment(look):
    look.status |= {"live": None, "healthy": False, "answer": None}
    look.history = [{"outcome": "failed", "sha": SHA}]
    assert (look("service").status, look("service").message) == ("ok", "nothing is live yet")


def test_a_deployment_at_work(look):
    lock = {"command": "deploy", "pid": 7, "since": "2030-01-01"}
    look.status |= {"lock": lock, "healthy": False}
    found = look("service")
    assert found.status == "ok"
    assert found.message == "`deploy` is at work (process 7, since 2030-01-01)"
    assert look("drift").message == "not looked at while things are on the move"


def test_an_interrupted_deployment(look):
    look.status["interrupted"] = {"kind": "deploy", "sha": SHA, "since": "2030-01-01"}
    found = look("service")
    assert (found.status, found.remedy) == ("fail", "./bin/invoke resume")
    assert found.message.startswith(f"deploy of {SHA[:12]} was interrupted")


def test_a_service_that_does_not_answer(look):
    look.status |= {"healthy": False, "answer": "503: no server"}
    found = look("service")
    assert found.status == "fail"
    assert found.message.endswith("does not answer as it should; it said 503: no server")
    assert found.remedy.startswith("./bin/invoke logs")


def test_drift_is_mended_by_what_was_live(look):
    look.status |= {"live": None, "healthy": False, "answer": None, "drift": ["No blue.", "Odd."]}
    found = look("drift")
    assert (found.status, found.message) == ("fail", "No blue. Odd")
    assert found.remedy == look("service").remedy == f"./bin/invoke deploy --sha {SHA}"


def test_drift_of_a_host_on_which_nothing_was_live(look):
    look.status["drift"] = ["The proxy sends requests to blue; by the ledger, nothing is live."]
    look.history = []
    assert look("drift").remedy.startswith("./bin/invoke deploy  # `invoke history`")


def test_a_ledger_of_another_version(look):
    error = UnavailableError("The ledger was written by another version.", hint="Update it.")
    look.status = error

    def history():
        raise error

    found = look("service", history=history)
    assert (found.status, found.message) == ("fail", "The ledger was written by another version")
    assert found.remedy == "# Update it."
    assert look("drift", history=history).status == "warn"
    assert look("env file", history=history).status == "ok"


@pytest.mark.parametrize(
    ("state", "status", "message", "remedy"),
    [
        ("exited", "Exited (0)", "exited", "docker start panager-db-1"),
        ("created", "Created", "created", "docker start panager-db-1"),
        ("paused", "Up (Paused)", "paused", "docker unpause panager-db-1"),
        ("restarting", "Restarting", "restarting", "docker logs --tail 50 panager-db-1  # says"),
        ("running", "Up 1 hour (unhealthy)", "unhealthy", "docker logs --tail 50 panager-db-1"),
    ],
)
def test_a_database_that_is_not_well(look, state, status, message, remedy):
    look.containers[1] = container("db", state=state, status=status)
    found = look("containers")
    assert (found.status, found.message) == ("fail", f"panager-db-1 is {message}")
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (["blue", "proxy"], "there is no container of db"),
        (["green", "db"], "there is no container of proxy"),
        (["db", "proxy"], "there is no container of blue or green"),
        ([], "there is no container of blue or green and of db and of proxy"),
    ],
)
def test_what_was_removed_by_hand(look, left, message):
    look.containers = [container(name) for name in left]
    found = look("containers")
    assert (found.status, found.message) == ("fail", message)
    assert found.remedy == f"./bin/invoke deploy --sha {SHA}"
    look.history = []
    assert look("containers").status == "ok"


def test_a_network_that_was_removed_by_hand(look):
    look.networks = []
    found = look("containers")
    assert (found.status, found.message) == ("fail", "their network is gone")
    assert found.remedy == f"./bin/invoke deploy --sha {SHA}"


def test_nobody_is_told_to_deploy_over_lost_data(look):
    look.containers, look.volumes = look.containers[:1], []
    look.status["drift"] = ["There is no volume either: the data is gone, and so on."]
    look.status["healthy"] = False
    for name in ("containers", "drift", "service"):
        found = look(name)
        assert found.status == "fail"
        assert found.remedy.startswith("# restore the data")


def test_other_containers_may_end(look):
    look.containers = [
        container("blue", state="exited"),  # drift has a word for it
        container("db"),
        container("proxy"),
        container("migrate", state="exited"),
    ]
    look.containers[-1]["Labels"]["com.docker.compose.oneoff"] = "True"
    assert look("containers").message == "2 besides the releases' own, all well"


@pytest.fixture
def runs(look, monkeypatch):
    look.set(runner_url="https://github.com/panager/panager")

    def found(**values):
        seen = {"trouble": "", "remedy": "", "name": "vps", "version": "2.3.0", "service": "active"}
        monkeypatch.setattr(
            runner, "status", lambda settings: SimpleNamespace(**{**seen, **values})
        )
        return look("runner")

    return found


def test_a_runner_that_runs(runs):
    assert runs().message == "vps 2.3.0, service active"


def test_a_runner_that_does_not(runs):
    found = runs(trouble="it is not registered", remedy="`sudo ./bin/invoke runner install --yes`")
    assert (found.status, found.message) == ("fail", "it is not registered")
    assert found.remedy == "sudo ./bin/invoke runner install --yes"


def test_a_runner_that_this_user_may_not_see(runs, look, monkeypatch):
    runs()

    def refuse(settings):
        raise EngineError("Permission denied.")

    monkeypatch.setattr(runner, "status", refuse)
    assert look("runner").remedy == "./bin/invoke runner status"
