"""Strategies: pure functions from what was observed to a Plan."""

from dataclasses import dataclass

from pipeline.plan.plan import Plan, Step
from pipeline.ports import Colour, other
from pipeline.release.release import Release

__all__ = ["Observed", "blue_green"]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is so before a deployment.

    Attributes:
        live: The colour that gets requests.
        live_healthy: The proxy's own check of that colour has passed.
        live_migrations: Identity of the migrations that the live release brought.
    """

    live: Colour | None
    live_healthy: bool
    live_migrations: str


def blue_green(observed: Observed, release: Release, *, replicas: int) -> Plan:
    """Start all of the new colour, verify it, cut over at once, then remove the old colour."""
    old, new = observed.live, other(observed.live)
    steps = [Step(kind="services", about="make sure of database and proxy")]
    if not _schema_is_current(observed, release):
        steps.append(Step(kind="migrate", about="run pending migrations from the new image"))
    steps += [
        Step(
            kind="start",
            about=f"start {replicas} x {release.sha[:12]} as {new}",
            arguments={"colour": new, "replicas": replicas},
        ),
        Step(
            kind="healthy",
            about=f"wait until the proxy's own check of {new} passes",
            arguments={"colour": new, "replicas": replicas},
        ),
        Step(
            kind="verify",
            about=f"{new} runs the image and answers the commit",
            arguments={"colour": new},
        ),
        Step(
            kind="cutover",
            about=f"send new requests to {new}" + (f" instead of {old}" if old else ""),
            arguments={"colour": new, "replaces": old},
        ),
        Step(kind="confirm", about="the public port answers the commit"),
        Step(kind="record", about="record the release as live", arguments={"colour": new}),
    ]
    if old:
        steps += [
            Step(
                kind="drain",
                about=f"wait for the last request of {old}",
                arguments={"colour": old},
            ),
            Step(kind="stop", about=f"stop {old}", arguments={"colour": old}),
        ]
    return Plan(steps=steps)


def _schema_is_current(observed: Observed, release: Release) -> bool:
    # The live release is ready only while the schema is at its head (see /ready); with the
    # same scripts in the new image there is nothing pending, and no container to pay for.
    same = observed.live_migrations == release.migrations
    return bool(release.migrations) and same and observed.live_healthy
