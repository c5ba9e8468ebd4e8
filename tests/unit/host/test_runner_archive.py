"""The runner's archive and GitHub's answers, without a network; over one: tests/contract."""

import hashlib
import io
import json
import ssl
import tarfile
from contextlib import contextmanager
from pathlib import Path
from socket import gaierror
from types import SimpleNamespace

import pytest
import requests
from urllib3.exceptions import ProtocolError

from pipeline.errors import UnavailableError, UsageError
from pipeline.host.runner import archive, github, web
from tests.unit.host.runners import URL

BUNDLE = Path("/nonexistent")
API = "https://api.example.org"


def packed(**members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


RELEASE = packed(**{"config.sh": b"c", "run.sh": b"r", "bin/Runner.Listener": b"l"})


@pytest.fixture
def answer(monkeypatch):
    """Let every question be answered by this, which a test changes."""
    made = SimpleNamespace(status=200, body=RELEASE, headers={}, fails=None, asked=[])

    @contextmanager
    def get(url, **options):
        made.asked.append((url, options))
        if isinstance(made.fails, requests.RequestException):
            raise made.fails
        yield SimpleNamespace(
            status_code=made.status,
            headers=made.headers,
            iter_content=chunks,
            raw=SimpleNamespace(read=lambda limit, decode_content: made.body[:limit]),
        )

    def chunks(size):
        yield made.body[:10]
        if made.fails:
            raise made.fails
        yield made.body[10:]

    monkeypatch.setattr(requests, "get", get)
    return made


def digest():
    return hashlib.sha256(RELEASE).hexdigest()


def fetch(part, sha256):
    archive.download("https://example.org/r", part, sha256=sha256, ca_bundle=BUNDLE)


def caused_by(cause):
    error = requests.ConnectionError("x")
    error.__cause__ = ProtocolError("y")
    error.__cause__.__context__ = cause
    return error


@pytest.fixture
def part(tmp_path):
    return tmp_path / "archive.part"


def test_what_has_the_right_digest_is_kept_and_unpacked(answer, part, tmp_path):
    fetch(part, digest())
    archive.unpack(part, tmp_path / "files")
    assert (tmp_path / "files/bin/Runner.Listener").read_bytes() == b"l"
    ((_, options),) = answer.asked
    assert options["stream"]
    assert options["auth"]("as it was") == "as it was"


def test_what_has_another_digest_is_removed(answer, part):
    with pytest.raises(UsageError, match=digest()) as caught:
        fetch(part, "0" * 64)
    assert "0" * 64 in caught.value.message
    assert not part.exists()


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (caused_by(ProtocolError("reset")), "the connection broke off"),
        (caused_by(gaierror(-2, "Name or service not known")), "name is not known"),
        (caused_by(ConnectionRefusedError()), "connection refused"),
        (caused_by(ssl.SSLCertVerificationError()), "certificate is not trusted"),
        (requests.exceptions.ProxyError("x"), "the proxy"),
        (requests.exceptions.SSLError("x"), "TLS"),
        (requests.Timeout("x"), "no answer in time"),
    ],
)
def test_every_failure_on_the_way_is_said_in_words(answer, part, fails, says):
    answer.fails = fails
    with pytest.raises(UnavailableError, match=says):
        fetch(part, digest())
    assert not part.exists()


def test_one_that_breaks_off_in_the_middle_is_removed(answer, part):
    answer.fails = ProtocolError("IncompleteRead")
    with pytest.raises(UnavailableError, match="broke off"):
        fetch(part, digest())
    assert not part.exists()


def test_a_full_disk_is_said(answer, part, monkeypatch):
    answer.fails = OSError(28, "No space left on device")
    with pytest.raises(UnavailableError, match="No space left on device"):
        fetch(part, digest())
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=499))
    answer.fails, answer.headers = None, {"Content-Length": "100"}
    with pytest.raises(UnavailableError, match="MB left"):
        fetch(part, digest())
    assert not part.exists()


@pytest.mark.parametrize("headers", [{"Content-Length": "999"}, {}])
def test_one_that_is_too_large_is_refused(answer, part, monkeypatch, headers):
    monkeypatch.setattr(archive, "LIMIT", 20)
    answer.headers = headers
    with pytest.raises(UnavailableError, match="is larger than"):
        fetch(part, digest())


def test_one_that_is_not_there_or_never_comes_is_said(answer, part, monkeypatch):
    answer.status = 404
    with pytest.raises(UnavailableError, match="HTTP status 404"):
        fetch(part, digest())
    monkeypatch.setattr(archive, "within", lambda seconds, look, otherwise: otherwise)
    with pytest.raises(UnavailableError, match="did not come within"):
        fetch(part, digest())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed(**{"../outside": b"x"}), "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
        (RELEASE[: len(RELEASE) // 2], "cannot be unpacked"),
        (packed(**{"config.sh": b"x"}), "is no runner's"),
    ],
    ids=["above", "no archive", "half", "something else"],
)
def test_what_is_no_safe_archive_of_a_runner_is_refused(part, tmp_path, content, says):
    part.write_bytes(content)
    with pytest.raises(UnavailableError, match=says):
        archive.unpack(part, tmp_path / "inner")
    assert not (tmp_path / "outside").exists()


def test_one_that_unpacks_to_too_much_is_refused(part, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "UNPACKED_LIMIT", 2)
    part.write_bytes(RELEASE)
    with pytest.raises(UnavailableError, match="holds more than"):
        archive.unpack(part, tmp_path / "inner")


def ask(url=URL, api=API):
    return github.refuse_public(url, api=api, ca_bundle=BUNDLE)


@pytest.mark.parametrize(("status", "body"), [(404, {}), (200, {"private": True})])
def test_a_private_repository_may_have_a_runner(answer, status, body):
    answer.status, answer.body = status, json.dumps(body).encode()
    assert ask() == ""
    assert answer.asked[0][0] == f"{API}/repos/owner/repository"


def test_a_public_repository_may_not(answer):
    answer.body = b'{"private": false}'
    with pytest.raises(UsageError, match="could run code on this machine"):
        ask()


@pytest.mark.parametrize(
    ("status", "body"), [(403, b"{}"), (200, b"{}"), (200, b"[]"), (200, b"no JSON"), (500, b"")]
)
def test_in_doubt_it_is_refused(answer, status, body):
    answer.status, answer.body = status, body
    with pytest.raises(UnavailableError, match=f"status {status}") as caught:
        ask()
    assert "--allow-public" in caught.value.hint


def test_an_api_that_does_not_answer_is_doubt(answer):
    answer.fails = caused_by(gaierror())
    with pytest.raises(UnavailableError, match="name is not known"):
        ask()


def test_an_organisation_is_warned_of_and_another_server_needs_its_own_api(answer):
    assert "runner group" in ask("https://github.com/owner")
    with pytest.raises(UsageError, match="is not known to"):
        ask("https://git.example.org/owner/repository", github.API)
    assert answer.asked == []


def test_a_bundle_that_is_there_is_trusted(answer, tmp_path):
    (tmp_path / "ca.crt").touch()
    with web.asked(API, ca_bundle=tmp_path / "ca.crt"):
        pass
    assert answer.asked[0][1]["verify"] == str(tmp_path / "ca.crt")
