import pytest

from pipeline.errors import CommandError, EngineError
from tests.unit.engine.conftest import COMPOSE, Api, container, engine


def test_a_colour_is_started_afresh_from_the_image_that_is_here(ran, a_bundle):
    engine().start("green", a_bundle, replicas=3, timeout=9)
    up = ("up", "--detach", "--no-deps", "--no-build", "--pull", "never", "--force-recreate")
    argv = (*COMPOSE, *up, "--scale", "green=3", "green")
    assert ran == [(argv, {"timeout": 9, "env": a_bundle.variables})]


def test_migrations_run_in_a_container_of_their_own(ran, a_bundle):
    engine().migrate(a_bundle, timeout=8)
    argv = (*COMPOSE, "run", "--rm", "--no-deps", "--no-TTY", "migrate")
    assert ran == [(argv, {"timeout": 8, "env": a_bundle.variables})]


@pytest.mark.parametrize(("volumes", "more"), [(False, ()), (True, ("--volumes",))])
def test_removing_everything_keeps_the_data_unless_asked(volumes, more, ran, a_bundle):
    engine().remove(a_bundle, volumes=volumes, timeout=7)
    argv = (*COMPOSE, "--profile", "*", "down", "--remove-orphans", *more)
    assert ran == [(argv, {"timeout": 7, "env": a_bundle.variables})]


UP = ("up", "--detach", "--no-recreate", "--no-build", "--wait", "db", "proxy")


@pytest.mark.parametrize(
    "listed",
    [
        (),
        (container(1, "db", status="Up 5 hours (healthy)"),),
        (
            container(1, "db", status="Up 5 hours (healthy)"),
            container(2, "proxy", status="Up 1 second (health: starting)"),
        ),
        (
            container(1, "db", status="Up 5 hours (healthy)"),
            container(2, "proxy", status="Up 5 hours (unhealthy)"),
        ),
    ],
)
def test_shared_services_are_made_sure_of(listed, ran, a_bundle):
    engine(Api(*listed)).ensure_services(a_bundle, timeout=5)
    assert ran == [((*COMPOSE, *UP), {"timeout": 5, "env": a_bundle.variables})]


def test_what_is_missing_is_said(ran, a_bundle):
    gone, api = "There is no volume either: the data is gone, and a database would be empty.", Api()
    nothing = ("There is no container of db.", "There is no container of proxy.", gone)
    assert engine(api).missing() == engine(api).ensure_services(a_bundle, timeout=5) == nothing
    api.kept = [{"Name": "app_db-data"}]
    assert engine(api).missing() == nothing[:2]
    api.listed = [container(1, "db", state="exited"), container(2, "proxy")]
    assert engine(api).missing() == ("db is exited.",)


def test_a_network_that_is_gone_takes_its_containers_with_it(ran, a_bundle):
    api = Api(container(1, "db", state="exited"), remove_container=lambda *_: None)
    ran.failure = CommandError("failed", code=1, details="network 5f1 not found")
    with pytest.raises(EngineError):
        engine(api).ensure_services(a_bundle, timeout=5)
    assert len(ran) == 2
    assert api.calls == [("remove_container", 1, {"force": True})]


def test_shared_services_that_are_healthy_are_left_alone(ran, a_bundle):
    healthy = (
        container(n, name, status="Up 5 hours (healthy)") for n, name in enumerate(("db", "proxy"))
    )
    engine(Api(*healthy)).ensure_services(a_bundle, timeout=5)
    assert ran == []


@pytest.mark.parametrize("words", ["port is already allocated", "bind: address already in use"])
def test_a_port_that_is_taken_is_named_and_nothing_half_made_stays(words, ran, a_bundle):
    ran.failure = CommandError("docker failed", code=1, details=f"Error: {words}")
    api = Api(
        container(1, "db"), container(2, "proxy", state="created"), remove_container=lambda _: None
    )
    with pytest.raises(EngineError, match="Port 8000 of this machine is in use") as caught:
        engine(api).ensure_services(a_bundle, timeout=5)
    assert api.calls == [("remove_container", 2, {"force": True})]
    assert "PIPELINE_PORT" in caught.value.hint
    assert caught.value.exit_code == 1


def test_services_that_do_not_get_healthy_are_told(ran, a_bundle):
    ran.failure = CommandError(
        "docker failed", code=1, details="a\ncontainer app-db-1 is unhealthy\n"
    )
    with pytest.raises(EngineError, match="failed: container app-db-1 is unhealthy") as caught:
        engine(Api()).ensure_services(a_bundle, timeout=5)
    assert caught.value.details == "a\ncontainer app-db-1 is unhealthy\n"


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (CommandError("`docker` is not installed."), "`docker` is not installed"),
        (CommandError("too slow", details="Pulling"), "too slow"),
        (CommandError("failed", code=1), "failed: failed"),
        (CommandError("failed", code=1, details="why\n"), "failed: why"),
    ],
)
def test_what_compose_cannot_do_is_an_error_of_the_engine(failure, says, ran, a_bundle):
    ran.failure = failure
    with pytest.raises(EngineError, match=says) as caught:
        engine().migrate(a_bundle, timeout=5)
    assert caught.value.__cause__ is failure
    assert "invoke doctor" in caught.value.hint


def test_missing_replicas_are_added_to_those_that_are_there(ran, a_bundle):
    engine().start("green", a_bundle, replicas=3, timeout=9, keep=True)
    assert "--no-recreate" in ran[0][0]
    assert "--force-recreate" not in ran[0][0]


def test_a_command_that_an_engine_took_with_it_is_given_again(monkeypatch, ran, a_bundle):
    ran.failure = CommandError("failed", code=1, details="Cannot connect to the Docker daemon")
    asking = engine(Api(ping=lambda: ran.__setattr__("failure", None)))
    asking._answered = True
    asking.start("green", a_bundle, replicas=1, timeout=9)
    assert len(ran) == 2
