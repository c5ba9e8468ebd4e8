import json
import logging
import traceback
from base64 import b64encode
from dataclasses import replace

import pytest
from docker import auth

from pipeline.errors import RegistryError
from pipeline.image import distribution
from pipeline.image.manifests import OCI_INDEX, OCI_MANIFEST, digest_of, read
from pipeline.settings import Secret
from tests.unit.image.planned_answers import Planned, answer

BASE = "https://registry.example/v2/team/app"
ONE = f"{BASE}/manifests/one"
UPLOADS = f"{BASE}/blobs/uploads/"
UPLOAD = f"{UPLOADS}1?_state=s"
LATEST = f"{BASE}/manifests/latest"
BASIC = b64encode(b"ci:hunter2").decode()
NO_LOGIN = answer(401, WWW_Authenticate='Basic realm="x"')
OTHER = digest_of(b"other")
IMAGE = {"mediaType": OCI_MANIFEST, "digest": OTHER, "size": 7}
CONTENT = json.dumps(
    {
        "schemaVersion": 2,
        "manifests": [
            IMAGE | {"platform": {"os": "linux", "architecture": "amd64"}},
            IMAGE
            | {
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": OTHER,
                },
            },
        ],
    }
).encode()
INDEX = read(CONTENT, OCI_INDEX)
BY_DIGEST = f"{BASE}/manifests/{INDEX.digest}"


@pytest.fixture
def planned():
    return Planned()


@pytest.fixture
def connect(planned):
    made = []

    def connect(settings):
        repository = distribution.connect(settings)
        repository._session.mount("https://", planned)
        made.append(repository)
        return repository

    yield connect
    for repository in made:
        repository.__exit__(None, None, None)


@pytest.fixture
def repository(connect, settings):
    return connect(settings)


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(distribution.time, "sleep", slept.append)
    return slept


def told(digest=INDEX.digest, content=CONTENT, status=200):
    return answer(status, content, Docker_Content_Digest=digest, Content_Type=OCI_INDEX)


class TestDigest:
    def test_of_a_tag_and_of_itself(self, repository, planned):
        planned.on("HEAD", ONE, told())
        planned.on("HEAD", BY_DIGEST, told())

        assert repository.digest("one") == INDEX.digest
        assert repository.digest(INDEX.digest) == INDEX.digest

    def test_unknown(self, repository, planned):
        planned.on("HEAD", ONE, answer(404))
        assert repository.digest("one") is None

    @pytest.mark.parametrize("header", ["", "sha256:1", "sha512:" + "0" * 128, f"{OTHER}0"])
    def test_a_registry_that_does_not_say(self, header, repository, planned):
        planned.on("HEAD", ONE, told(digest=header))
        planned.on("GET", ONE, answer(200, CONTENT, Content_Type=OCI_INDEX))

        assert repository.digest("one") == INDEX.digest

    def test_that_is_gone_meanwhile(self, repository, planned):
        planned.on("HEAD", ONE, answer(200))
        planned.on("GET", ONE, answer(404))

        assert repository.digest("one") is None

    def test_other_content_than_asked_for(self, repository, planned):
        planned.on("HEAD", BY_DIGEST, told(digest=OTHER))

        with pytest.raises(RegistryError, match=f"{OTHER} instead of {INDEX.digest}"):
            repository.digest(INDEX.digest)


class TestManifest:
    @pytest.mark.parametrize("header", [INDEX.digest, "", "nonsense"])
    def test_an_index_with_attestations(self, header, repository, planned):
        planned.on("GET", ONE, told(digest=header))

        found = repository.manifest("one")

        assert found == INDEX
        assert found.platforms == ("linux/amd64",)
        assert [each.subject for each in found.attestations] == [OTHER]

    def test_unknown(self, repository, planned):
        planned.on("GET", ONE, answer(404))
        assert repository.manifest("one") is None

    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            ("one", told(digest=OTHER)),
            (OTHER, told()),
            (INDEX.digest, told(digest=OTHER)),
            (INDEX.digest, answer(200, CONTENT[:-1])),
        ],
        ids=["header", "reference", "both", "truncated"],
    )
    def test_other_content_than_it_should_be(self, reference, said, repository, planned):
        planned.on("GET", f"{BASE}/manifests/{reference}", said)

        with pytest.raises(RegistryError, match=f"other content for registry.example.*{reference}"):
            repository.manifest(reference)

    @pytest.mark.parametrize("status", [204, 301, 400, 405, 410])
    def test_an_answer_that_makes_no_sense(self, status, repository, planned):
        planned.on("GET", ONE, answer(status, Location="ftp://x"))

        with pytest.raises(RegistryError, match=rf"HTTP status {status} for|unsafe address"):
            repository.manifest("one")


class TestBlob:
    def test_is_hashed(self, repository, planned):
        planned.on("GET", f"{BASE}/blobs/{OTHER}", answer(200, b"other"))
        assert repository.blob(OTHER) == b"other"

    def test_may_lie_elsewhere(self, repository, planned):
        elsewhere = "https://bucket.example/x"
        planned.on("GET", f"{BASE}/blobs/{OTHER}", NO_LOGIN, answer(307, Location=elsewhere))
        planned.on("GET", elsewhere, answer(200, b"other"))

        assert repository.blob(OTHER) == b"other"
        assert planned.asked[-2:] == [
            ("GET", f"{BASE}/blobs/{OTHER}", f"Basic {BASIC}"),
            ("GET", elsewhere, ""),
        ]

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            (answer(200, b"othe"), "other content"),
            (answer(404), "has no place for"),
        ],
    )
    def test_that_is_none(self, said, message, repository, planned):
        planned.on("GET", f"{BASE}/blobs/{OTHER}", said)

        with pytest.raises(RegistryError, match=message):
            repository.blob(OTHER)

    def test_that_is_too_large(self, repository, planned, monkeypatch):
        monkeypatch.setattr(distribution, "BLOB_LIMIT", 4)
        planned.on("GET", f"{BASE}/blobs/{OTHER}", answer(200, b"other"))

        with pytest.raises(RegistryError, match="more than 4 bytes"):
            repository.blob(OTHER)

    def test_a_login_is_not_for_another_host(self, repository, planned):
        elsewhere = "https://bucket.example/x"
        planned.on("GET", f"{BASE}/blobs/{OTHER}", answer(307, Location=elsewhere))
        planned.on("GET", elsewhere, NO_LOGIN)

        with pytest.raises(RegistryError, match="refused"):
            repository.blob(OTHER)

        assert {sent for _, _, sent in planned.asked} == {""}


class TestPut:
    def test_then_it_is_looked_at(self, repository, planned):
        planned.on("PUT", ONE, answer(201))
        planned.on("HEAD", ONE, told())

        repository.put("one", INDEX)

        assert [method for method, _, _ in planned.asked] == ["PUT", "HEAD"]
        assert planned.bodies[0] == CONTENT

    @pytest.mark.parametrize(
        ("there", "names"), [(told(digest=OTHER), OTHER), (answer(404), "nothing")]
    )
    def test_something_else_is_there(self, there, names, repository, planned):
        planned.on("PUT", ONE, answer(201))
        planned.on("HEAD", ONE, there)

        with pytest.raises(RegistryError, match=f"registry.example/team/app:one names {names}"):
            repository.put("one", INDEX)

    def test_content_that_is_missing(self, repository, planned):
        said = {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "x\x1b[31m"}, {"code": 1}]}
        planned.on("PUT", ONE, answer(404, json.dumps(said).encode()))

        with pytest.raises(RegistryError, match="not all of its content") as refused:
            repository.put("one", INDEX)

        assert refused.value.details == "HTTP status 404: MANIFEST_BLOB_UNKNOWN: x [31m; 1: "


class TestRights:
    @pytest.mark.parametrize("said", [told(), answer(404)])
    def test_to_pull(self, said, repository, planned):
        planned.on("HEAD", LATEST, said)
        repository.prove_pull()

    @pytest.mark.parametrize("location", [UPLOAD, UPLOAD.removeprefix("https://registry.example")])
    def test_to_push(self, location, repository, planned):
        planned.on("POST", UPLOADS, answer(202, Location=location))
        planned.on("DELETE", UPLOAD, answer(204))

        repository.prove_push()

        assert [method for method, _, _ in planned.asked] == ["POST", "DELETE"]

    def test_behind_tls_of_which_the_registry_does_not_know(self, repository, planned):
        location = UPLOAD.replace("https", "http")
        planned.on("POST", UPLOADS, answer(202, Location=location))
        planned.on("DELETE", UPLOAD, answer(204))

        repository.prove_push()

        assert planned.asked[-1][:2] == ("DELETE", UPLOAD)

    @pytest.mark.parametrize("said", [answer(405), answer(404), answer(503), answer(403)])
    def test_an_upload_that_cannot_be_taken_back(self, said, repository, planned, pauses):
        planned.on("POST", UPLOADS, answer(202, Location=UPLOAD))
        planned.on("DELETE", UPLOAD, said)

        repository.prove_push()

        assert planned.asked[-1][0] == "DELETE"

    @pytest.mark.parametrize(
        "location", ["https://other.example/v2/uploads/1", "https://registry.example/x", "", "//["]
    )
    def test_a_login_is_not_for_another_address(self, location, repository, planned):
        planned.on("POST", UPLOADS, answer(202, Location=location))

        repository.prove_push()

        # "" leads to the address of the question, which no upload has
        assert [url for _, url, _ in planned.asked] == [UPLOADS]

    @pytest.mark.parametrize("status", [200, 307, 400, 404, 405])
    def test_to_push_is_not_proven_by_another_answer(self, status, repository, planned):
        planned.on("POST", UPLOADS, answer(status, Location="/x"))

        with pytest.raises(RegistryError, match=r"a push to registry\.example/team/app"):
            repository.prove_push()

    @pytest.mark.parametrize("prove", ["prove_pull", "prove_push"])
    @pytest.mark.parametrize("said", [NO_LOGIN, answer(403), answer(401)])
    def test_refused(self, prove, said, repository, planned):
        planned.on("HEAD", LATEST, said)
        planned.on("POST", UPLOADS, said)

        with pytest.raises(RegistryError, match=r"^The registry registry\.example ref") as refused:
            getattr(repository, prove)()

        assert "invoke login" in refused.value.hint
        assert len(planned.asked) <= 2


class TestLogin:
    def test_is_sent_when_it_is_wanted(self, repository, planned):
        planned.on("HEAD", ONE, NO_LOGIN, told())
        planned.on("GET", ONE, told())

        repository.digest("one")
        repository.manifest("one")

        assert [sent for _, _, sent in planned.asked] == ["", f"Basic {BASIC}", f"Basic {BASIC}"]

    def test_a_helper_that_fails_is_no_matter_where_nobody_asks(
        self, connect, settings, planned, monkeypatch
    ):
        monkeypatch.setattr(auth, "load_config", lambda: auth.AuthConfig({"credsStore": "nosuch"}))
        repository = connect(replace(settings, registry_user="", registry_password=Secret("")))
        planned.on("HEAD", ONE, told(), NO_LOGIN)

        assert repository.digest("one") == INDEX.digest
        with pytest.raises(RegistryError, match="docker-credential-nosuch"):
            repository.digest("one")

    def test_is_found_nowhere_else(self, repository, planned, caplog, capsys):
        caplog.set_level(logging.DEBUG)
        said = {"errors": [{"code": "DENIED", "message": f"hunter2 {BASIC}"}]}
        planned.on("HEAD", ONE, NO_LOGIN, answer(403))
        planned.on("GET", ONE, answer(403, json.dumps(said).encode()))
        planned.on("PUT", ONE, answer(400, json.dumps(said).encode()))
        planned.on("POST", UPLOADS, ConnectionRefusedError(111, f"hunter2 {BASIC}"))
        shown = [repr(repository), str(vars(repository))]

        for ask in (
            lambda: repository.digest("one"),
            lambda: repository.manifest("one"),
            lambda: repository.put("one", INDEX),
            repository.prove_push,
        ):
            with pytest.raises(RegistryError) as raised:
                ask()
            shown += [str(raised.value.as_dict()), repr(raised.value)]
            if ask != repository.prove_push:  # there it is in what the test itself has raised
                shown += traceback.format_exception(raised.value)

        shown += [caplog.text, *capsys.readouterr()]
        assert not [secret for secret in ("hunter2", BASIC) if secret in "".join(shown)]
        assert planned.asked[-1][2] == f"Basic {BASIC}"
