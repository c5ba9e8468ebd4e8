"""What users saw, and what it says about a deployment."""

import pytest

from tests.bench import samples
from tests.bench.samples import WARM_UP, Sample, UnseenError

OLD, NEW = "a" * 40, "b" * 40
STARTED, ENDED = 100.0, 103.0


def crowd(*special, until=105.0, live=101.0, took=0.002):
    """Return samples every 10 ms around a command, the old commit's before `live`."""
    begun = [STARTED - 2 + 0.01 * n for n in range(round((until - STARTED + 2) / 0.01))]
    begun = [STARTED - 10 + n / 1000 for n in range(WARM_UP)] + begun
    return [Sample(at, at + took, "", NEW if at >= live else OLD) for at in begun] + [*special]


def seen(found):
    return samples.seen(
        found, started=STARTED, ended=ENDED, sha=NEW, reported={"phases": {"cutover": 0.004}}
    )


def test_live_is_when_only_the_new_release_answers():
    assert seen(crowd()).live == pytest.approx(1.0, abs=0.02)
    straggler = Sample(101.4, 101.5, "", OLD)
    assert seen(crowd(straggler)).live == pytest.approx(1.5, abs=0.02)


def test_a_release_that_never_answers_alone_is_no_figure():
    with pytest.raises(UnseenError, match=f"^{NEW[:12]} never answered alone; {OLD[:12]} did"):
        seen(crowd(live=999.0))
    with pytest.raises(UnseenError, match="never answered alone"):
        seen(crowd(Sample(104.9, 106.0, "", OLD)))


def test_a_service_that_does_not_work_beforehand_is_no_figure():
    broken = Sample(STARTED - 1, STARTED - 0.99, "GET /: 503", "")
    with pytest.raises(UnseenError, match="1 requests were lost before the command"):
        seen(crowd(broken))


def test_what_was_lost_is_counted_and_no_latency():
    lost = Sample(STARTED + 0.5, STARTED + 0.9, "GET /: 503", "")
    found = seen(crowd(lost))
    assert found.lost == ("GET /: 503",)
    assert max(found.during) == pytest.approx(0.002)


def test_the_first_requests_warm_up():
    slow = Sample(STARTED - 10, STARTED - 5, "", OLD)
    found = seen([slow, *crowd()[1:]])
    assert max(found.before) == pytest.approx(0.002)
    assert found.sent == len(crowd()) - WARM_UP


def test_during_ends_soon_after_the_new_release_is_live():
    in_time = Sample(101.9, 102.1, "", "")
    late = Sample(102.5, 104.5, "", "")
    assert max(seen(crowd(in_time, late)).during) == pytest.approx(0.2)


def test_before_and_during_are_split_where_the_command_starts():
    before = Sample(STARTED - 0.1, STARTED + 0.4, "", "")
    during = Sample(STARTED, STARTED + 0.3, "", "")
    found = seen(crowd(before, during))
    assert max(found.before) == pytest.approx(0.5)
    assert max(found.during) == pytest.approx(0.3)


def test_the_longest_gap_counts_right_answers_only():
    found = [Sample(t, t, "", "") for t in (0.0, 1.0, 4.0, 5.0)] + [Sample(2.0, 2.0, "503", "")]
    assert samples.longest_gap(found, since=0.5, until=5.0) == 3.0
    assert samples.longest_gap([], since=1.0, until=3.5) == 2.5  # nobody at all


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_a_percentile_is_a_value_that_was_there(share, value):
    assert samples.percentile(reversed(range(1, 101)), share) == value


def test_a_percentile_of_one_value():
    assert samples.percentile([7.0], 0.99) == 7.0


def test_a_ratio_of_something_unknown_is_unknown():
    assert samples.ratio(3.0, 2.0) == 1.5
    assert samples.ratio(None, 2.0) is samples.ratio(3.0, None) is samples.ratio(3.0, 0.0) is None


def test_a_row_is_medians_of_times_and_sums_of_counts():
    lost = Sample(STARTED + 0.5, STARTED + 0.51, "GET /: 503", "")
    rounds = [seen(crowd(live=live)) for live in (101.0, 101.5)] + [seen(crowd(lost, live=103.0))]
    row = samples.summary(rounds, floor=0.5)
    assert row["live_seconds"] == pytest.approx(1.5, abs=0.02)
    assert row["live_over_floor"] == pytest.approx(row["live_seconds"] / 0.5)
    assert row["live_above_floor_seconds"] == pytest.approx(row["live_seconds"] - 0.5)
    assert row["total_seconds"] == ENDED - STARTED
    assert (row["lost"], row["sent"]) == (1, sum(each.sent for each in rounds))
    assert row["lost_because"] == ["GET /: 503"]
    assert row["p99_during_over_before"] == pytest.approx(1.0)
    assert row["p50_before_ms"] == pytest.approx(2.0)
    assert row["switch_ms"] == 4.0
    assert row["reported_live_seconds"] is None


def test_a_tool_that_reports_nothing_has_no_switch():
    silent = samples.seen(crowd(), started=STARTED, ended=ENDED, sha=NEW, reported={})
    assert samples.summary([silent], floor=0.5)["switch_ms"] is None
