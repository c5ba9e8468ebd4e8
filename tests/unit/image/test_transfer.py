from types import SimpleNamespace

import docker as sdk
import pytest
from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as Unreachable
from urllib3.exceptions import ReadTimeoutError

from pipeline.errors import EngineError, RegistryError
from pipeline.image import distribution, transfer
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.ref import ImageRef

REF = ImageRef(name="registry.example/team/app", tag="abc")
MOVING = {
    "status": "Pushing",
    "id": "a",
    "progressDetail": {"current": 1_000_000, "total": 4_000_000},
}


class Engine:
    """Its API, and what it says: each attempt takes the next of `says`; an exception is raised."""

    def __init__(self):
        self.says = []
        self.attempts = []
        self.asked, self.ended = [], []
        self.closed = 0
        self.now = 0.0

    def push(self, name, **how):
        self.attempts.append(("push", name, how["tag"]))
        for each in self.says.pop(0):
            if isinstance(each, Exception):
                raise each
            if isinstance(each, float):
                self.now += each
            else:
                yield each

    def pull(self, name, **how):
        yield from self.push(name, **how)

    def send(self, request, **how):
        self.asked.append((request, how))
        return SimpleNamespace(close=lambda: self.ended.append(request))

    def close(self):
        self.closed += 1


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    client = SimpleNamespace(api=engine, close=engine.close)
    monkeypatch.setattr(sdk, "from_env", lambda **how: client)
    monkeypatch.setattr(transfer.time, "monotonic", lambda: engine.now)
    monkeypatch.setattr(distribution.time, "sleep", lambda seconds: None)
    return engine


def test_a_stream_to_its_end(engine, settings, lines):
    engine.says = [[{"status": "Preparing"}, MOVING, {"aux": {"Digest": "sha256:x"}}]]

    transfer.push(settings, REF, lines.append)

    assert engine.attempts == [("push", REF.name, "abc")]
    assert (engine.closed, lines) == (1, [])


def test_progress_is_of_the_moment_and_not_for_every_event(engine, settings, lines):
    more = MOVING | {"progressDetail": {"current": 3_000_000, "total": 4_000_000}}
    engine.says = [[MOVING, 0.3, MOVING, MOVING, 0.3, more, 0.3, {"status": "Pushed", "id": "a"}]]

    transfer.push(settings, REF, lines.append)

    assert lines == ["\rpush: 1.0 of 4.0 MB", "\rpush: 3.0 of 4.0 MB", "\rpush: waiting"]


@pytest.mark.parametrize(
    ("said", "kind", "message", "attempts"),
    [
        ("denied: permission_denied", RegistryError, "refused registry.example/team/app:abc", 1),
        ("insufficient_scope: authorization failed", RegistryError, "refused", 1),
        ("no basic auth credentials", RegistryError, "refused", 1),
        ("toomanyrequests: slow down", BusyError, "busy", 3),
        ("unexpected status from PUT request to x: 503 Service Unavailable", BusyError, "busy", 3),
        ("received unexpected HTTP status: 500 Internal Server Error", BusyError, "busy", 3),
        ('failed commit on ref "config-sha256:a": unexpected commit size', BusyError, "digest", 3),
        ("dial tcp: connect: connection refused", RegistryError, "connection refused", 1),
        ("failed size validation", RegistryError, "failed size validation", 1),
        ("no matching manifest for linux/arm64/v8", RegistryError, "for the platform of this", 1),
        ("no match for platform in manifest: not found", RegistryError, "for the platform of", 1),
    ],
)
@pytest.mark.parametrize("form", ["error", "errorDetail"])
def test_an_error_in_the_stream_is_one(
    form, said, kind, message, attempts, engine, settings, lines
):
    error = {"error": said} if form == "error" else {"errorDetail": {"message": said}}
    engine.says = [[MOVING, error, {"status": "Pushed"}] for _ in range(attempts)]

    with pytest.raises(RegistryError, match=message) as told:
        transfer.push(settings, REF, lines.append)

    assert type(told.value) is kind
    assert told.value.exit_code == 1
    assert told.value.hint
    assert len(engine.attempts) == engine.closed == attempts


def test_the_words_of_a_name_mean_nothing(engine, settings, lines):
    ref = ImageRef(name="registry.example/denied/toomanyrequests", tag="abc")
    engine.says = [[{"error": f'Get "https://{ref.name}/503 Service": {ref.name}: not known'}]]

    with pytest.raises(RegistryError, match="could not be asked"):
        transfer.push(settings, ref, lines.append)


def test_a_pull_is_bounded_and_ended_too(engine, settings, lines):
    def pull(name, **how):
        engine.send("a pull", timeout=None, stream=True)
        yield {"error": "broken"}

    engine.pull = pull

    with pytest.raises(RegistryError, match="broken"):
        transfer.pull(settings, REF, lines.append)

    assert engine.asked == [("a pull", {"timeout": 60, "stream": True})]
    assert engine.ended == ["a pull"]


def test_a_busy_registry_is_tried_again(engine, settings, lines):
    engine.says = [[{"error": "toomanyrequests: x"}], [{"status": "Pushed"}]]

    transfer.push(settings, REF, lines.append)

    assert len(engine.attempts) == 2


def test_an_engine_that_repeats_itself_has_no_news(engine, settings, lines):
    engine.says = [[MOVING, *([30.0, MOVING] * 10)]]

    with pytest.raises(NoAnswerError, match="no news for 60 s") as late:
        transfer.push(settings, REF, lines.append)

    assert "PIPELINE_STALL_TIMEOUT" in late.value.hint


def test_a_transfer_past_its_deadline(engine, settings, lines):
    steps = [MOVING | {"progressDetail": {"current": n, "total": 99}} for n in range(30)]
    engine.says = [[each for step in steps for each in (step, 50.0)]]

    with pytest.raises(NoAnswerError, match="not done within 600 s"):
        transfer.push(settings, REF, lines.append)


@pytest.mark.parametrize(
    "silence", [ReadTimeoutError(None, "", "Read timed out."), Unreachable("Read timed out.")]
)
def test_silence(silence, engine, settings, lines):
    engine.says = [[MOVING, silence]]

    with pytest.raises(NoAnswerError, match="no news"):
        transfer.pull(settings, REF, lines.append)


@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        (APIError("404", explanation="denied: x"), RegistryError, "refused"),
        (APIError("500", explanation="no such host"), RegistryError, "no such host"),
        (Unreachable("broken pipe"), EngineError, "broke off the push"),
    ],
)
def test_trouble_with_the_engine(trouble, kind, message, engine, settings, lines):
    engine.says = [[trouble]]

    with pytest.raises(kind, match=message):
        transfer.push(settings, REF, lines.append)

    assert engine.closed == 1


def test_no_engine(monkeypatch, settings, lines):
    def nobody(**how):
        assert how["timeout"] == 60
        raise DockerException("connection refused")

    monkeypatch.setattr(sdk, "from_env", nobody)

    with pytest.raises(EngineError, match="No Docker Engine answers") as told:
        transfer.pull(settings, REF, lines.append)

    assert "invoke host" in told.value.hint
