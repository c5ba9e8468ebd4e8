"""What all cells saw together: one table, its totals, and the same as JSON."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.support.load import Load

HEADINGS = ("", "cells", "sent", "announced", "lost", "acked", "writes lost", "gap s", "seconds")
SHOWN = 60  # characters of what a lost request got


@dataclass(kw_only=True)
class Row:
    """A group of cells.

    Attributes:
        announced: Requests that got 503 and Retry-After because nothing was live.
        lost: All others that were not answered as they should be.
        acknowledged: Tasks that the service confirmed.
        missing: How many of those were not there at the end of their cell.
        gap: The longest time without a right answer, in seconds.
        seconds: What the cells took.
        losses: What lost requests got, and how often.
    """

    cells: int = 0
    sent: int = 0
    announced: int = 0
    lost: int = 0
    acknowledged: int = 0
    missing: int = 0
    gap: float = 0.0
    seconds: float = 0.0
    losses: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Row") -> None:
        """Take the other's figures in."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "gap" else mine + value)

    def columns(self) -> tuple[str, ...]:
        """Return the figures as the table has them."""
        figures = list(vars(self).values())[: len(HEADINGS) - 1]
        return tuple(f"{each:.2f}" if isinstance(each, float) else str(each) for each in figures)


class Tally:
    """The rows by their group, in the order in which they came up; other figures beside them."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.figures: dict[str, dict[str, float]] = {}

    def add(self, group: str, load: Load, *, missing: int, seconds: float) -> None:
        """Count one cell."""
        cell = Row(
            cells=1,
            sent=load.sent,
            announced=load.announced,
            lost=len(load.lost),
            acknowledged=len(load.acknowledged),
            missing=missing,
            gap=round(load.gap, 3),
            seconds=round(seconds, 1),
            losses=Counter(loss.what[:SHOWN] for loss in load.lost),
        )
        self.rows.setdefault(group, Row()).add(cell)

    def total(self) -> Row:
        """Return all groups as one."""
        total = Row()
        for row in self.rows.values():
            total.add(row)
        return total

    def table(self) -> list[str]:
        """Return the lines of the table, totals last."""
        rows = [HEADINGS, *((name, *row.columns()) for name, row in self.rows.items())]
        rows.append(("all", *self.total().columns()))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]

    def write(self, path: Path) -> None:
        """Keep the figures."""
        groups = {name: vars(row) for name, row in self.rows.items()}
        path.parent.mkdir(exist_ok=True)
        document = {"groups": groups, "all": vars(self.total()), "figures": self.figures}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
