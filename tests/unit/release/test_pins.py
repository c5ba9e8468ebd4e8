"""Pins in the ledger's database."""

import sqlite3
from datetime import datetime

import pytest

from pipeline.errors import UnavailableError
from pipeline.release import ledger as ledgers
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.pins import Pins
from tests.unit.release.test_ledger import A, B


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def pins(path):
    for each in (A, B):
        Ledger(path).record_release(each)
    return Pins(path)


def test_before_the_first_deployment_nothing_is_pinned_and_looking_makes_nothing(path):
    assert Pins(path).all() == {}
    assert not path.exists()


def test_what_is_pinned_stays_so_until_it_is_let_go(pins):
    pins.add([A.id, B.id])
    assert set(pins.all()) == {A.id, B.id}
    pins.remove([A.id])
    assert set(pins.all()) == {B.id}


def test_a_pin_says_since_when(pins):
    pins.add([A.id])
    assert datetime.fromisoformat(pins.all()[A.id]).tzinfo is not None


def test_pinning_again_changes_nothing(pins, path):
    pins.add([A.id])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE pin SET since = 'long ago'")
    db.close()
    pins.add([A.id])
    assert pins.all() == {A.id: "long ago"}


def test_letting_go_what_is_not_pinned_changes_nothing(pins):
    pins.remove([A.id, "unknown"])
    assert pins.all() == {}


def test_a_ledger_from_before_pins_keeps_all_it_has(path):
    before = ledgers.SCHEMA.replace(ledgers.PIN, "")
    db = sqlite3.connect(path)
    db.executescript(f"BEGIN; {before} PRAGMA user_version = 2; COMMIT;")
    db.execute("INSERT INTO release VALUES ('r', 's', 'i', 'c', 'e', 'm')")
    db.commit()
    db.close()

    Pins(path).add(["r"])

    assert list(Pins(path).all()) == ["r"]
    assert Ledger(path).release("r").sha == "s"
    assert Ledger(path).record(Deployment(kind="deploy", release="r", colour=None)) == 1


def test_two_that_bring_a_ledger_up_at_once_both_get_it(path):
    Ledger(path).record_release(A)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")  # as whoever looked just before the other saw it
    db.close()
    Pins(path).add([A.id])
    assert list(Pins(path).all()) == [A.id]


def test_a_ledger_that_cannot_be_used_is_said(pins, path):
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UnavailableError, match="cannot be used"):
        pins.all()
