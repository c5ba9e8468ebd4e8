"""The service itself: its env file, what serves, what differs from the ledger, its runner."""

from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from pipeline.errors import PipelineError
from pipeline.host.client import connect
from pipeline.host.doctor.check import Check, failed, fine, refused, typed, warned
from pipeline.host.doctor.facts import PROJECT, SECONDS, Facts

__all__ = ["containers", "drift", "env_file", "runner", "serving"]

SERVICE = "com.docker.compose.service"
ONE_OFF = "com.docker.compose.oneoff"
COLOURS = {"blue", "green"}  # drift tells of these
SHARED = ("db", "proxy")  # every release has them beside it
DATA = "# restore the data, then deploy: a deployment alone begins with an empty database"
RUNNER = "sudo ./bin/invoke runner install --yes"
SICK = {"unhealthy", "restarting", "dead", "exited", "paused", "created"}


def env_file(facts: Facts) -> Check:
    """Look whether the next release would get what it needs; no value is ever shown."""
    settings = facts.settings
    path = settings.root / settings.env_file
    source, shared = str(path), False
    try:
        if settings.env_content:
            source, text = "ENV_FILE", settings.env_content.reveal()
        else:
            text, shared = path.read_text(encoding="utf-8"), bool(path.stat().st_mode & 0o077)
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or "not UTF-8"
        if isinstance(exc, FileNotFoundError) and facts.recorded():
            message = f"no {path}: a deployment takes the live release's, or ENV_FILE"
            return fine("env file", message)
        keys = ", ".join(settings.required_env)
        example = settings.root / ".env.example"
        remedy = f"install -m 0600 {example} {path}  # then set {keys}"
        return warned("env file", f"{path} cannot be read: {why}", remedy)
    broken = [*_broken(text, settings.required_env)]
    edit = "# correct the secret ENV_FILE" if source == "ENV_FILE" else f'"${{EDITOR:-vi}}" {path}'
    if broken:
        return failed("env file", f"{source}: {'; '.join(broken)}", edit)
    if shared:
        return warned("env file", f"{source} can be read by other users", f"chmod 600 {source}")
    return fine("env file", f"{source} has every required key")


def serving(facts: Facts) -> Check:
    """Look whether users get what the ledger says."""
    try:
        found = facts.status()
    except PipelineError as exc:
        return refused("service", exc)
    if lock := found["lock"]:
        message = f"`{lock['command']}` is at work (process {lock['pid']}, since {lock['since']})"
        return fine("service", message)
    if left := found["interrupted"]:
        message = f"{left['kind']} of {left['sha'][:12]} was interrupted; it began {left['since']}"
        return failed("service", message, "./bin/invoke resume")
    if (live := found["live"]) and found["healthy"]:
        message = f"{live['sha'][:12]} serves as {live['colour']}, {live['replicas']} replica(s)"
        return fine("service", message)
    return _silent(found, facts.recorded())


def _silent(found: Mapping[str, Any], recorded: str) -> Check:
    if not (found["live"] or recorded or found["drift"]):
        return fine("service", "nothing is live yet")
    message = f"{found['url']} does not answer as it should; it said {found['answer']}"
    if found["drift"]:
        return failed("service", message, _after(found["drift"], recorded))
    remedy = "./bin/invoke logs  # says why; `invoke rollback` makes the release before live"
    return failed("service", message, remedy)


def drift(facts: Facts) -> Check:
    """Look whether what runs is what the ledger says."""
    try:
        found = facts.status()
    except PipelineError as exc:
        remedy = refused("drift", exc).remedy
        return warned("drift", "not known while nobody can say what serves", remedy)
    if found["drift"]:
        remedy = _after(found["drift"], facts.recorded())
        return failed("drift", " ".join(found["drift"]).rstrip("."), remedy)
    if found["lock"] or found["interrupted"]:
        return fine("drift", "not looked at while things are on the move")
    return fine("drift", "what runs is what the ledger says")


def containers(facts: Facts) -> Check:
    """Look for what was stopped or removed by hand, without asking the service itself."""
    project = {"label": f"{PROJECT}={facts.settings.app}"}
    with connect(seconds=SECONDS) as client:
        found = client.api.containers(all=True, filters=project)
        volumes = client.api.volumes(filters=project).get("Volumes")
        networks = client.api.networks(filters=project)
    recorded = facts.recorded()
    shared = [*_shared(found)]
    sick = {name: state for name, state in shared if state in SICK}
    missing = [*_missing({(each.get("Labels") or {}).get(SERVICE) for each in found})]
    if recorded and (missing or not networks):
        gone = [f"there is no container of {' and of '.join(missing)}"] * bool(missing)
        gone += ["their network is gone"] * (not networks)
        if "db" in missing and not volumes:
            return failed("containers", ", ".join([*gone, "and no volume: the data is lost"]), DATA)
        return failed("containers", ", ".join(gone), _again(recorded))
    if not sick:
        return fine("containers", f"{len(shared)} besides the releases' own, all well")
    told = ", ".join(f"{name} is {state}" for name, state in sick.items())
    return failed("containers", told, _wake(sick))


def _missing(services: set[str | None]) -> Iterator[str]:
    """Return what is never missing while a release is live, of these services."""
    if not services & COLOURS:
        yield " or ".join(sorted(COLOURS))
    yield from (name for name in SHARED if name not in services)


def _wake(sick: Mapping[str, str]) -> str:
    still = [name for name, state in sick.items() if state in {"exited", "created", "dead"}]
    if still:
        return f"docker start {' '.join(still)}"
    if paused := [name for name, state in sick.items() if state == "paused"]:
        return f"docker unpause {' '.join(paused)}"
    return f"docker logs --tail 50 {next(iter(sick))}  # says why"


def runner(facts: Facts) -> Check:
    """Look whether GitHub's runner is here and works."""
    from pipeline.host.runner import status

    found = status(facts.settings)
    if found.trouble:
        return failed("runner", found.trouble, typed(found.remedy) or RUNNER)
    return fine("runner", f"{found.name} {found.version}, service {found.service}")


def _shared(found: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for each in found:
        labels = each.get("Labels") or {}
        if labels.get(SERVICE) in COLOURS or labels.get(ONE_OFF) == "True":
            continue
        unwell = each["State"] == "running" and "(unhealthy)" in each.get("Status", "")
        yield each["Names"][0].removeprefix("/"), "unhealthy" if unwell else each["State"]


def _after(drift: Iterable[str], recorded: str) -> str:
    """Return what to do about drift; where it took the data along, nobody is told to deploy."""
    return DATA if any("data is gone" in each for each in drift) else _again(recorded)


def _again(sha: str) -> str:
    if sha:
        return f"./bin/invoke deploy --sha {sha}"
    return "./bin/invoke deploy  # `invoke history` lists what was live"


def _broken(text: str, required: tuple[str, ...]) -> Iterator[str]:
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(text)))
    for binding in bindings:
        if binding.error:
            yield f"line {binding.original.line} is malformed"
    there = {binding.key for binding in bindings if binding.value}
    for key in required:
        if key not in there:
            yield f"{key} is missing or empty"
