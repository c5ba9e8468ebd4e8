from pathlib import Path

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as NoConnection

from pipeline import shell
from pipeline.engine.compose import ComposeEngine
from pipeline.errors import CommandError, EngineError
from pipeline.ports import Bundle, Replica

ENV = "/state/releases/r/env"
FILE = "/state/releases/r/docker-compose.yml"
COMPOSE = ("docker", "compose", "--progress", "plain", "--project-name", "app")
COMPOSE += ("--project-directory", "/state/releases/r", "--file", FILE, "--env-file", ENV)


@pytest.fixture
def a_bundle():
    return Bundle(
        compose_file=Path(FILE),
        variables={"PIPELINE_IMAGE": "i", "PIPELINE_ENV_FILE": ENV, "PIPELINE_PORT": "8000"},
    )


def container(number, service, *, status="Up 1 second", state="running", **labels):
    return {
        "Id": number,
        "Status": status,
        "State": state,
        "Labels": {"com.docker.compose.service": service, **labels},
    }


class Api:
    """The SDK's client; a call that nobody planned fails the test."""

    def __init__(self, *listed, **plans):
        self.listed, self.plans, self.calls = listed, plans, []

    @property
    def api(self):
        return self

    def containers(self, **asked):
        assert asked == {
            "all": True,
            "filters": {"label": ["com.docker.compose.project=app"]},
        }
        return list(self.listed)

    def __getattr__(self, name):
        plan = self.plans[name]

        def call(*args, **options):
            self.calls.append((name, *args, options))
            answer = plan(*args)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def engine(api=None):
    engine = ComposeEngine("app")
    engine._connected = api
    return engine


@pytest.fixture
def ran(monkeypatch):
    """What was run; `ran.failure` is what comes of it."""

    class Ran(list):
        failure = None

    ran = Ran()

    def run(argv, *, inherit, **options):
        assert not inherit.fullmatch("POSTGRES_PASSWORD")
        assert not inherit.fullmatch("COMPOSE_FILE")
        assert all(map(inherit.fullmatch, ("PATH", "DOCKER_HOST", "https_proxy")))
        ran.append((tuple(argv), options))
        if ran.failure:
            raise ran.failure

    monkeypatch.setattr(shell, "run", run)
    return ran


def gone(*_):
    return NotFound("no such container")


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


def inspected(number, **changes):
    return {
        "Id": number,
        "Name": f"/app-blue-{number}",
        "State": {"Status": "running", "ExitCode": 0},
        "RestartCount": 0,
        "NetworkSettings": {"Networks": {"app_default": {"IPAddress": "172.18.0.5"}}},
        "Config": {
            "Image": "ghcr.io/o/r@sha256:d",
            "Labels": {"org.opencontainers.image.revision": "abc"},
        },
        **changes,
    }


def test_replicas_are_the_colour_s_own_containers():
    api = Api(
        container("1", "blue"),
        container("2", "green"),
        container("3", "blue", **{"com.docker.compose.oneoff": "True"}),
        container("4", "db"),
        container("5", "blue", **{"com.docker.compose.oneoff": "False"}),
        inspect_container=inspected,
    )
    found = engine(api).replicas("blue")
    assert [each.id for each in found] == ["1", "5"]
    assert found[0] == Replica(
        id="1",
        name="app-blue-1",
        state="running",
        exit_code=0,
        restarts=0,
        address="172.18.0.5",
        digest="ghcr.io/o/r@sha256:d",
        revision="abc",
    )


@pytest.mark.parametrize("networks", [{}, {"app_default": {"IPAddress": ""}}])
def test_a_replica_that_ended_has_no_address(networks):
    ended = {
        "State": {"Status": "exited", "ExitCode": 3},
        "RestartCount": 2,
        "NetworkSettings": {"Networks": networks},
        "Config": {"Image": "i", "Labels": None},
    }
    api = Api(container("1", "blue"), inspect_container=lambda each: inspected(each, **ended))
    (found,) = engine(api).replicas("blue")
    assert (found.state, found.exit_code, found.restarts) == ("exited", 3, 2)
    assert (found.address, found.revision) == ("", "")


def test_stopping_removes_every_container_of_the_colour():
    api = Api(
        container("1", "blue"),
        container("2", "green"),
        container("3", "blue"),
        stop=lambda _: None,
        remove_container=lambda _: None,
    )
    engine(api).stop("blue", timeout=14.6)
    assert api.calls == [
        ("stop", "1", {"timeout": 15}),
        ("remove_container", "1", {"force": True}),
        ("stop", "3", {"timeout": 15}),
        ("remove_container", "3", {"force": True}),
    ]


@pytest.mark.parametrize(
    "plans", [{"stop": gone}, {"stop": lambda _: None, "remove_container": gone}]
)
def test_a_container_that_somebody_else_removed_is_stopped(plans):
    engine(Api(container("1", "blue"), **plans)).stop("blue", timeout=1)


def test_a_container_that_goes_meanwhile_is_no_replica_and_says_nothing():
    api = Api(container("1", "blue"), inspect_container=gone, logs=gone)
    assert engine(api).replicas("blue") == ()
    assert engine(api).logs("blue", lines=5) == ""


def test_logs_of_all_replicas():
    said = {"1": b"one\n", "2": b"two \xff\n\n"}
    api = Api(container("1", "blue"), container("2", "blue"), logs=said.get)
    assert engine(api).logs("blue", lines=7) == "one\ntwo \ufffd"
    assert api.calls[0] == ("logs", "1", {"tail": 7})


@pytest.mark.parametrize(
    "failure", [APIError("500 Server Error"), NoConnection("refused"), DockerException("odd")]
)
def test_an_engine_that_refuses_is_told(failure):
    listed = container("1", "blue")
    refuses = dict.fromkeys(("stop", "inspect_container", "logs"), lambda *_: failure)
    refused = engine(Api(listed, **refuses))
    for ask in (
        lambda: refused.stop("blue", timeout=1),
        lambda: refused.replicas("blue"),
        lambda: refused.logs("blue", lines=1),
    ):
        with pytest.raises(EngineError, match="does not answer as it should") as caught:
            ask()
        assert caught.value.__cause__ is failure
        assert "invoke host" in caught.value.hint


def test_an_engine_that_is_not_there_is_told(monkeypatch, a_bundle):
    def refuse(**_):
        raise DockerException("No such file")

    monkeypatch.setattr("docker.from_env", refuse)
    for ask in (
        lambda each: each.replicas("blue"),
        lambda each: each.ensure_services(a_bundle, timeout=1),
    ):
        with pytest.raises(EngineError, match="No such file"):
            ask(ComposeEngine("app"))


def test_the_engine_is_asked_on_one_connection(monkeypatch):
    made = []
    monkeypatch.setattr("docker.from_env", lambda **options: made.append(options) or Api())
    one = ComposeEngine("app")
    assert one.replicas("blue") == one.replicas("green") == ()
    assert made == [{"timeout": 30}]
