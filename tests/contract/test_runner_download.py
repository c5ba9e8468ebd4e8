"""The runner's archive and the question to GitHub's API, over real HTTP on loopback."""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError, UnavailableError, UsageError
from pipeline.host.runner import archive, github
from tests.contract import runners
from tests.contract.runners import URL, GitHub

NO_BUNDLE = Path("/nonexistent")
RELEASE = runners.archive("2.330.0")
REPOSITORY = "/repos/owner/repository"


@pytest.fixture
def server() -> Iterator[GitHub]:
    with runners.serving() as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "archive.part"


def fetch(server: GitHub, part: Path, behaviour: str = "whole", *, sha256: str = "") -> None:
    found = server.release("r", RELEASE, behaviour)
    url = f"{server.address}/r.tar.gz"
    archive.download(url, part, sha256=sha256 or found, ca_bundle=NO_BUNDLE)


def test_the_archive_that_was_expected_is_kept(server: GitHub, part: Path) -> None:
    fetch(server, part)
    assert part.read_bytes() == RELEASE


def test_another_archive_is_removed_and_both_digests_are_named(server: GitHub, part: Path) -> None:
    with pytest.raises(UsageError, match="is not the one that was expected") as caught:
        fetch(server, part, sha256="0" * 64)
    assert "0" * 64 in caught.value.message
    assert runners.digest(RELEASE) in caught.value.message
    assert not part.exists()


@pytest.mark.parametrize("behaviour", ["short", "reset"])
def test_a_download_that_breaks_off_leaves_nothing(
    server: GitHub, part: Path, behaviour: str
) -> None:
    with pytest.raises(UnavailableError, match="the connection broke off") as caught:
        fetch(server, part, behaviour)
    assert "the same command tries again" in caught.value.hint
    assert not part.exists()
    fetch(server, part)


def test_one_that_never_ends_is_given_up(
    server: GitHub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "DEADLINE", 0.3)
    with pytest.raises(UnavailableError, match=r"did not come within 0\.3 s"):
        fetch(server, part, "held")
    assert not part.exists()


def test_one_that_is_not_there_names_the_status(server: GitHub, part: Path) -> None:
    with pytest.raises(UnavailableError, match="HTTP status 404") as caught:
        archive.download(f"{server.address}/none", part, sha256="0" * 64, ca_bundle=NO_BUNDLE)
    assert "runner_version" in caught.value.hint


@pytest.mark.parametrize("said", [True, False], ids=["said", "sent"])
def test_one_that_is_too_large_is_not_kept(
    server: GitHub, part: Path, monkeypatch: pytest.MonkeyPatch, said: bool
) -> None:
    monkeypatch.setattr(archive, "LIMIT", 100)
    server.lengthless = not said
    with pytest.raises(UnavailableError, match="is larger than"):
        fetch(server, part)
    assert not part.exists()


def test_a_disk_that_is_full_is_named_first(
    server: GitHub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(part.parent)._replace(free=len(RELEASE) * 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UnavailableError, match="MB left"):
        fetch(server, part)
    assert not part.exists()


def test_a_server_that_is_not_there_is_named(part: Path) -> None:
    with pytest.raises(UnavailableError, match="connection refused"):
        archive.download("http://127.0.0.1:9/r", part, sha256="0" * 64, ca_bundle=NO_BUNDLE)


def member(name: str, kind: bytes, target: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        made = tarfile.TarInfo(name)
        made.type, made.linkname = kind, target
        tar.addfile(made)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        runners.packed({"../outside": b"x"}),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "../../outside"),
        member("link", tarfile.LNKTYPE, "../outside"),
        member("device", tarfile.CHRTYPE),
        b"no archive",
        RELEASE[: len(RELEASE) // 2],
    ],
    ids=["above", "absolute link", "link above", "hard link", "device", "no archive", "half"],
)
def test_a_dangerous_or_broken_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "archive", tmp_path / "inner/files")
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "inner/outside").exists()


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(runners.packed({"run.sh": b""}))
    with pytest.raises(UnavailableError, match=r"no config\.sh, no bin/Runner\.Listener"):
        archive.unpack(tmp_path / "archive", tmp_path / "files")


def test_one_that_would_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "UNPACKED_LIMIT", 100)
    (tmp_path / "archive").write_bytes(RELEASE)
    with pytest.raises(UnavailableError, match="holds more than"):
        archive.unpack(tmp_path / "archive", tmp_path / "files")


def ask(server: GitHub, url: str = URL) -> str:
    return github.refuse_public(url, api=server.address, ca_bundle=NO_BUNDLE)


def test_a_private_repository_may_have_a_runner(server: GitHub) -> None:
    assert ask(server) == ""
    assert server.asked == [REPOSITORY]


def test_one_that_a_login_of_the_machine_shows_is_not_asked_for_by_it(
    server: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    ask(server)
    assert server.logins == []


def test_a_public_repository_may_not_and_it_is_said_why(server: GitHub) -> None:
    server.repository(private=False)
    with pytest.raises(UsageError, match="could run code on this machine") as caught:
        ask(server)
    assert "--allow-public" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"message": "API rate limit exceeded"}),
        (200, {"message": "something else"}),
        (200, ["no object"]),
        (500, None),
    ],
)
def test_where_nobody_can_tell_it_is_refused(server: GitHub, status: int, body: object) -> None:
    server.api[REPOSITORY] = (status, json.dumps(body).encode())
    with pytest.raises(UnavailableError, match=f"answers with status {status}") as caught:
        ask(server)
    assert "--allow-public" in caught.value.hint


def test_an_api_that_is_not_there_is_refused_too() -> None:
    with pytest.raises(UnavailableError, match="connection refused"):
        github.refuse_public(URL, api="http://127.0.0.1:9", ca_bundle=NO_BUNDLE)


def test_of_an_organisation_it_is_not_asked_but_said(server: GitHub) -> None:
    assert "runner group" in ask(server, "https://github.com/owner")
    assert server.asked == []


def test_another_server_of_githubs_needs_its_own_api() -> None:
    with pytest.raises(PipelineError, match="is not known to") as caught:
        github.refuse_public(
            "https://git.example.org/owner/repository", api=github.API, ca_bundle=NO_BUNDLE
        )
    assert "PIPELINE_GITHUB_API" in caught.value.hint
