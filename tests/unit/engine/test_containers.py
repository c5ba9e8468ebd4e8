from types import SimpleNamespace

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as NoConnection

from pipeline.engine.compose import ComposeEngine
from pipeline.errors import EngineError
from pipeline.ports import Replica
from tests.unit.engine.conftest import Api, container, engine


def gone(*_):
    return NotFound("no such container")


def inspected(number, **changes):
    return {
        "Id": number,
        "Name": f"/app-blue-{number}",
        "State": {"Status": "running", "ExitCode": 0},
        "RestartCount": 0,
        "NetworkSettings": {"Networks": {"app_default": {"IPAddress": "172.18.0.5"}}},
        "Config": {
            "Image": "ghcr.io/o/r@sha256:d",
            "Labels": {
                "org.opencontainers.image.revision": "abc",
                "com.docker.compose.container-number": "1",
                "pipeline.release": "abc-1",
            },
            "Env": ["KEY=a=b", "EMPTY="],
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
        number=1,
        release="abc-1",
        env={"KEY": "a=b", "EMPTY": ""},
    )


@pytest.mark.parametrize("networks", [{}, {"app_default": {"IPAddress": ""}}])
def test_a_replica_that_ended_has_no_address(networks):
    ended = {
        "State": {"Status": "exited", "ExitCode": 3},
        "RestartCount": 2,
        "NetworkSettings": {"Networks": networks},
        "Config": {"Image": "i", "Labels": None, "Env": None},
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
    for each in ("1", "3"):  # at once, but each in this order
        assert [call for call in api.calls if call[1] == each] == [
            ("stop", each, {"timeout": 15}),
            ("remove_container", each, {"force": True}),
        ]
    assert len(api.calls) == 4


def test_only_some_are_stopped_and_at_once_where_there_is_no_time():
    api = Api(container("1", "blue"), container("2", "blue"), remove_container=lambda _: None)
    engine(api).stop("blue", timeout=0, only=["2"])
    assert api.calls == [("remove_container", "2", {"force": True})]


def test_a_container_that_is_being_removed_already_is_no_failure():
    busy = APIError("removal is in progress", response=SimpleNamespace(status_code=409))
    api = Api(container("1", "blue"), remove_container=lambda _: busy)
    engine(api).stop("blue", timeout=0)


def test_the_last_exit_code_of_one_that_was_started_again_is_in_the_events():
    again = {"RestartCount": 1}
    ends = [{"Actor": {"Attributes": {"exitCode": code}}} for code in ("1", "7")]
    api = Api(
        container("1", "blue"),
        inspect_container=lambda each: inspected(each, **again),
        events=lambda: ends,
    )
    (found,) = engine(api).replicas("blue")
    assert (found.restarts, found.exit_code) == (1, 7)
    (_, asked) = next(call for call in api.calls if call[0] == "events")
    assert asked["filters"] == {"container": "1", "event": "die"}


def test_an_engine_that_restarts_is_waited_for(monkeypatch):
    answers = iter([NoConnection("refused"), NoConnection("refused")])
    api = Api(container("1", "blue"), inspect_container=lambda each: next(answers, inspected(each)))
    asking = engine(api)
    asking._answered = True
    monkeypatch.setattr("pipeline.engine.compose.POLL", 0)
    assert len(asking.replicas("blue")) == 1


def test_an_engine_that_stays_away_is_told(monkeypatch):
    api = Api(container("1", "blue"), logs=lambda *_: NoConnection("refused"))
    asking = engine(api)
    asking._answered = True
    monkeypatch.setattr("pipeline.engine.compose.PATIENCE", 0)
    with pytest.raises(EngineError, match="refused"):
        asking.logs("blue", lines=1)


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
