"""`python -m tests.bench`: one run, one table, docs/bench/results.json and results.svg."""

import argparse
import json
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from pipeline.host.bases import BASES
from tests.bench import throughput
from tests.bench.picture import picture
from tests.bench.run import run
from tests.bench.table import promises, table
from tests.e2e.support import machine
from tests.e2e.support.checkout import REPOSITORY

OUT = REPOSITORY / "docs/bench"
HOST = "Next step: ./bin/invoke host --yes"
DIGITS = 4
CANCELLED = 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    made.add_argument("--rounds", type=_count, default=3, help="deployments of each case")
    made.add_argument(
        "--peer",
        type=peer,
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another tool, measured under the same load (docs/bench/README.md); repeatable",
    )
    made.add_argument("--only", action="append", default=[], metavar="NAME", help="name or glob")
    made.add_argument("--out", type=Path, default=OUT, help="folder of results.json and .svg")
    return made


def peer(text: str) -> tuple[str, tuple[str, ...]]:
    """Return name and argv of `name=command`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    name, _, command = text.partition("=")
    try:
        argv = tuple(shlex.split(command))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc
    if not name.strip() or not argv:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name.strip(), argv


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def missing() -> str:
    """Return what this machine lacks and what to do about it, "" for nothing."""
    if not shutil.which("docker"):
        return f"Docker is not installed. {HOST}"
    try:
        machine.docker("version")
        absent = [name for name in BASES if not machine.docker("images", "--quiet", name)]
    except AssertionError:
        return f"No Docker Engine answers. {HOST}"
    return f"no {', '.join(absent)} here. {HOST}" if absent else throughput.missing()


def rounded(value: Any) -> Any:
    """Return the same data with as many digits as mean something."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def about(results: dict[str, Any]) -> tuple[str, str]:
    """Return one line that says where, and one that says how this was measured."""
    host, load = results["machine"], results["load"]
    return (
        (
            f"{host['cores']} cores, {host['memory_gib']:g} GiB, {host['kernel']}, "
            f"Docker {host['engine']}, Compose {host['compose']}, {host['date']}"
        ),
        (
            f"{load['requests_per_second']:g} requests/s over {load['connections']} connections, "
            f"rounds of each row: {results['rounds']}"
        ),
    )


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """Measure; return 0, 1 where a case failed; end with 2 where nothing can be measured here."""
    made = parser()
    options = made.parse_args()
    peers = dict(options.peer)
    if len(peers) < len(options.peer):
        made.error("two peers have the same name")
    if lacking := missing():
        made.error(lacking)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was made is removed, too
    try:
        results = run(rounds=options.rounds, only=options.only, peers=peers, report=_report)
    except KeyboardInterrupt:
        _report("cancelled; what was made has been removed")
        return CANCELLED
    rows = results["rows"]
    if not rows:
        made.error(f"no case is named {' or '.join(options.only)}")
    ours = [row["name"] for row in rows if row["name"] not in {"compose", *peers}]
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(results), indent=2) + "\n"
    (options.out / "results.json").write_text(text, encoding="utf-8")
    drawn = picture(rows, ours=ours, about=about(results))
    (options.out / "results.svg").write_text(drawn, encoding="utf-8")
    lines = [*about(results), "", table(rows, floor=results["floor_seconds"])]
    sys.stdout.write("\n".join([*lines, "", promises(results["figures"])]).rstrip() + "\n")
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
