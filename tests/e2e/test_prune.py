"""What a server keeps: the last releases and what is pinned, and its disk with them."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.support import machine
from tests.e2e.support.disk import Disk, commits_here, releases, variant
from tests.e2e.support.site import Site

KEEP = 1
SIZE = 6 * 10**6  # bytes that each image has for itself
NOWHERE = "127.0.0.1:9"  # no registry answers: what the host has got is all there is


@pytest.fixture
def server(spare_site: Site) -> Iterator[Site]:
    """An app whose images are made as they are needed; nobody else's build cache is cut down."""
    invoke = spare_site.invoke.having(
        PIPELINE_REGISTRY=NOWHERE,
        PIPELINE_KEEP_RELEASES=str(KEEP),
        PIPELINE_BUILD_CACHE_GB="10000",
    )
    made = replace(spare_site, invoke=invoke, repository=f"{NOWHERE}/{spare_site.app}/panager")
    yield made
    machine.remove_project(made.app)
    machine.remove_images(made.repository)


def some_commit() -> str:
    """Return a commit that is in no checkout."""
    return (uuid.uuid4().hex * 2)[:40]


def short(*shas: str) -> set[str]:
    return {sha[:7] for sha in shas}


def test_the_last_releases_stay_and_what_is_pinned(a_live: Site, server: Site):
    image = f"{a_live.repository}:{a_live.commits['a']}"
    waiting, *shas = (some_commit() for _ in range(5))
    variant(server, image, waiting, size=SIZE)
    disks = []
    for number, sha in enumerate(shas):
        variant(server, image, sha, size=SIZE)
        assert "warning" not in server.invoke("deploy", "--sha", sha).ok().text
        if number == 0:
            server.invoke("pin", "--sha", sha).ok()
        else:
            disks.append(Disk.of(server))
    pinned, old, before, live = shas

    assert releases(server) == short(pinned, before, live)
    assert commits_here(server) == {waiting, pinned, before, live}
    # The third deployment fills what is kept; what comes after it takes no more.
    assert disks[2].images - disks[1].images < 0.2 * SIZE, [str(each) for each in disks]

    refused = server.invoke("rollback", "--to", old).refused(2)
    assert f"{live[:12]}, {before[:12]}, {pinned[:12]}" in refused.next_step
    assert old[:12] in server.invoke("pin", "--sha", old).refused(2).error

    server.invoke("unpin", "--sha", pinned).ok()
    would = server.invoke("prune", "--dry-run", "--json").ok().json
    assert commits_here(server) == {waiting, pinned, before, live}
    done = server.invoke("prune", "--json").ok().json
    for kind in ("images", "containers", "releases", "dumps"):
        assert done["removed"][kind] == would["removed"][kind]
    assert short(*(each[:7] for each in done["removed"]["releases"])) == short(pinned)
    assert commits_here(server) == {waiting, before, live}
    assert done["bytes"] > SIZE
    again = server.invoke("prune", "--dry-run", "--json").ok().json
    assert not any(again["removed"].values())
    assert len(server.history()) == len(shas)
    assert server.status()["live"]["sha"] == live
