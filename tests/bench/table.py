"""The results as text. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]

# Ratios first: they mean the same on every machine.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "": lambda row: row["name"],
    "live/floor": lambda row: number(row, "live_over_floor", 2),
    "p99 during/before": lambda row: number(row, "p99_during_over_before", 2),
    "proxy/direct": lambda row: number(row, "throughput_proxy_over_direct", 2),
    "live s": lambda row: number(row, "live_seconds", 2),
    "total s": lambda row: number(row, "total_seconds", 2),
    "lost": lambda row: f"{row['lost']} of {row['sent']}" if "lost" in row else "-",
    "gap ms": lambda row: number(row, "longest_gap_ms", 0),
    "p50 ms before/during": lambda row: pair(row, "p50"),
    "p99 ms before/during": lambda row: pair(row, "p99"),
    "switch ms": lambda row: number(row, "switch_ms", 1),
}


def number(row: Row, key: str, digits: int) -> str:
    """Return a figure as it is shown, "-" where there is none."""
    value = row.get(key)
    return "-" if value is None else f"{value:.{digits}f}"


def pair(row: Row, percentile: str) -> str:
    """Return a latency before and during a deployment."""
    return "/".join(number(row, f"{percentile}_{when}_ms", 1) for when in ("before", "during"))


def table(rows: Sequence[Row], *, floor: float | None) -> str:
    """Return all rows, one line each; the first column to the left, the figures to the right."""
    lines = [list(COLUMNS)]
    if floor is not None:
        floor_row = {"name": "floor: docker run", "live_over_floor": 1.0, "live_seconds": floor}
        lines.append([cell(floor_row) for cell in COLUMNS.values()])
    for row in rows:
        shown = [cell(row) for cell in COLUMNS.values()]
        lines.append(shown if "error" not in row else [row["name"], *["-"] * (len(shown) - 1)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    text += [f"{row['name']} failed: {row['error']}" for row in rows if "error" in row]
    return "\n".join(text)


def figures(rows: Sequence[Row]) -> list[Row]:
    """Return what the pipeline promises, and what was measured, for every row it is about."""
    found = []
    for row in rows:
        name = row["name"]
        kind, idle = name.split("-")[0], name.endswith("-idle")
        if kind == "rollback":
            found.append(_figure(row, "live_seconds", at_most=0.8))
            found.append(_figure(row, "switch_ms", at_most=50))
        if name.startswith(("blue-green", "rolling")) and not idle:
            found.append(_figure(row, "p99_during_over_before", at_most=1.5))
            found.append(_figure(row, "lost", at_most=0))
            found.append(_figure(row, "throughput_proxy_over_direct", at_least=0.8))
        if name.startswith("blue-green") and idle:
            found.append(_figure(row, "live_above_floor_seconds", at_most=0.6))
    return [figure for figure in found if figure["measured"] is not None]


def _figure(
    row: Row, what: str, *, at_most: float | None = None, at_least: float | None = None
) -> Row:
    value = row.get(what)
    met = value is not None and (
        (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    )
    bound = {"at_most": at_most} if at_most is not None else {"at_least": at_least}
    return {"row": row["name"], "what": what, **bound, "measured": value, "met": met}


def promises(found: Sequence[Row]) -> str:
    """Return the figures as lines of text."""
    return "\n".join(
        f"{'met    ' if f['met'] else 'NOT MET'}  {f['row']}: {f['what']} {f['measured']:.3g}"
        + (f" (at most {f['at_most']:g})" if "at_most" in f else f" (at least {f['at_least']:g})")
        for f in found
    )
