"""Containers that come back in any order: the same release serves, by itself and soon.

That the engine itself goes with them is tests/faults/test_reboot.py's.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.e2e.support import load, machine
from tests.e2e.support.load import Load, Loss
from tests.e2e.support.site import Site

GRACE = 3.0  # seconds on top of the app's own start
SOME = 150  # requests, of a second and a half: longer than the proxy waits with its first check


def serves(site: Site, name: str) -> bool:
    """Tell whether the release of a commit answers what takes the database."""
    return load.get(site.address, f"{load.TASKS}?limit=1")[0] == 200 and site.served() == name


def start_of_the_app(site: Site) -> float:
    """Return the seconds from the start of the app's container until it serves."""
    (colour,) = site.colours()
    (container,) = site.colours()[colour]
    name = site.served()
    machine.docker("kill", container)
    began = time.monotonic()
    machine.docker("start", container)
    machine.eventually(lambda: serves(site, name), within=20, what="the release")
    return time.monotonic() - began


@contextmanager
def nobody_unhealthy(site: Site) -> Iterator[Load]:
    """Fail where somebody gets an answer of a container that is not healthy."""
    with Load(site.address) as running:
        yield running
    # The service answers in JSON, the proxy on its own does not.
    assert not [loss for loss in running.lost if "{" in loss.what]


def test_containers_that_are_started_in_any_order_serve(a_live: Site, figures: dict[str, object]):
    with a_live.under_load() as before:
        pass
    own = start_of_the_app(a_live)
    names = {a_live.container(each)["Id"]: each for each in ("proxy", "db", *a_live.colours())}
    machine.docker("kill", *shuffled(names))
    order = shuffled(names)
    with nobody_unhealthy(a_live):
        for container in order:
            began = time.monotonic()
            machine.docker("start", container)
            time.sleep(random.uniform(0, 0.3))
        machine.eventually(lambda: serves(a_live, "a"), within=30, what="the release")
        took = time.monotonic() - began
    said = " ".join(names[each] for each in order)
    figures["reboot_containers"] = {"order": said, "app_start": own, "to_serving": took}
    assert took <= own + GRACE, said
    assert before.missing() == {}
    assert a_live.status()["drift"] == []


def test_a_proxy_that_has_just_started_sends_nobody_to_what_is_not_ready(a_live: Site):
    proxy, database = (a_live.container(each)["Id"] for each in ("proxy", "db"))
    machine.docker("stop", "--time", "1", proxy, database)
    with nobody_unhealthy(a_live) as running:
        machine.docker("start", proxy)
        machine.eventually(
            lambda: "503" in (running.lost or [Loss(started=0, what="")])[-1].what,
            within=10,
            what="the proxy's answer",
        )
        enough = running.sent + SOME
        machine.eventually(lambda: running.sent > enough, within=10, what="load")
        machine.docker("start", database)
        machine.eventually(lambda: serves(a_live, "a"), within=20, what="the release")


def shuffled(containers: Mapping[str, str]) -> list[str]:
    """Return the containers in an order that differs with each commit."""
    return random.sample(list(containers), len(containers))
