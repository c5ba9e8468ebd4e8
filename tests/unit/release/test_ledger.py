import sqlite3
import stat
from dataclasses import replace

import pytest

from pipeline.errors import UnavailableError
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.release import release


def a_release(name):
    return release(
        sha=name * 40,
        image=f"ghcr.io/panager/panager@sha256:{name * 64}",
        compose="services: {}",
        env_hash="",
        migrations="m1",
    )


A, B, C = (a_release(name) for name in "abc")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.db")


def record(ledger, outcome, target=None, *, kind="deploy", **changes):
    if target:
        ledger.record_release(target)
    return ledger.record(
        Deployment(
            kind=kind,
            release=target.id if target else None,
            colour="blue" if target else None,
            outcome=outcome,
            **changes,
        )
    )


def shas(lives):
    return "".join(found.sha[0] for _, found in lives)


def sha(found):
    return found[1].sha[0] if found else None


def test_before_the_first_deployment_there_is_nothing_and_looking_makes_nothing(ledger, tmp_path):
    assert ledger.live() is None
    assert ledger.previous() is None
    assert ledger.lives() == []
    assert ledger.history() == []
    assert list(tmp_path.iterdir()) == []


def test_what_was_recorded_comes_back(ledger):
    given = Deployment(
        kind="rollback",
        release=A.id,
        colour="green",
        replicas=2,
        outcome="live",
        seconds=2.5,
        live_seconds=1.25,
        phases={"pull": 0.5, "start": 1.0},
        requests={"sent": 3, "failed": 0, "p99_ms": None},
        error={"message": 'it\'s "odd" ☃'},
    )
    ledger.record_release(A)
    number = ledger.record(given)
    assert ledger.live() == (replace(given, id=number), A)
    assert list(ledger.live()[0].phases) == ["pull", "start"]


def test_the_file_is_the_owner_s_alone(ledger, tmp_path):
    record(ledger, "live", A)
    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600


def test_a_deployment_is_brought_up_to_date_by_its_id(ledger):
    ledger.record_release(A)
    running = Deployment(kind="deploy", release=A.id, colour=None)
    number = ledger.record(running)
    assert ledger.live() is None
    again = ledger.record(replace(running, id=number, colour="blue", outcome="live"))
    assert again == number
    assert len(ledger.history()) == 1
    assert ledger.live()[0].colour == "blue"


def test_a_release_is_kept_once(ledger):
    ledger.record_release(A)
    ledger.record_release(A)
    record(ledger, "live", A)
    assert sha(ledger.live()) == "a"


@pytest.mark.parametrize("outcome", ["running", "failed", "rolled-back"])
def test_what_did_not_get_live_changes_nothing(outcome, ledger):
    record(ledger, "live", A)
    record(ledger, outcome, B)
    assert sha(ledger.live()) == "a"
    assert ledger.previous() is None
    assert shas(ledger.lives()) == "a"


def test_previous_is_the_last_other_release(ledger):
    for target in (A, B, B):
        record(ledger, "live", target)
    assert sha(ledger.live()) == "b"
    assert sha(ledger.previous()) == "a"


def test_a_rollback_of_a_rollback_goes_forward_again(ledger):
    for target in (A, B, C):
        record(ledger, "live", target)
    record(ledger, "live", ledger.previous()[1], kind="rollback")
    assert sha(ledger.live()) == "b"
    assert sha(ledger.previous()) == "c"


def test_another_env_of_the_same_commit_is_another_release(ledger):
    other = release(sha=A.sha, image=A.image, compose="services: {}", env_hash="x", migrations="m1")
    record(ledger, "live", A)
    record(ledger, "live", other)
    assert ledger.previous()[1] == A


def test_after_down_nothing_is_live_but_everything_is_known(ledger):
    for target in (A, B):
        record(ledger, "live", target)
    record(ledger, "stopped", kind="down")
    assert ledger.live() is None
    assert sha(ledger.previous()) == "a"
    assert shas(ledger.lives()) == "ba"


def test_what_is_deployed_after_down_is_live(ledger):
    record(ledger, "live", A)
    record(ledger, "stopped", kind="down")
    record(ledger, "live", B)
    assert sha(ledger.live()) == "b"
    assert sha(ledger.previous()) == "a"


def test_lives_are_each_once_newest_first(ledger):
    for target in (A, B, C, A):
        record(ledger, "live", target)
    assert shas(ledger.lives()) == "acb"


def test_history_is_newest_first_with_commit_and_digest(ledger):
    record(ledger, "failed", A, error={"message": "no"})
    record(ledger, "stopped", kind="down")
    record(ledger, "live", B)
    newest, down, oldest = ledger.history()
    assert (newest["sha"], newest["digest"]) == (B.sha, B.digest)
    assert (down["kind"], down["sha"], down["digest"]) == ("down", None, None)
    assert (oldest["id"], oldest["outcome"], oldest["error"]) == (1, "failed", {"message": "no"})


def test_history_ends_at_its_limit(ledger):
    for _ in range(3):
        record(ledger, "live", A)
    assert [row["id"] for row in ledger.history(limit=2)] == [3, 2]


def test_an_empty_file_of_a_killed_deployment_is_no_ledger_yet(ledger, tmp_path):
    (tmp_path / "ledger.db").touch()
    assert ledger.live() is None
    assert (tmp_path / "ledger.db").stat().st_size == 0
    record(ledger, "live", A)
    assert sha(ledger.live()) == "a"


def test_a_newer_schema_is_refused(ledger, tmp_path):
    record(ledger, "live", A)
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    for use in (ledger.live, ledger.history, lambda: record(ledger, "live", B)):
        with pytest.raises(UnavailableError, match=r"another version \(schema 99\)") as caught:
            use()
    assert "state_dir" in caught.value.hint


def test_a_corrupt_file_is_refused_and_left_as_it_is(ledger, tmp_path):
    (tmp_path / "ledger.db").write_text("this is no database" * 100)
    for use in (ledger.live, ledger.history, lambda: record(ledger, "live", B)):
        with pytest.raises(UnavailableError, match="file is not a database") as caught:
            use()
    assert caught.value.exit_code == 1
    assert (tmp_path / "ledger.db").read_text().startswith("this is no database")


def test_a_folder_that_is_not_there(tmp_path):
    ledger = Ledger(tmp_path / "nix/ledger.db")
    assert ledger.live() is None
    with pytest.raises(UnavailableError, match="unable to open database file"):
        ledger.record_release(A)


def test_a_folder_that_may_not_be_entered(ledger, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.exists", refuse)
    with pytest.raises(UnavailableError, match="Permission denied"):
        ledger.live()


def test_a_file_that_cannot_be_written(ledger, monkeypatch):
    record(ledger, "live", A)
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr("pipeline.release.ledger.sqlite3.connect", read_only)
    assert sha(ledger.live()) == "a"
    with pytest.raises(UnavailableError, match="readonly database"):
        record(ledger, "live", B)


def test_a_database_that_stays_locked(ledger, tmp_path, monkeypatch):
    record(ledger, "live", A)
    connect = sqlite3.connect
    monkeypatch.setattr(
        "pipeline.release.ledger.sqlite3.connect", lambda path, timeout: connect(path, timeout=0)
    )
    db = connect(tmp_path / "ledger.db", isolation_level=None)
    try:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="database is locked"):
            ledger.live()
    finally:
        db.close()


def test_what_cannot_be_kept_changes_nothing(ledger):
    record(ledger, "live", A)
    with pytest.raises(UnavailableError, match="replicas"):
        record(ledger, "live", B, replicas="many")
    assert sha(ledger.live()) == "a"


def test_a_ledger_of_the_version_before_is_brought_up(ledger, tmp_path):
    record(ledger, "live", A)
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("ALTER TABLE deployment DROP COLUMN plan")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    assert ledger.live()[1].id == A.id
    assert ledger.unfinished() is None or ledger.unfinished()[0].plan is None


def test_the_journal_is_kept_until_the_end(ledger):
    ledger.record_release(A)
    plan = {"strategy": "rolling", "steps": [], "finish": [], "undo": []}
    begun = Deployment(kind="deploy", release=A.id, colour=None, plan=plan)
    number = ledger.record(begun)
    found, release = ledger.unfinished()
    assert (found.id, found.plan, release) == (number, plan, A)
    assert "plan" not in ledger.history()[0]
    ledger.record(replace(found, outcome="live"))
    assert ledger.unfinished()[0].outcome == "live"  # recorded, and not yet finished
    ledger.record(replace(found, outcome="live", seconds=1.0, plan=None))
    assert ledger.unfinished() is None
