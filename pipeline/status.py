"""What is so on this host, and where it differs from the ledger."""

from collections.abc import Iterator
from typing import Any

from pipeline.errors import PipelineError
from pipeline.parts import Parts
from pipeline.plan.watching import unlike
from pipeline.ports import Colour, Replica, other
from pipeline.release import lock
from pipeline.release.release import Release

__all__ = ["status"]


def status(parts: Parts) -> dict[str, Any]:
    """Return what serves, what stands by, what was interrupted, and the drift.

    Raises:
        EngineError: The engine does not answer.
    """
    colour = parts.colour()
    holder = lock.holder(parts.state.lock)
    # Before the first deployment there need not be an engine.
    looks = colour or parts.ledger.live()
    replicas = {each: parts.engine.replicas(each) for each in ("blue", "green")} if looks else {}
    live = parts.release_of(replicas[colour]) if colour else None
    answer = parts.probe(parts.settings.address) if colour else None
    standby = _standby(parts, replicas[other(colour)]) if colour else None
    # While replicas are exchanged one by one, releases of both colours answer.
    mixed = parts.traffic.live() == "both"
    serving = [parts.release_of(each) for each in replicas.values()] if mixed else [live]
    expected = {each.sha for each in serving if each}
    unfinished = parts.ledger.unfinished()
    return {
        "app": parts.settings.app,
        "url": parts.settings.url,
        "healthy": bool(answer and any(answer.names(sha) for sha in expected)),
        "answer": str(answer) if answer else None,
        "lock": holder,
        "live": live and colour and _shown(parts, live, colour, replicas[colour]),
        "standby": standby
        and colour
        and _shown(parts, standby, other(colour), replicas[other(colour)]),
        "interrupted": {
            "kind": unfinished[0].kind,
            "sha": unfinished[1].sha,
            "since": unfinished[0].started,
        }
        if unfinished and not (holder and lock.alive(holder))
        else None,
        "drift": [] if holder else [*_drift(parts, replicas)],
    }


def _standby(parts: Parts, replicas: tuple[Replica, ...]) -> Release | None:
    release = parts.release_of(replicas)
    running = replicas and all(each.state == "running" for each in replicas)
    return release if running else None


def _shown(
    parts: Parts, release: Release, colour: Colour, replicas: tuple[Replica, ...]
) -> dict[str, Any]:
    deployment = parts.ledger.deployment_of(release.id)
    return {
        "release": release.id,
        "sha": release.sha,
        "digest": release.digest,
        "colour": colour,
        "replicas": sum(each.state == "running" for each in replicas),
        "since": deployment.started if deployment else None,
    }


def _drift(parts: Parts, replicas: dict[str, tuple[Replica, ...]]) -> Iterator[str]:
    """Say what differs from the ledger, a sentence each."""
    record = parts.ledger.live()
    route = parts.traffic.live()
    if record is None or record[0].colour is None:
        if route:
            yield f"The proxy sends requests to {route}; by the ledger, nothing is live."
        return
    deployment, release = record
    live: Colour = record[0].colour
    if route != live:
        yield f"The proxy sends requests to {route or 'nobody'}; by the ledger, {live} is live."
    try:
        parts.traffic.servers(live)
    except PipelineError as exc:
        yield exc.message
    yield from parts.engine.missing()
    there = replicas.get(live, ())
    running = [each for each in there if each.state == "running"]
    if len(running) != deployment.replicas:
        yield f"{live} has {len(running)} running replicas, not {deployment.replicas}."
    for each in there:
        if each.state != "running":
            yield f"{each.name} is {each.state}, exit code {each.exit_code}."
    yield from _strangers(parts, there, release.id)
    for each in replicas.get(other(live), ()):
        if each.state != "running":
            yield f"{each.name} is {each.state}, exit code {each.exit_code}."
        if parts.ledger.release(each.release) is None:
            yield f"{each.name} runs {each.digest}, which no deployment started."
        else:
            yield from _strangers(parts, (each,), each.release)


def _strangers(parts: Parts, replicas: tuple[Replica, ...], release_id: str) -> Iterator[str]:
    try:
        known = parts.known(release_id)
    except PipelineError as exc:
        yield exc.message
        return
    for each in replicas:
        if odd := unlike(each, known):
            yield f"{each.name} runs {odd}."
