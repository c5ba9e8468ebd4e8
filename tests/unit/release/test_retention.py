"""Which releases stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release.release import release
from pipeline.release.retention import keep


def of(names):
    return [
        release(sha=name * 40, image=f"i@{name}", compose="", env_hash="", migrations="")
        for name in names
    ]


def ids(names):
    return [each.id for each in of(names)]


def test_the_last_ones_stay_by_when_they_were_live():
    assert list(keep(of("abcd"), held={}, last=2)) == ids("ab")


def test_what_is_held_does_not_count():
    held = {ids("a")[0]: "live", ids("d")[0]: "pinned"}
    kept = keep(of("abcde"), held=held, last=2)
    assert list(kept) == ids("adbc")
    assert [kept[each] for each in ids("adbc")] == [
        "live",
        "pinned",
        "one of the last 2",
        "one of the last 2",
    ]


def test_what_is_held_and_never_was_live_stays():
    assert keep([], held={"x": "interrupted"}, last=5) == {"x": "interrupted"}


NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


@given(names=NAMES, held=st.sets(st.sampled_from("abcdef")), last=st.integers(1, 8))
def test_never_more_than_asked_for_and_nothing_that_is_held_goes(names, held, last):
    why = dict.fromkeys(ids(held), "held")
    kept = keep(of(names), held=why, last=last)
    assert why.keys() <= kept.keys()
    others = [each for each in ids(names) if each not in why]
    assert list(kept)[len(why) :] == others[:last]


@pytest.mark.parametrize("last", [1, 3])
def test_a_release_that_stays_stays_until_as_many_others_were_live(last):
    names = list("abcdef")
    for newest in range(len(names)):
        lives = of(reversed(names[: newest + 1]))
        kept = keep(lives, held={lives[0].id: "live"}, last=last)
        assert list(kept) == [each.id for each in lives[: last + 1]]
