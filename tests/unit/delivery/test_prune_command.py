"""`invoke prune`, and what follows a deployment."""

import pytest

from pipeline.errors import EngineError, LockedError
from pipeline.prune import after, prune
from pipeline.release import lock
from tests.unit.delivery.pruned import a_server, id_of, image


@pytest.fixture
def server(host, monkeypatch):
    return a_server(host, monkeypatch)


class TestTheCommand:
    def test_it_removes_under_the_lock(self, server, monkeypatch):
        server.released("abc")
        held = []
        remove = server.engine.remove_image
        path = server.host.folder / "state/lock"
        monkeypatch.setattr(
            server.engine,
            "remove_image",
            lambda each: held.append(lock.holder(path)["command"]) or remove(each),
        )
        prune(server.host.settings, report=print)
        assert held == ["prune"]
        assert lock.holder(path) is None

    def test_a_dry_run_removes_nothing_and_takes_no_lock(self, server):
        server.released("abc")
        with lock.hold(server.host.folder / "state/lock", command="deploy"):
            found = prune(server.host.settings, report=print, dry_run=True)
        assert [each.id for each in found.images] == [id_of("a")]
        assert server.images() == server.releases() == "abc"

    def test_it_does_not_disturb_a_deployment(self, server):
        server.released("abc")
        with (
            lock.hold(server.host.folder / "state/lock", command="deploy"),
            pytest.raises(LockedError),
        ):
            prune(server.host.settings, report=print)
        assert server.images() == "abc"


class TestAfterADeployment:
    def said(self, server):
        said = []
        after(server.host.settings, said.append)
        return said + server.host.said

    def test_what_is_old_goes_and_that_is_said(self, server):
        server.released("abc")
        assert self.said(server)[-1] == "removing what is old: 1 image, 1 release"
        assert server.images() == server.releases() == "bc"
        assert server.engine.looks == ["nameless"]

    def test_where_nothing_is_old_it_is_quick_and_silent(self, server):
        server.released("ab")
        server.host.said.clear()
        server.engine.cache = 1000
        assert self.said(server) == []
        assert server.engine.looks == []

    def test_builds_are_looked_at_where_an_image_goes(self, server):
        server.released("abc")
        server.engine.cache, server.engine.lost = 1000, [image("x", names=())]
        self.said(server)
        assert server.engine.cache == 100
        assert server.engine.lost == []

    def test_whoever_holds_the_lock_does_it(self, server):
        server.released("abc")
        server.host.said.clear()
        with lock.hold(server.host.folder / "state/lock", command="deploy --sha x"):
            assert self.said(server) == []
        assert server.images() == "abc"

    def test_one_who_takes_the_lock_at_that_moment_does_it(self, server, monkeypatch):
        server.released("abc")
        server.host.said.clear()
        with lock.hold(server.host.folder / "state/lock", command="deploy --sha x"):
            monkeypatch.setattr(lock, "holder", lambda _: None)
            assert self.said(server) == []

    @pytest.mark.parametrize(
        ("trouble", "words"),
        [(EngineError("it is away"), "it is away"), (KeyboardInterrupt(), "cancelled")],
    )
    def test_no_trouble_is_the_deployment_s(self, trouble, words, server):
        server.released("abc")
        server.engine.away = trouble
        assert self.said(server)[0] == f"warning: what is old was not removed: {words}"
