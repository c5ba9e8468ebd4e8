"""Which releases go from a host, and which stay."""

import pytest

from pipeline import prune as pruning
from pipeline.release.ledger import Deployment
from tests.fakes import Killed
from tests.unit.delivery.pruned import NAME, a_server, container, id_of, image, sha


@pytest.fixture
def server(host, monkeypatch):
    return a_server(host, monkeypatch)


def test_the_live_one_and_the_last_ones_stay(server):
    server.released("abcd")
    gone = server.carry_out()
    assert server.images() == server.releases() == "cd"
    assert [str(each) for each in gone.images] == [f"{NAME}:{sha('a')}", f"{NAME}:{sha('b')}"]
    assert {each.path.name[0] for each in gone.releases} == {"a", "b"}
    assert list(gone.kept.values()) == ["live", "one of the last 1"]


def test_what_goes_is_told_with_its_bytes(server):
    server.released("abc")
    sizes = sum(
        each.stat().st_size
        for each in (server.host.folder / "state/releases" / server.id("a")).iterdir()
    )
    assert sizes > 0
    expected = server.of().plan()
    gone = server.carry_out()
    assert gone.as_dict()["removed"] == expected.as_dict()["removed"]
    assert gone.bytes == expected.bytes == 10 + sizes
    assert gone.as_dict() == {
        "removed": {
            "images": [f"{NAME}:{sha('a')}"],
            "containers": [],
            "releases": [gone.releases[0].path.name],
            "dumps": [],
            "cache_bytes": 0,
        },
        "bytes": 10 + sizes,
        "kept": {server.id("c"): "live", server.id("b"): "one of the last 1"},
    }


def test_again_there_is_nothing(server):
    server.released("abc")
    server.carry_out()
    assert server.carry_out().bytes == 0
    assert server.images() == "bc"


def test_a_rollback_makes_a_release_young_again(server):
    server.released("abc")
    assert server.host.rollback(sha("a")).error is None
    server.carry_out()
    assert server.images() == server.releases() == "ac"


def test_the_ledger_forgets_nothing(server):
    server.released("abcd")
    server.carry_out()
    assert len(server.host.delivery().ledger.history()) == 4


def test_what_runs_stays(server):
    server.released("abcd")
    server.engine.there.append(container("a", state="running", release=server.id("a")))
    gone = server.carry_out()
    assert server.images() == server.releases() == "acd"
    assert gone.kept[server.id("a")] == "standby"


def test_what_is_pinned_stays(server):
    server.released("abcd")
    server.of().pins.add([server.id("b")])
    server.carry_out()
    assert server.images() == server.releases() == "bcd"
    server.of().pins.remove([server.id("b")])
    server.carry_out()
    assert server.images() == server.releases() == "cd"


def test_what_was_interrupted_stays_with_what_serves(server):
    server.last = 1
    server.released("abc")
    server.host.world.killed_at = ("before", len(server.host.world.events) + 2)
    server.host.break_image(sha("d"), healthy=True)
    with pytest.raises(Killed):
        server.host.deploy(sha("d"))
    server.host.world.killed_at, server.host.world.dead = None, False
    server.engine.kept.append(image("d"))
    gone = server.carry_out()
    assert server.images() == server.releases() == "bcd"
    assert gone.kept[server.id("d")] == "interrupted"


def test_after_a_stop_the_last_one_stays_as_if_it_were_live(server):
    server.released("abc")
    server.host.delivery().ledger.record(
        Deployment(kind="down", release=None, colour=None, outcome="stopped", seconds=0.0)
    )
    gone = server.carry_out()
    assert server.images() == "bc"
    assert gone.kept[server.id("c")] == "live last"


def test_the_files_of_a_failed_deployment_go(server):
    server.released("ab")
    server.host.break_image(sha("c"), healthy=False)
    assert server.host.deploy(sha("c")).error is not None
    assert server.releases() == "abc"
    server.carry_out()
    assert server.releases() == "ab"


def test_one_image_of_two_releases_stays_with_the_younger(server):
    server.released("a")
    server.host.env["KEY"] = "other"
    server.host.deploy(sha("a"))
    server.released("b")
    assert server.releases() == "aab"
    server.carry_out()
    assert server.images() == server.releases() == "ab"


def test_one_that_cannot_be_removed_is_a_warning_and_the_rest_goes(server, monkeypatch):
    server.released("abcd")
    said = len(server.host.said)
    server.engine.there = [container("1", once=True)]
    server.engine.refuses = {id_of("a"), "c-1", "cache"}
    locked = server.id("b")

    def rmtree(path):
        if path.name == locked:
            raise PermissionError(13, "Permission denied")
        remove(path)

    remove = pruning.shutil.rmtree
    monkeypatch.setattr(pruning.shutil, "rmtree", rmtree)
    gone = server.carry_out()
    assert server.images() == "acd"
    assert server.releases() == "bcd"
    assert (gone.containers, gone.cache_bytes) == ((), 0)
    assert [str(each) for each in gone.images] == [f"{NAME}:{sha('b')}"]
    assert [line.partition(":")[0] for line in server.host.said[said:]] == ["warning"] * 4
    assert any(f"{locked} could not be removed" in each for each in server.host.said[said:])
