"""`invoke pin` and `invoke unpin`."""

import shutil

import pytest

from pipeline import pin as pinning
from pipeline.errors import LockedError, UsageError
from pipeline.pin import pin, unpin
from pipeline.release import lock
from pipeline.release.pins import Pins
from tests.unit.delivery.conftest import A, B

UNKNOWN = "c" * 40


@pytest.fixture(autouse=True)
def _fakes(host, monkeypatch):
    monkeypatch.setattr(pinning, "_parts", lambda settings, report: host.delivery())


def ids(host, sha):
    return [each.id for _, each in host.delivery().ledger.lives() if each.sha == sha]


def pinned(host):
    return list(Pins(host.delivery().state.ledger).all())


def test_every_release_of_a_commit_that_is_kept_is_pinned(host):
    host.deploy(A)
    host.env["KEY"] = "other"
    host.deploy(A)
    host.deploy(B)
    first, second = ids(host, A)
    found = pin(host.settings, A, report=print)
    assert found["sha"] == A
    assert found["releases"] == [first, second]
    assert set(found["pinned"]) == set(pinned(host)) == {first, second}


def test_one_whose_files_are_gone_is_not(host):
    host.deploy(A)
    host.env["KEY"] = "other"
    host.deploy(A)
    second, first = ids(host, A)
    shutil.rmtree(host.folder / "state/releases" / first)
    assert pin(host.settings, A, report=print)["releases"] == [second]


def test_twice_is_once(host):
    host.deploy(A)
    once = pin(host.settings, A, report=print)
    assert pin(host.settings, A, report=print) == once


@pytest.mark.parametrize("sha", [UNKNOWN, B])
def test_what_was_never_live_here_is_refused_with_what_can_be_had(sha, host):
    host.deploy(A)
    host.break_image(B, healthy=False)
    host.deploy(B)
    with pytest.raises(UsageError, match=f"No release of commit {sha[:12]} is kept here") as caught:
        pin(host.settings, sha, report=print)
    assert caught.value.hint == f"These can be had: {A[:12]}."
    assert caught.value.exit_code == 2
    assert pinned(host) == []


@pytest.mark.parametrize("command", [pin, unpin])
def test_where_nothing_ever_was_live_nothing_is_made(command, host):
    with pytest.raises(UsageError, match=UNKNOWN[:12]):
        command(host.settings, UNKNOWN, report=print)
    assert not (host.folder / "state").exists()


@pytest.mark.parametrize("command", [pin, unpin])
@pytest.mark.parametrize("sha", ["no such thing", "-x", "", "a\nb"])
def test_a_commit_that_is_none_is_refused(command, sha, host):
    host.deploy(A)
    with pytest.raises(UsageError):
        command(host.settings, sha, report=print)


def test_while_somebody_decides_what_goes_nothing_is_pinned(host, monkeypatch):
    host.deploy(A)
    monkeypatch.setattr(lock, "SHORT_WAIT", 0.0)
    with lock.hold(host.folder / "state/lock", command="prune"), pytest.raises(LockedError):
        pin(host.settings, A, report=print)
    assert pinned(host) == []


def test_what_is_unpinned_is_no_longer_pinned_and_the_others_are(host):
    for sha in (A, B):
        host.deploy(sha)
        pin(host.settings, sha, report=print)
    found = unpin(host.settings, A, report=print)
    assert found["releases"] == ids(host, A)
    assert list(found["pinned"]) == pinned(host) == ids(host, B)
    assert unpin(host.settings, A, report=print)["releases"] == []


def test_unpinning_what_was_never_live_names_what_is_pinned(host):
    host.deploy(A)
    pin(host.settings, A, report=print)
    with pytest.raises(UsageError, match="was ever live here") as caught:
        unpin(host.settings, UNKNOWN, report=print)
    assert caught.value.hint == f"These releases are pinned: {ids(host, A)[0]}."


def test_a_release_that_went_cannot_be_had_and_what_can_is_listed(host):
    for sha in (A, B):
        host.deploy(sha)
    shutil.rmtree(host.folder / "state/releases" / ids(host, A)[0])
    with pytest.raises(UsageError, match="cannot be had any more") as caught:
        host.rollback(A)
    assert caught.value.hint == f"These can be had: {B[:12]}."
