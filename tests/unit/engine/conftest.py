"""The SDK's client and Compose's command line, in memory."""

from pathlib import Path

import pytest

from pipeline import shell
from pipeline.engine.compose import ComposeEngine
from pipeline.ports import Bundle

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
        self.kept = None  # volumes; so the engine says that there are none

    @property
    def api(self):
        return self

    def containers(self, **asked):
        assert asked == {
            "all": True,
            "filters": {"label": ["com.docker.compose.project=app"]},
        }
        return list(self.listed)

    def volumes(self, **asked):
        assert asked == {"filters": {"label": ["com.docker.compose.project=app"]}}
        return {"Volumes": self.kept}

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
