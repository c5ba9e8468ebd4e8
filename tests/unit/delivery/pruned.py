"""A host for the tests of what goes, and an engine that has what it is told."""

from dataclasses import dataclass, field, replace

from pipeline.engine.leftovers import Container, Image
from pipeline.errors import EngineError
from pipeline.prune import Pruning
from pipeline.release.pins import Pins
from tests.unit.delivery.conftest import Host

NAME = "ghcr.io/panager/panager"


def sha(name):
    return name * 40


def image(name, **changes):
    """Return the image of a commit, as it is after a deployment."""
    digest = f"sha256:{name * 64}"
    made = Image(
        id=digest,
        names=(f"{NAME}:{sha(name)}", f"{NAME}@{digest}"),
        digests=frozenset({digest}),
        size=10,
    )
    return replace(made, **changes)


def container(name, *, state="exited", **changes):
    made = Container(
        id=f"c-{name}",
        name=f"panager-blue-{name}",
        state=state,
        image=frozenset({f"sha256:{name * 64}"}),
        project="panager",
    )
    return replace(made, **changes)


@dataclass
class Engine:
    """It has what it is told; what it refuses, it keeps.

    Attributes:
        named: When images were named, by id; the later the greater.
        looks: What was asked for that takes long.
    """

    there: list[Container] = field(default_factory=list)
    kept: list[Image] = field(default_factory=list)
    lost: list[Image] = field(default_factory=list)
    cache: int = 0
    named: dict[str, str] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    looks: list[str] = field(default_factory=list)
    away: BaseException | None = None

    def containers(self):
        if self.away:
            raise self.away
        return list(self.there)

    def images(self, repositories):
        return [
            each
            for each in self.kept
            if any(name.startswith((f"{r}:", f"{r}@")) for name in each.names for r in repositories)
        ]

    def nameless(self):
        self.looks.append("nameless")
        return list(self.lost)

    def named_at(self, image):
        return self.named[image.id]

    def remove_image(self, image):
        self._must(image.id)
        (self.kept if image in self.kept else self.lost).remove(image)

    def remove_container(self, container):
        self._must(container.id)
        self.there.remove(container)

    def cache_size(self):
        self.looks.append("cache")
        return self.cache

    def shrink_cache(self, keep):
        self._must("cache")
        freed, self.cache = max(0, self.cache - keep), min(self.cache, keep)
        return freed

    def _must(self, what):
        if what in self.refuses:
            raise EngineError("the engine refused: it is in use")


@dataclass
class Server:
    """A host on which commits `a`, `b`, ... were live, one after the other."""

    host: Host
    engine: Engine
    last: int = 1

    def of(self, settings=None, *, report=None):
        settings = replace(
            self.host.settings, keep_releases=self.last, keep_dumps=2, build_cache_gb=1e-9 * 100
        )
        parts = self.host.delivery(settings=settings)
        return Pruning(parts=parts, engine=self.engine, pins=Pins(parts.state.ledger))

    def released(self, names):
        for name in names:
            self.host.break_image(sha(name), healthy=True)
            assert self.host.deploy(sha(name)).error is None
            self.engine.kept.append(image(name))

    def id(self, name):
        (found,) = {
            each.id
            for each in map(self.host.delivery().ledger.release, self.folders())
            if each.sha == sha(name)
        }
        return found

    def folders(self):
        return sorted(each.name for each in (self.host.folder / "state/releases").iterdir())

    def carry_out(self):
        pruned = self.of()
        return pruned.carry_out(pruned.plan())

    def images(self):
        return "".join(each.id[7] for each in self.engine.kept)

    def releases(self):
        return "".join(each[0] for each in self.folders())


def id_of(name):
    return image(name).id


def a_server(host, monkeypatch):
    """Return a server whose `prune` works on the fakes."""
    server = Server(host, Engine())
    monkeypatch.setattr(Pruning, "of", server.of)
    return server
