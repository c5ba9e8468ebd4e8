"""What people see: progress on standard error, results on standard output, `--json` last."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import PipelineError

__all__ = ["data", "deployments", "fail", "phases", "progress", "result", "status"]


def progress(line: str) -> None:
    """Show that something happens."""
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def result(line: str) -> None:
    """Show what came of it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def data(value: Mapping[str, Any]) -> None:
    """Print the `--json` object: one line, the last one."""
    result(json.dumps(value, default=str))


def fail(error: PipelineError) -> None:
    """Show an error: the evidence first, so that cause and next step are what stays in sight."""
    if error.details:
        progress("\n  | ".join(["evidence:", *error.details.splitlines()]))
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"next:  {error.hint}\n")


def phases(seconds: Mapping[str, float]) -> None:
    """Show the time that each phase took."""
    for name, value in seconds.items():
        result(f"  {name:<10} {value:8.2f} s")


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
        result("live: nothing was deployed yet")
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
