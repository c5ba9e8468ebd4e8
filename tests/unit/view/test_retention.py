"""What people see of what is kept and what goes."""

from pipeline.view import retention

GONE = {"images": ["n:a"], "containers": [], "releases": ["a-1"], "dumps": [], "cache_bytes": 0}
NOTHING = {kind: [] for kind in GONE} | {"cache_bytes": 0}


def test_what_stays_is_shown_with_why_and_what_goes_with_its_kind(capsys):
    value = {"removed": GONE, "bytes": 1_500_000, "kept": {"b-1": "live"}}
    retention.pruned(value, dry_run=False)
    assert capsys.readouterr().out.splitlines() == [
        "keeps    release   b-1  (live)",
        "removed  image     n:a",
        "removed  release   a-1",
        "removed: about 1.5 MB",
    ]


def test_a_dry_run_does_not_say_that_anything_went(capsys):
    value = {"removed": GONE | {"cache_bytes": 2_000_000}, "bytes": 2_000_000, "kept": {}}
    retention.pruned(value, dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        "would go image     n:a",
        "would go release   a-1",
        "would go cache     2 MB of builds",
        "would go: about 2.0 MB",
    ]


def test_where_nothing_goes_that_is_said(capsys):
    retention.pruned({"removed": NOTHING, "bytes": 0, "kept": {}}, dry_run=False)
    assert capsys.readouterr().out == "nothing to remove\n"


def test_pins(capsys):
    value = {"sha": "a" * 40, "releases": ["a-1", "a-2"], "pinned": {"a-1": "today"}}
    retention.pinned(value, verb="pinned")
    retention.pinned(value | {"releases": []}, verb="unpinned")
    assert capsys.readouterr().out.splitlines() == [
        "pinned: a-1, a-2 of commit aaaaaaaaaaaa",
        "pinned   a-1  since today",
        "unpinned: no release of commit aaaaaaaaaaaa",
        "pinned   a-1  since today",
    ]
