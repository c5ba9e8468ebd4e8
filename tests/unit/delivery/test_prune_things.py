"""Which images, containers, files and build cache go with the releases, and which stay."""

import os
from dataclasses import replace

import pytest

from tests.unit.delivery.pruned import a_server, container, id_of, image


@pytest.fixture
def server(host, monkeypatch):
    return a_server(host, monkeypatch)


class TestImages:
    def test_one_that_a_container_uses_stays_whoever_s_it_is(self, server):
        server.released("abcd")
        server.engine.there += [
            container("a", project="another"),
            container("x", project="", image=frozenset({image("b").names[1]})),
        ]
        server.carry_out()
        assert server.images() == "abcd"

    def test_builds_that_wait_stay_up_to_a_number(self, server):
        server.last = 2
        server.released("ab")
        server.engine.kept += map(image, "cdef")
        server.engine.named = dict(zip(map(id_of, "cdef"), "1423", strict=True))
        server.carry_out()
        assert server.images() == "abdf"

    def test_a_few_builds_are_not_looked_at(self, server):
        server.last = 2
        server.engine.kept += map(image, "cd")  # `named_at` would fail
        server.carry_out()
        assert server.images() == "cd"

    def test_one_without_a_name_goes(self, server):
        server.engine.lost = [image("x", names=()), image("y", names=())]
        server.engine.there = [container("y", once=True)]
        assert [each.id[7] for each in server.carry_out().images] == ["x", "y"]
        server.engine.lost = [image("z", names=())]
        server.engine.there = [container("z", state="running", project="another")]
        assert not server.carry_out().images

    def test_other_repositories_are_not_touched(self, server):
        server.released("abc")
        server.engine.kept.append(image("x", names=("postgres:15",)))
        server.carry_out()
        assert server.images() == "bcx"

    def test_those_of_a_repository_that_was_set_before_go(self, server):
        server.released("abc")
        server.host.settings = replace(server.host.settings, repository="else/where")
        server.carry_out()
        assert server.images() == "bc"


class TestContainers:
    def gone(self, server, *there):
        server.engine.there = list(there)
        return [each.id for each in server.carry_out().containers]

    def test_ended_replicas_of_what_is_not_kept_go(self, server):
        server.released("abcd")
        old, kept = server.id("a"), server.id("c")
        assert self.gone(
            server,
            container("1", release=old),
            container("2", release=old, state="created"),
            container("3", release=kept),
            container("4"),  # the database's, or the proxy's
            container("5", release=old, project="another"),
        ) == ["c-1", "c-2"]

    def test_ended_ones_of_a_single_command_go(self, server):
        assert self.gone(
            server,
            container("1", once=True),
            container("2", once=True, state="created"),
            container("3", once=True, state="running"),
        ) == ["c-1"]

    def test_with_one_goes_its_image(self, server):
        server.released("abc")
        assert self.gone(server, container("a", release=server.id("a"))) == ["c-a"]
        assert server.images() == "bc"


class TestFiles:
    def dump(self, server, name, age):
        folder = server.host.folder / "state/dumps"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text("data")
        os.utime(path, (1000 - age, 1000 - age))

    def test_the_newest_dumps_stay(self, server):
        for name, age in (("z.sql", 3), ("a.sql", 4), ("k.sql", 1), ("b.sql", 2)):
            self.dump(server, name, age)
        (server.host.folder / "state/dumps/folder").mkdir()
        gone = server.carry_out()
        assert [each.path.name for each in gone.dumps] == ["z.sql", "a.sql"]
        assert gone.bytes == 8
        left = sorted(each.name for each in (server.host.folder / "state/dumps").iterdir())
        assert left == ["b.sql", "folder", "k.sql"]

    def test_what_is_no_release_s_folder_is_not_touched(self, server):
        server.released("abc")
        folder = server.host.folder / "state/releases"
        (folder / "notes").mkdir()
        (folder / "1234567-12345678").write_text("a file")
        elsewhere = server.host.folder / "elsewhere"
        elsewhere.mkdir()
        (folder / "7654321-12345678").symlink_to(elsewhere)
        server.carry_out()
        assert {"notes", "1234567-12345678", "7654321-12345678"} <= set(server.folders())

    def test_before_the_first_deployment_there_is_nothing(self, server):
        gone = server.carry_out()
        assert gone.as_dict()["removed"]["releases"] == []
        assert not (server.host.folder / "state").exists()


class TestBuildCache:
    def test_it_is_cut_down_to_its_budget(self, server):
        server.engine.cache = 130
        assert server.carry_out().cache_bytes == 30
        assert server.engine.cache == 100

    def test_what_an_image_shared_counts_once_that_has_gone(self, server):
        server.released("abc")
        server.engine.cache = 100
        plan = server.of().plan()
        server.engine.cache = 120
        assert plan.cache_bytes == 0
        assert server.of().carry_out(plan).cache_bytes == 20

    def test_within_it_only_what_is_old_goes(self, server):
        server.engine.cache = 100
        assert server.carry_out().cache_bytes == 0
        assert server.engine.cache == 100
