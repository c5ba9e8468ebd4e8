"""Strategies: pure functions from what was observed, and what is wanted, to a Plan."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.plan.plan import Plan, Step
from pipeline.ports import Colour, other
from pipeline.release.release import Release

__all__ = ["STRATEGIES", "Observed", "Wanted", "plan"]

STRATEGIES = ("blue-green", "rolling", "recreate")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is so before a deployment.

    Attributes:
        live: The colour that gets requests.
        live_release: Id of the release that it runs; "" where nobody knows.
        live_replicas: How many containers of it there are.
        live_healthy: The proxy's own check of that colour has passed.
        live_migrations: Identity of the migrations that the live release brought.
        standby_release: Id of the release that the other colour keeps warm, "" if none.
        standby_replicas: How many of its containers the proxy's checks pass.
    """

    live: Colour | None = None
    live_release: str = ""
    live_replicas: int = 0
    live_healthy: bool = False
    live_migrations: str = ""
    standby_release: str = ""
    standby_replicas: int = 0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be live.

    Attributes:
        strategy: One of STRATEGIES.
        replicas: Containers of the release.
        standby: Keep the old colour warm (blue-green).
        warm: Take the release from the standby, where that is what it keeps.
    """

    release: Release
    strategy: str
    replicas: int
    standby: bool
    warm: bool = False


def plan(observed: Observed, wanted: Wanted) -> Plan:
    """Return how to get from what is so to what is wanted.

    Raises:
        UsageError: This strategy cannot replace what is live.
    """
    standby = (observed.standby_release, observed.standby_replicas)
    if wanted.warm and observed.live and standby == (wanted.release.id, wanted.replicas):
        return _flip(observed, wanted)
    if observed.live is None or wanted.strategy == "blue-green":
        return _blue_green(observed, wanted)
    if not observed.live_release:
        raise UsageError(
            f"{wanted.strategy} takes the live release apart, and the ledger does not know"
            " it: it could not be brought back.",
            hint="Deploy with `--strategy blue-green` this once.",
        )
    return (_rolling if wanted.strategy == "rolling" else _recreate)(observed, wanted)


def _blue_green(observed: Observed, wanted: Wanted) -> Plan:
    """Start all of the new colour, verify it, cut over at once; the old stays as standby."""
    new = other(observed.live)
    return Plan(
        strategy=wanted.strategy,
        steps=[
            *_prepare(observed, wanted),
            *_start(new, wanted, wanted.replicas),
            *_cut_over(new, observed.live, wanted),
        ],
        finish=[*_retire(observed.live, standby=wanted.standby)],
        undo=[*_go_back(observed), *_remove(new)],
    )


def _flip(observed: Observed, wanted: Wanted) -> Plan:
    """Send requests to the standby, which runs the release; what was live takes its place."""
    new = other(observed.live)
    return Plan(
        strategy="blue-green",
        steps=[_services(), _verify(new, wanted), *_cut_over(new, observed.live, wanted)],
        finish=[*_retire(observed.live, standby=wanted.standby)],
        undo=[*_go_back(observed)],
    )


def _rolling(observed: Observed, wanted: Wanted) -> Plan:
    """Exchange replicas one by one; at any time, at least as many as wanted serve."""
    assert observed.live  # noqa: S101 - for the type checker; plan() has looked
    old, new, left = observed.live, other(observed.live), observed.live_replicas
    steps = [*_prepare(observed, wanted)]
    for number in range(1, wanted.replicas + 1):
        steps += _start(new, wanted, number, keep=number > 1)
        if number == wanted.replicas:
            break
        if number == 1:
            steps.append(_join(new))
        steps.append(_admit(new, number))
        if (spare := number + left - wanted.replicas) > 0:
            left -= spare
            steps.append(_dismiss(old, left))
    steps += _cut_over(new, old, wanted)
    return Plan(
        strategy=wanted.strategy,
        steps=steps,
        finish=[*_retire(old, standby=False)],
        undo=[*_go_back(observed), *_remove(new)],
    )


def _recreate(observed: Observed, wanted: Wanted) -> Plan:
    """Stop the old, then start the new; in between, users get 503 and Retry-After."""
    assert observed.live  # noqa: S101 - for the type checker; plan() has looked
    old, new = observed.live, other(observed.live)
    services, *prepare = _prepare(observed, wanted)
    return Plan(
        strategy=wanted.strategy,
        steps=[
            services,
            Step(kind="pause", about=f"answer 503 instead of {old}"),
            *_remove(old),
            *prepare,
            *_start(new, wanted, wanted.replicas),
            *_cut_over(new, None, wanted),
        ],
        undo=[*_go_back(observed), *_remove(new)],
    )


def _services(**arguments: int) -> Step:
    return Step(kind="services", about="make sure of database and proxy", arguments=arguments)


def _prepare(observed: Observed, wanted: Wanted) -> Iterator[Step]:
    new = other(observed.live)
    # The live release is ready only while the schema is at its head (see /ready); with the
    # same scripts in the new image there is nothing pending, and no container to pay for.
    # Unless the database turns out to be gone: the proxy's last check may be a second old.
    same = observed.live_migrations == wanted.release.migrations
    nothing_pending = bool(wanted.release.migrations and same and observed.live_healthy)
    yield _services(migrate=1) if nothing_pending else _services()
    if not nothing_pending:
        yield Step(kind="migrate", about="run pending migrations from the new image")
    yield Step(kind="clear", about=f"remove what is left in {new}", arguments={"colour": new})


def _start(new: Colour, wanted: Wanted, number: int, *, keep: bool = False) -> Iterator[Step]:
    sha = wanted.release.sha[:12]
    about = f"start replica {number} of {sha}" if keep else f"start {number} x {sha}"
    yield Step(
        kind="start",
        about=f"{about} as {new}",
        arguments={
            "colour": new,
            "release": wanted.release.id,
            "replicas": number,
            "keep": int(keep),
        },
    )
    yield Step(
        kind="healthy",
        about=f"wait until the proxy's own check of {new} passes",
        arguments={"colour": new, "replicas": number, "settled": number - 1 if keep else 0},
    )
    yield _verify(new, wanted, number)


def _verify(colour: Colour, wanted: Wanted, number: int = 0) -> Step:
    return Step(
        kind="verify",
        about=f"{colour} runs the release and answers the commit",
        arguments={
            "colour": colour,
            "release": wanted.release.id,
            "replicas": number or wanted.replicas,
        },
    )


def _join(new: Colour) -> Step:
    return Step(
        kind="join",
        about=f"send requests to both colours, none yet to {new}",
        arguments={"colour": new},
    )


def _admit(new: Colour, number: int) -> Step:
    return Step(
        kind="admit",
        about=f"let replica {number} of {new} have requests",
        arguments={"colour": new, "replicas": number},
    )


def _dismiss(old: Colour, left: int) -> Step:
    return Step(
        kind="dismiss",
        about=f"drain and stop replicas of {old}, {left} left",
        arguments={"colour": old, "left": left},
    )


def _cut_over(new: Colour, old: Colour | None, wanted: Wanted) -> Iterator[Step]:
    which: dict[str, str | int | None] = {
        "colour": new,
        "release": wanted.release.id,
        "replicas": wanted.replicas,
    }
    yield Step(
        kind="cutover",
        about=f"send new requests to {new}" + (f" instead of {old}" if old else ""),
        arguments={"colour": new},
    )
    yield Step(kind="confirm", about="the public port answers the commit", arguments=which)
    yield Step(kind="watch", about=f"watch {new}: no restart, right answers", arguments=which)
    yield Step(kind="record", about="record the release as live", arguments={"colour": new})


def _retire(old: Colour | None, *, standby: bool) -> Iterator[Step]:
    if old is None:
        return
    drain, stop = _remove(old)
    yield drain
    if standby:
        yield Step(kind="keep", about=f"keep {old} as standby", arguments={"colour": old})
    else:
        yield stop


def _remove(colour: Colour) -> tuple[Step, Step]:
    which = {"colour": colour}
    return (
        Step(kind="drain", about=f"wait for the last request of {colour}", arguments=which),
        Step(kind="stop", about=f"stop {colour}", arguments=which),
    )


def _go_back(observed: Observed) -> Iterator[Step]:
    old = observed.live
    # What did not serve before need not serve again: it is only put where it was.
    which: dict[str, str | int | None] = {
        "colour": old,
        "release": observed.live_release,
        "replicas": observed.live_replicas,
        "healthy": int(observed.live_healthy),
    }
    if old and observed.live_release and observed.live_replicas:
        yield Step(kind="restore", about=f"make sure that all of {old} run", arguments=which)
    yield Step(kind="back", about=f"send requests to {old or 'nobody'}", arguments=which)
