"""The figures of this machine, in one run: shown at the end, kept in reports/figures.json.

Only what may never happen is asserted. Times on shared machines are noisy, so they are
printed side by side with what they are to be compared with.
"""

import sqlite3
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.e2e.support import checkout, load, machine
from tests.e2e.support.command import Ran
from tests.e2e.support.site import KEPT, Site

Figures = dict[str, object]


def spread(seconds: Iterable[float]) -> dict[str, float]:
    """Return the least and the middle of some times."""
    ranked = sorted(seconds)
    return {"min": round(ranked[0], 3), "median": round(statistics.median(ranked), 3)}


def timed(times: int, command: Callable[[], Ran]) -> dict[str, float]:
    """Return the wall time of a command that has to succeed."""
    return spread(command().ok().seconds for _ in range(times))


def start_alone(image: str, name: str) -> float:
    """Return the seconds from `docker run` to the service's first 200."""
    port = machine.free_port()
    started = time.monotonic()
    machine.docker("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:8000", image)
    try:
        address = f"127.0.0.1:{port}"
        machine.eventually(lambda: load.served(address), within=30, what="the service")
        return time.monotonic() - started
    finally:
        machine.docker("rm", "--force", "--volumes", name)


def test_live_next_to_the_floor(a_live: Site, run_id: str, figures: Figures):
    image = f"{a_live.repository}:{a_live.commits['a']}"
    floor, deploys = [], []
    for name in ("b", "a") * 2:
        floor.append(start_alone(image, f"panager-e2e-{run_id}-floor"))
        deploys.append(a_live.deploy(name).ok().json)
    middle = sorted(deploys, key=lambda deploy: deploy["live_seconds"])[len(deploys) // 2]
    live = [deploy["live_seconds"] for deploy in deploys]
    figures["floor: docker run until the first 200 [s]"] = spread(floor)
    figures["idle deploy: live_seconds [s]"] = spread(live)
    figures["idle deploy: live above the floor (target: 0.6) [s]"] = {
        "min": round(min(live) - min(floor), 3),
        "median": round(statistics.median(live) - statistics.median(floor), 3),
    }
    figures["idle deploy: seconds, to the end of the command"] = spread(
        deploy["seconds"] for deploy in deploys
    )
    figures["idle deploy: phases of a middle one [s]"] = middle["phases"]
    assert all(0 < deploy["live_seconds"] <= deploy["seconds"] for deploy in deploys)


def test_ten_deploys_lose_nothing(a_live: Site, figures: Figures):
    with a_live.under_load() as running:
        answers = [a_live.deploy(name).ok().json for name in ("b", "a") * 5]
    figures["10 deploys at 100 requests/s"] = {
        "sent": running.sent,
        "lost": len(running.lost),
        "tasks acknowledged": len(running.acknowledged),
        "tasks missing": len(running.missing()),
        "p99_ms": round(running.p99_ms(), 1),
        "live_seconds": spread(answer["live_seconds"] for answer in answers),
    }
    assert [answer["requests"]["failed"] for answer in answers] == [0] * 10
    assert running.lost == []


def test_warm_rollbacks(b_over_a: Site, figures: Figures):
    site = b_over_a
    before = site.replicas()
    with site.under_load():
        answers = [site.invoke("rollback", "--json", **KEPT).ok().json for _ in range(6)]
    figures["warm rollback under load: live_seconds (target: 0.8) [s]"] = spread(
        answer["live_seconds"] for answer in answers
    )
    figures["warm rollback under load: cutover (target: 0.05) [s]"] = spread(
        answer["phases"]["cutover"] for answer in answers
    )
    assert [answer["requests"]["failed"] for answer in answers] == [0] * 6
    assert site.replicas() == before


def test_commands(a_live: Site, figures: Figures):
    a_live.invoke("--list").ok()
    figures["invoke --list (target: 0.25) [s]"] = timed(5, lambda: a_live.invoke("--list"))
    figures["invoke status (target: 0.5) [s]"] = timed(5, lambda: a_live.invoke("status"))
    with many_deployments(a_live, 10_000):
        figures["invoke status, 10,000 deployments in the ledger (target: 0.5) [s]"] = timed(
            5, lambda: a_live.invoke("status")
        )


@contextmanager
def many_deployments(site: Site, count: int) -> Iterator[None]:
    """Have that many earlier deployments in the ledger."""
    with closing(sqlite3.connect(site.state / "ledger.db", timeout=10)) as db:
        rows = db.execute("PRAGMA table_info(deployment)").fetchall()
        columns = ", ".join(row[1] for row in rows if row[1] != "id")
        numbers = ((-number,) for number in range(count))
        with db:
            db.executemany(
                f"INSERT INTO deployment (id, {columns}) SELECT ?, {columns} FROM deployment"
                " WHERE id = (SELECT max(id) FROM deployment WHERE outcome = 'live')",
                numbers,
            )
        try:
            yield
        finally:
            with db:
                db.execute("DELETE FROM deployment WHERE id <= 0")


def test_builds(site: Site, shipped: dict[str, dict[str, Ran]], figures: Figures, tmp_path: Path):
    commit = site.commits["a"]
    context = tmp_path / "context"
    checkout.export(site.invoke.root, commit, context)
    bare = ["docker", "buildx", "build", "--quiet", "--provenance=mode=max", "--sbom=true"]
    bare += [f"--tag={site.repository}:bare", str(context)]
    no_change = {"bare docker buildx build": [], "invoke build": []}
    for _ in range(3):
        started = time.monotonic()
        subprocess.run(bare, check=True, capture_output=True, timeout=120)
        no_change["bare docker buildx build"].append(time.monotonic() - started)
        ran = site.invoke("build", "--sha", commit, "--json").ok()
        no_change["invoke build"].append(ran.seconds)
    machine.docker("rmi", f"{site.repository}:bare")
    figures["no-change build (target: bare + 0.5) [s]"] = {
        name: spread(seconds[1:]) for name, seconds in no_change.items()
    }

    before, seconds, new = layers(site, commit), [], 0
    for _ in range(2):
        new_to_all = f"<!-- {uuid.uuid4()} -->"  # the build cache of earlier runs included
        changed = checkout.commit(
            site.invoke.root, "app/templates/index.html", lambda text, more=new_to_all: text + more
        )
        seconds.append(site.invoke("build", "--sha", changed, "--push", timeout=120).ok().seconds)
        after = layers(site, changed)
        new = max(new, sum(size for digest, size in after.items() if digest not in before))
        before = after
    figures["code-only change, build and push (target: 3) [s]"] = spread(seconds)
    figures["code-only change, new layers (target: 300) [kB]"] = round(new / 1e3, 1)
    assert 0 < new <= 300_000


def layers(site: Site, commit: str) -> dict[str, int]:
    """Return the compressed size of each layer of a published image."""
    found = site.invoke("inspect", "--sha", commit, "--json").ok().json
    return {each["digest"]: each["size"] for each in found["platforms"][0]["layers"]}
