"""What people see: progress on standard error, results on standard output, `--json` last."""

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.view import github

if TYPE_CHECKING:
    from pipeline.host.doctor import Check
    from pipeline.image.ref import Built
    from pipeline.outcome import Outcome
    from pipeline.parity.changes import Changes
    from pipeline.parity.green import Job
    from pipeline.plan.plan import Plan
    from pipeline.settings import Settings

__all__ = [
    "built",
    "changes",
    "checks",
    "data",
    "deployments",
    "differences",
    "fail",
    "fingerprints",
    "image",
    "jobs",
    "outcome",
    "phases",
    "plan",
    "progress",
    "result",
    "resumed",
    "settings",
    "status",
]

# What flags that many tasks have say of themselves.
SHA = "commit: a full hash, or anything that git resolves here (default: HEAD)"
JSON = "print one JSON object as the last line"

SHOWN_PATHS = 5
SHOWN_STEP = 60  # characters of what made a layer
WIDTH = 100
CLEAR = "\r\x1b[K"


def progress(line: str) -> None:
    """Show that something happens; what begins with a return is of the moment, for terminals."""
    there = sys.stderr.isatty()
    if line.startswith("\r") and not there:
        return
    end = "" if line.startswith("\r") else "\n"
    sys.stderr.write(f"{CLEAR * there}  {line.removeprefix(chr(13))}{end}")
    sys.stderr.flush()


def result(line: str) -> None:
    """Show what came of it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def data(value: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Print the `--json` value: one line, the last one."""
    result(json.dumps(value, default=str))


def fail(error: PipelineError) -> None:
    """Show an error: the evidence first, so that cause and next step are what stays in sight."""
    if error.details:
        progress("\n  | ".join(["evidence:", *error.details.splitlines()]))
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"next:  {error.hint}\n")
    github.annotate(f"{error.message}\n{error.hint}".strip(), f"Exit code {error.exit_code}")


def phases(seconds: Mapping[str, float]) -> None:
    """Show the time that each phase took."""
    for name, value in seconds.items():
        result(f"  {name:<10} {value:8.2f} s")


def outcome(value: "Outcome", *, up: Mapping[str, float] | None = None) -> None:
    """Show how a deployment ended; `up` has the phases around it."""
    for name, seconds in (up or {"deploy": value.deployment.seconds or 0.0}).items():
        result(f"{name:<12} {seconds:8.2f} s")
        if name == "deploy":
            phases(value.deployment.phases)
    if value.error:
        fail(value.error)
    requests = value.deployment.requests
    if requests.get("sent"):
        result(
            f"requests meanwhile: {requests['sent']} sent, {requests['failed']} failed,"
            f" p99 {requests['p99_ms']} ms"
        )
    where = f" at {value.url}" if value.error is None else ""
    result(f"{value.deployment.outcome}: {value.release.sha} (release {value.release.id}){where}")
    github.summary(_table(value))


def _table(value: "Outcome") -> str:
    """Return how a deployment ended, in Markdown."""
    made, requests = value.deployment, value.deployment.requests
    rows = {
        "outcome": made.outcome,
        "commit": f"`{value.release.sha}`",
        "release": f"`{value.release.id}`",
        "phases": ", ".join(f"{name} {seconds:.2f} s" for name, seconds in made.phases.items()),
        "requests": f"{requests.get('sent', 0)} sent, {requests.get('failed', 0)} failed",
    }
    lines = [f"### {made.kind}", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {text} |" for name, text in rows.items()), ""])


def resumed(value: "Outcome") -> None:
    """Show how an interrupted deployment was ended."""
    if value.error:
        fail(value.error)
    how = "finished" if value.deployment.outcome == "live" else "undone"
    result(f"{value.deployment.kind} of {value.release.sha} was interrupted and has been {how}")


def built(value: "Built") -> None:
    """Show an image."""
    result(f"image of {value.sha}: {value.size / 1e6:.0f} MB, {value.seconds:.1f} s")
    result(f"  tags: {', '.join(value.tags)}")
    if value.digest:
        result(f"  digest: {value.digest}")


def image(value: Mapping[str, Any]) -> None:
    """Show what a published image is made of, in one screen."""
    result(f"image of {value['sha']}")
    result(f"  {value['reference']}")
    version = f", version {value['version']}" if value["version"] else ""
    result(f"  commit of {value['created']}{version}  {value['source']}".rstrip())
    for each in value["platforms"]:
        result(f"{each['platform']}: {each['size'] / 1e6:.1f} MB compressed, {each['digest']}")
        for layer in each["layers"]:
            step = " ".join(layer["made_by"].split())[:SHOWN_STEP]
            result(f"  {layer['size'] / 1e6:8.2f} MB  {step}")
        result(f"  attestations: {', '.join(each['attestations']) or 'none'}")
        kinds = Counter(package["kind"] for package in each["packages"])
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        result(f"  packages: {counts or 'none known'}")
        python = (f"{p['name']} {p['version']}" for p in each["packages"] if p["kind"] == "pypi")
        for line in textwrap.wrap(", ".join(python), WIDTH):
            result(f"    {line}")


def plan(value: "Plan") -> None:
    """Show what would be done, and what would lead back from there."""
    for number, step in enumerate((*value.steps, *value.finish), 1):
        result(f"{number:>3}  {step.kind:<9} {step.about}")
    if value.undo:
        result("on a failure up to the record:")
    for step in value.undo:
        result(f"     {step.kind:<9} {step.about}")
    if not value.steps:
        result("nothing to do: it is live already")


def settings(value: "Settings") -> None:
    """Show every setting with where it comes from; secrets redact themselves."""
    for name, source in value.sources.items():
        result(f"  {name:<20} {getattr(value, name)!s:<40} {source}")


def checks(found: "Sequence[Check]") -> None:
    """Show what `doctor` found, each with what mends it; the worst last, where it is in sight."""
    for status in ("ok", "warn", "fail"):
        for check in (each for each in found if each.status == status):
            result(f"{status:<5} {check.name}: {check.message}")
            if check.remedy and status != "ok":
                result(f"      next: {check.remedy}")
    numbers = Counter(check.status for check in found)
    kinds = [f"{numbers[kind]} {kind}" for kind in ("fail", "warn", "ok") if numbers[kind]]
    first = "; mend the first failure first" if numbers["fail"] > 1 else ""
    result(", ".join(kinds) + first)


def status(value: Mapping[str, Any]) -> None:
    """Show what `status` found."""
    live = value["live"]
    result(f"{value['app']}: {'healthy' if value['healthy'] else 'NOT healthy'} at {value['url']}")
    if live:
        result(
            f"live: {live['sha'][:12]} (release {live['release']}) as {live['colour']},"
            f" {live['replicas']} replica(s), since {live['since']}"
        )
    else:
        result("live: nothing")
    if (standby := value["standby"]) is not None:
        result(
            f"standby: {standby['sha'][:12]} (release {standby['release']}) as"
            f" {standby['colour']}; `invoke rollback` sends requests to it"
        )
    if (left := value["interrupted"]) is not None:
        result(f"interrupted: {left['kind']} of {left['sha'][:12]}; `invoke resume` ends it")
    for line in value["drift"]:
        result(f"drift: {line}")
    if value["lock"]:
        result(f"lock: `{value['lock']['command']}`, process {value['lock']['pid']}")


def deployments(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show the history, newest first."""
    for row in rows:
        sha = (row["sha"] or "-")[:12]
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f} s"
        cause = f"  {row['error']['message']}" if row["error"] else ""
        result(
            f"{row['id']:>4}  {row['started']}  {row['kind']:<8}  {sha:<12}  {row['outcome']:<11}"
            f"  {seconds:>7}{cause}"
        )
    if not rows:
        result("no deployments yet")


def changes(value: "Changes") -> None:
    """Show whether more than documentation changed, and why it is thought so."""
    result(f"heavy: {'yes' if value.heavy else 'no'} ({value.reason})")
    for path in value.paths[:SHOWN_PATHS]:  # named by anybody: no line of its own, no command
        result(f"  - {path if path.isprintable() else ascii(path)}")
    if (more := len(value.paths) - SHOWN_PATHS) > 0:
        result(f"  and {more} more")


def jobs(found: "Sequence[Job]") -> None:
    """Show how the jobs of a run of GitHub's ended."""
    for job in found:
        result(f"{'ok' if job.green else 'BAD':<4} {job.name:<12} {job.result}")


def fingerprints(found: Mapping[str, str]) -> None:
    """Show what the sessions ran on, in a form that people can read out to each other."""
    for session, digest in found.items():
        result(f"{session:<12} {digest}")


def differences(found: Sequence[Mapping[str, str]]) -> None:
    """Show what differs between two places' environments."""
    for each in found:
        result(f"{each['session']:<12} {each['what']}: here {each['here']}, there {each['there']}")
    if not found:
        result("no difference")
