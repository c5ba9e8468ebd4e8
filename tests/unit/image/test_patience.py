import pytest

from pipeline.errors import RegistryError
from pipeline.image import distribution
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.manifests import digest_of
from tests.unit.image.planned_answers import Planned, answer

BASE = "https://registry.example/v2/team/app"
ONE = f"{BASE}/manifests/one"
DIGEST = digest_of(b"other")
FOUND = answer(Docker_Content_Digest=DIGEST)


@pytest.fixture
def planned():
    return Planned()


@pytest.fixture
def repository(planned, settings):
    with distribution.connect(settings) as repository:
        repository._session.mount("https://", planned)
        yield repository


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(distribution.time, "sleep", slept.append)
    return slept


def test_a_busy_registry_is_asked_again(repository, planned, pauses):
    planned.on("HEAD", ONE, answer(503), answer(429), FOUND)

    assert repository.digest("one") == DIGEST
    assert pauses == [1.0, 3.0]


def test_and_named_in_the_end(repository, planned, pauses):
    planned.on("HEAD", ONE, answer(503))

    with pytest.raises(BusyError, match="busy or out of order"):
        repository.digest("one")

    assert len(planned.asked) == 3


def test_it_may_say_when(repository, planned, pauses):
    planned.on("HEAD", ONE, answer(429, Retry_After="7"), answer(429, Retry_After="9999"), FOUND)

    assert repository.digest("one") == DIGEST
    assert pauses == [7.0, distribution.LONGEST_PAUSE]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_refused_or_unknown_stays_so(status, repository, planned, pauses):
    planned.on("GET", f"{BASE}/blobs/{DIGEST}", answer(status))

    with pytest.raises(RegistryError):
        repository.blob(DIGEST)

    assert (len(planned.asked), pauses) == (1, [])


def test_who_does_not_answer_is_not_asked_again(repository, planned, pauses):
    planned.on("HEAD", ONE, ConnectionRefusedError(111, "Connection refused"))

    with pytest.raises(NoAnswerError, match="connection refused"):
        repository.digest("one")

    assert (len(planned.asked), pauses) == (1, [])


def test_a_busy_token_service_is_asked_again(repository, planned, pauses):
    realm = "https://tokens.example/t"
    asked = f"{realm}?scope=repository%3Ateam%2Fapp%3Apull"
    challenge = answer(401, WWW_Authenticate=f'Bearer realm="{realm}"')
    planned.on("HEAD", ONE, challenge, FOUND)
    planned.on("GET", asked, answer(503), answer(200, b'{"token": "t"}'))

    assert repository.digest("one") == DIGEST
    assert pauses == [1.0]
    assert planned.asked[-1] == ("HEAD", ONE, "Bearer t")
