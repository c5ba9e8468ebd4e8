import json
from base64 import b64encode
from urllib.parse import parse_qs

import pytest

from pipeline.errors import RegistryError
from pipeline.image import http, tokens
from pipeline.image.credentials import Login
from pipeline.image.tokens import Challenge, Keys
from pipeline.settings import Secret
from tests.unit.image.planned_answers import Planned, answer

REALM = "https://tokens.example/token"
BEARER = f'Bearer realm="{REALM}",service="the registry",scope="repository:other:pull,push"'
PULL = "repository:team/app:pull"
PUSH = "repository:team/app:pull,push"
ASKED = f"{REALM}?service=the+registry&scope=repository%3Ateam%2Fapp%3Apull"
BASIC = f"Basic {b64encode(b'ci:hunter2').decode()}"
PASSWORD = Login(user="ci", password=Secret("hunter2"))
IDENTITY = Login(identity_token=Secret("1dentity"))


@pytest.fixture
def planned():
    return Planned()


@pytest.fixture
def keys(planned, settings):
    session = http.session(settings)
    session.mount("https://", planned)
    session.mount("http://", planned)

    def keys(login=PASSWORD, base="https://registry.example"):
        find = login if callable(login) else lambda: login
        return Keys(session, base=base, host="registry.example", find_login=find)

    yield keys
    session.close()


def token(value="t0ken", name="token"):
    return answer(200, json.dumps({name: value}).encode())


class TestChallenges:
    @pytest.mark.parametrize(
        ("header", "found"),
        [
            ("", []),
            ("Basic", [Challenge(scheme="basic")]),
            ('Basic realm="a"', [Challenge(scheme="basic", realm="a")]),
            (
                'bearer realm="https://a/b",service=c,scope="d:e,f"',
                [Challenge(scheme="bearer", realm="https://a/b", service="c")],
            ),
            (
                'Negotiate, Basic realm="a, b" , Bearer Realm = "c" , SERVICE="say \\"d\\""',
                [
                    Challenge(scheme="negotiate"),
                    Challenge(scheme="basic", realm="a, b"),
                    Challenge(scheme="bearer", realm="c", service='say "d"'),
                ],
            ),
            ('"Basic" realm="a"', []),
        ],
    )
    def test_are_read(self, header, found):
        assert tokens.challenges(header) == found


class TestBasic:
    def test_opens_everything(self, keys):
        ours = keys()
        assert ours.header(PULL) == ""

        ours.open('Basic realm="x"', PULL, "a test")

        assert ours.header(PULL) == ours.header(PUSH) == BASIC

    @pytest.mark.parametrize("login", [None, IDENTITY])
    def test_needs_a_password(self, login, keys):
        with pytest.raises(RegistryError, match=r"registry\.example refused a test") as refused:
            keys(login).open("Basic", PULL, "a test")

        assert "invoke login" in refused.value.hint

    def test_what_we_do_not_speak(self, keys):
        with pytest.raises(RegistryError, match="refused a test"):
            keys().open("Negotiate", PULL, "a test")


class TestBearer:
    @pytest.mark.parametrize("name", ["token", "access_token"])
    def test_the_password_buys_a_token_for_our_own_scope(self, name, keys, planned):
        planned.on("GET", ASKED, token(name=name))
        ours = keys()

        ours.open(f"Basic, {BEARER}", PULL, "a test")

        assert (ours.header(PULL), ours.header(PUSH)) == ("Bearer t0ken", "")
        assert planned.asked == [("GET", ASKED, BASIC)]

    def test_nobody_may_get_one_too(self, keys, planned):
        planned.on("GET", ASKED, token())
        ours = keys(None)

        ours.open(BEARER, PULL, "a test")

        assert ours.header(PULL) == "Bearer t0ken"
        assert planned.asked == [("GET", ASKED, "")]

    def test_an_address_that_asks_already(self, keys, planned):
        planned.on("GET", f"{REALM}?a=b&scope=repository%3Ateam%2Fapp%3Apull", token())

        keys().open(f'Bearer realm="{REALM}?a=b"', PULL, "a test")

        assert len(planned.asked) == 1

    def test_an_identity_token_goes_into_the_body(self, keys, planned):
        planned.on("POST", REALM, token(name="access_token"))
        ours = keys(IDENTITY)

        ours.open(BEARER, PULL, "a test")

        assert ours.header(PULL) == "Bearer t0ken"
        assert planned.asked == [("POST", REALM, "")]
        assert parse_qs(planned.bodies[0].decode()) == {
            "grant_type": ["refresh_token"],
            "client_id": ["pipeline"],
            "refresh_token": ["1dentity"],
            "service": ["the registry"],
            "scope": [PULL],
        }

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_refused(self, status, keys, planned):
        planned.on("GET", ASKED, answer(status, b"hunter2"))

        with pytest.raises(RegistryError, match=r"registry\.example refused a test") as refused:
            keys().open(BEARER, PULL, "a test")

        assert "tokens.example" in refused.value.details
        assert "hunter2" not in str(refused.value.as_dict())

    @pytest.mark.parametrize(
        "said",
        [
            answer(404),
            answer(302, Location="/x"),
            answer(200, b"x"),
            answer(200, b"[]"),
            answer(200, b"{}"),
            token(1),
            token("a\r\nb"),
            token("a b"),
            token("\N{SNOWMAN}"),
        ],
        ids=str,
    )
    def test_no_token_in_the_answer(self, said, keys, planned):
        planned.on("GET", ASKED, said)
        planned.on("GET", "https://tokens.example/x", answer(404))

        with pytest.raises(
            RegistryError, match=r"tokens\.example of the registry .* gave no token"
        ):
            keys().open(BEARER, PULL, "a test")

    def test_a_busy_service(self, keys, planned):
        planned.on("GET", ASKED, answer(503))

        with pytest.raises(http.BusyError, match=r"tokens\.example is busy"):
            keys().open(BEARER, PULL, "a test")

    @pytest.mark.parametrize(
        "realm", ["http://tokens.example/token", "http://127.0.0.1/t", "", "x"]
    )
    def test_a_password_goes_nowhere_in_the_clear(self, realm, keys, planned):
        with pytest.raises(RegistryError, match="others could read it"):
            keys().open(f'Bearer realm="{realm}"', PULL, "a test")

        assert planned.asked == []

    def test_on_this_machine_nobody_reads_it(self, keys, planned):
        planned.on("GET", "http://127.0.0.1:1/t?scope=repository%3Ateam%2Fapp%3Apull", token())

        ours = keys(base="http://localhost:5000")
        ours.open('Bearer realm="http://127.0.0.1:1/t"', PULL, "a test")

        assert ours.header(PULL) == "Bearer t0ken"


class TestSecrets:
    def test_a_login_is_looked_for_once_and_only_where_it_is_needed(self, keys):
        asked = []

        def find():
            asked.append("login")
            return PASSWORD

        ours = keys(find)
        assert ours.hide_in("hunter2") == "hunter2"
        assert asked == []

        ours.open("Basic", PULL, "a test")
        ours.open("Basic", PUSH, "a test")

        assert asked == ["login"]

    def test_what_was_sent_is_hidden(self, keys, planned):
        planned.on("GET", ASKED, token())
        ours = keys()
        ours.open(BEARER, PULL, "a test")

        sent_back = f"hunter2 {BASIC} Bearer t0ken other"

        assert ours.hide_in(sent_back) == "*** Basic *** Bearer *** other"
        assert not [word for word in ("hunter2", "t0ken") if word in repr(vars(ours))]
