import pytest
from docker.errors import APIError

from pipeline.errors import EngineError, UnavailableError
from pipeline.host.client import connect


def test_the_client_is_closed_after_use(engine):
    with connect() as client:
        assert client.version() == {"Version": "26.1.5"}
    assert engine.did == ["close"]


def test_no_engine_is_our_error(no_engine):
    with pytest.raises(EngineError, match="No Docker Engine answers") as caught, connect():
        pass
    assert caught.value.details == "FileNotFoundError"


def test_a_refusal_is_our_error(engine):
    with pytest.raises(EngineError, match="refused: no space"), connect():
        raise APIError("no space")
    assert engine.did == ["close"]


def test_our_own_errors_pass_through(engine):
    with pytest.raises(UnavailableError, match="ours"), connect():
        raise UnavailableError("ours")
