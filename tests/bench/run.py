"""The story of one run: one registry, one site, every case in turn, the floor in between."""

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from tests.bench import host, throughput
from tests.bench.cases import OTHER, START, Case, Compose, Deploy, Peer, Rollback, ship, start_alone
from tests.bench.samples import Round, UnseenError, seen, summary
from tests.bench.table import figures
from tests.bench.users import BUSY, IDLE, users
from tests.e2e.support import load, machine
from tests.e2e.support import registry as registries
from tests.e2e.support.checkout import Checkout
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import Site

STRATEGIES = ("recreate", "rolling", "blue-green")
REPLICAS = (1, 4)
SHORT = {"PIPELINE_STABILITY_WINDOW", "PIPELINE_STANDBY", "PIPELINE_START_TIMEOUT"}
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run on this machine.

    Attributes:
        site: Where this pipeline deploys to; both images are there.
    """

    site: Site
    registry: Registry
    rounds: int
    report: Report

    def cases(self, peers: Mapping[str, tuple[str, ...]]) -> list[Case]:
        """Return everything that can be measured; the ones that are compared first come first."""
        site = self.site
        return [
            Deploy(site=site, strategy="blue-green", crowd=IDLE),
            Rollback(site=site, crowd=IDLE),
            *(
                Deploy(site=site, strategy=strategy, replicas=replicas)
                for replicas in REPLICAS
                for strategy in STRATEGIES
            ),
            *(Rollback(site=site, replicas=replicas) for replicas in REPLICAS),
            Compose(site=site, project=f"{site.app}-compose"),
            *(
                Peer(site=site, registry=self.registry, name=name, command=command)
                for name, command in peers.items()
            ),
        ]

    def row(self, case: Case) -> dict[str, Any]:
        """Measure one case; where it fails, the row says how."""
        self.report(case.name)
        try:
            with _removed(case):
                return {"name": case.name} | self._measured(case)
        except (AssertionError, UnseenError, OSError, ValueError, SubprocessError) as exc:
            self.report(f"  {case.name} failed: {exc}")
            return {"name": case.name, "error": " / ".join(str(exc).splitlines()[-3:])}

    def _measured(self, case: Case) -> dict[str, Any]:
        live, floors, rounds = case.prepare(), [], []
        for number in range(1, self.rounds + 1):
            floors.append(self._floor())
            live = OTHER[live]
            rounds.append(self._round(case, live))
            shown = f"live {rounds[-1].live:.2f} s, floor {floors[-1]:.2f} s"
            self.report(f"  {number}/{self.rounds}: {shown}, lost {len(rounds[-1].lost)}")
        floor = statistics.median(floors)
        row = summary(rounds, floor=floor) | {"floor_seconds": floor, "floors": floors}
        return row | (self._throughput(case) if case.throughput else {})

    def _round(self, case: Case, name: str) -> Round:
        sha = self.site.commits[name]
        with users(case.address, case.crowd) as saw:
            started = time.monotonic()
            reported = case.change(name)
            ended = time.monotonic()
            # A command may end before what it started answers.
            machine.eventually(
                lambda: load.served(case.address) == sha, within=START, what=f"{sha[:12]} to answer"
            )
        return seen(saw.samples, started=started, ended=ended, sha=sha, reported=reported)

    def _image(self) -> str:
        return f"{self.site.repository}:{self.site.commits['a']}"

    def _floor(self) -> float:
        return start_alone(self._image(), f"{self.site.app}-floor")

    def _throughput(self, case: Case) -> dict[str, float]:
        with throughput.alone(self._image(), f"{self.site.app}-direct") as direct:
            return throughput.compare(case.address, direct)


@contextmanager
def _removed(case: Case) -> Iterator[None]:
    """Remove what a case made, however it ends; what failed first is what is told."""
    try:
        yield
    except BaseException:
        with suppress(AssertionError, OSError, SubprocessError):
            case.remove()
        raise
    else:
        case.remove()


def plain(site: Site) -> Site:
    """Return the same site with the pipeline's own defaults, not those that make tests short."""
    environ = {name: value for name, value in site.invoke.environ.items() if name not in SHORT}
    return replace(site, invoke=replace(site.invoke, environ=environ))


@contextmanager
def laid_out(*, rounds: int, report: Report) -> Iterator[Bench]:
    """Yield a run with its own clone, registry and images; remove all of it afterwards."""
    run_id = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        report("a clone, a registry, two images")
        checkout = Checkout.clone(folder / "panager")
        registry = stack.enter_context(registries.running())
        app = f"panager-bench-{run_id}"
        (folder / "site").mkdir()
        site = plain(Site.make(checkout, registry, app=app, folder=folder / "site"))
        stack.callback(site.remove)
        ship(site.invoke, site.commits)
        yield Bench(site=site, registry=registry, rounds=rounds, report=report)


def run(
    *,
    rounds: int,
    only: Sequence[str],
    peers: Mapping[str, tuple[str, ...]],
    report: Report,
) -> dict[str, Any]:
    """Measure every case whose name matches one of `only`, or all; return the results."""
    with laid_out(rounds=rounds, report=report) as bench:
        wanted = [
            case
            for case in bench.cases(peers)
            if not only or any(fnmatch(case.name, pattern) for pattern in only)
        ]
        rows = [bench.row(case) for case in wanted]
    floors = [floor for row in rows for floor in row.get("floors", [])]
    return {
        "machine": host.describe(),
        "load": {"requests_per_second": BUSY.rate, "connections": BUSY.connections},
        "rounds": rounds,
        "floor_seconds": statistics.median(floors) if floors else None,
        "figures": figures(rows),
        "rows": rows,
    }
