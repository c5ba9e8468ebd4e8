"""The results as text, and what they are held against."""

import pytest

from tests.bench.table import COLUMNS, figures, promises, table

ROW = {
    "name": "blue-green-1",
    "live_over_floor": 2.5,
    "live_above_floor_seconds": 0.55,
    "p99_during_over_before": 1.25,
    "throughput_proxy_over_direct": 0.875,
    "live_seconds": 1.5,
    "total_seconds": 6.5,
    "sent": 1200,
    "lost": 0,
    "longest_gap_ms": 31.4,
    "p50_before_ms": 1.94,
    "p50_during_ms": 2.26,
    "switch_ms": 1.0,
}


def measured(rows):
    return {(found["row"], found["what"]): found["met"] for found in figures(rows)}


def test_a_line_for_each_row_and_ratios_first():
    lines = table([ROW, {"name": "x", "error": "no such thing"}], floor=0.6).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["floor:", "blue-green-1", "x", "x"]
    assert lines[2].split()[1:7] == ["2.50", "1.25", "0.88", "1.50", "6.50", "0"]
    assert lines[2].split()[-4:] == ["31", "1.9/2.3", "-/-", "1.0"]
    assert lines[-1] == "x failed: no such thing"
    assert list(COLUMNS)[1:4] == ["live/floor", "p99 during/before", "proxy/direct"]


def test_the_columns_stand_below_each_other():
    lines = table([ROW, ROW | {"name": "compose", "live_over_floor": 10.25}], floor=None)
    header, first, second = lines.splitlines()
    end = header.index("live/floor") + len("live/floor")
    assert (first[:end].split()[-1], second[:end].split()[-1]) == ("2.50", "10.25")


@pytest.mark.parametrize(
    ("name", "what", "good", "bad"),
    [
        ("blue-green-1", "p99_during_over_before", 1.5, 1.51),
        ("rolling-4", "p99_during_over_before", 1.5, 1.51),
        ("rolling-1", "lost", 0, 1),
        ("blue-green-4", "throughput_proxy_over_direct", 0.8, 0.79),
        ("blue-green-1-idle", "live_above_floor_seconds", 0.6, 0.61),
        ("rollback-1", "live_seconds", 0.8, 0.81),
        ("rollback-4-idle", "switch_ms", 50, 51),
    ],
)
def test_each_promise_can_be_broken(name, what, good, bad):
    assert measured([{"name": name, what: good}]) == {(name, what): True}
    assert measured([{"name": name, what: bad}]) == {(name, what): False}


def test_nothing_is_promised_of_others():
    everything = {**ROW, "lost": 99, "p99_during_over_before": 9.0}
    assert not figures([everything | {"name": name} for name in ("compose", "recreate-1", "kamal")])


def test_promises_are_shown_with_their_bounds():
    shown = promises(figures([ROW | {"lost": 2}])).splitlines()
    assert shown == [
        "met      blue-green-1: p99_during_over_before 1.25 (at most 1.5)",
        "NOT MET  blue-green-1: lost 2 (at most 0)",
        "met      blue-green-1: throughput_proxy_over_direct 0.875 (at least 0.8)",
    ]
