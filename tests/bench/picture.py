"""The results as a picture: one panel of bars for each ratio. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

Row = dict[str, Any]

NAMES, BARS, VALUES = 150, 420, 60  # widths: of names, of the longest bar, of a figure
LINE, GAP = 18, 34  # heights: of a bar, of what is between panels
MARGIN = 16
INK, FAINT, OURS, THEIRS, TARGET = "#1f2328", "#656d76", "#2f6fde", "#9aa4b2", "#c2410c"


class Panel(NamedTuple):
    """One ratio.

    Attributes:
        target: Where a line is drawn, None for no line.
    """

    key: str
    title: str
    target: float | None


PANELS = (
    Panel("live_over_floor", "live seconds / floor (shorter is better)", None),
    Panel("p99_during_over_before", "p99 during / p99 before (shorter is better)", 1.5),
    Panel("throughput_proxy_over_direct", "throughput: proxy / direct (longer is better)", 0.8),
)


def picture(rows: Sequence[Row], *, ours: Sequence[str], about: Sequence[str]) -> str:
    """Return an SVG.

    Args:
        rows: Of the results.
        ours: Names of the rows that are this pipeline's.
        about: Lines that say where and how this was measured.
    """
    parts, top = [], MARGIN + LINE
    for panel in PANELS:
        known = [row for row in rows if row.get(panel.key) is not None]
        if known:
            parts += _panel(panel, known, ours=ours, top=top)
            top += LINE * (len(known) + 1) + GAP
    parts += [
        _text(MARGIN, top + number * LINE, line, FAINT, size=10)
        for number, line in enumerate(about)
    ]
    top += len(about) * LINE
    width = 2 * MARGIN + NAMES + BARS + VALUES
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" '
                f'width="{width}" height="{top}" font-family="sans-serif">'
            ),
            f'<rect width="{width}" height="{top}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, rows: Sequence[Row], *, ours: Sequence[str], top: int) -> list[str]:
    longest = max([*(row[panel.key] for row in rows), panel.target or 0.0]) or 1.0
    left = MARGIN + NAMES
    parts = [_text(MARGIN, top, panel.title, INK, weight="bold")]
    for number, row in enumerate(rows, start=1):
        value, y = row[panel.key], top + number * LINE
        length = BARS * value / longest
        colour = OURS if row["name"] in ours else THEIRS
        parts += [
            _text(MARGIN, y, row["name"], INK),
            f'<rect x="{left}" y="{y - 11}" width="{length:.1f}" height="13" fill="{colour}"/>',
            _text(left + length + 6, y, f"{value:.2f}", INK),
        ]
    if panel.target is not None:
        x, bottom = left + BARS * panel.target / longest, top + len(rows) * LINE + 4
        parts.append(
            f'<line x1="{x:.1f}" y1="{top + 4}" x2="{x:.1f}" y2="{bottom}" '
            f'stroke="{TARGET}" stroke-dasharray="4 3"/>'
        )
    return parts


def _text(
    x: float, y: float, text: str, colour: str, *, weight: str = "normal", size: int = 12
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-weight="{weight}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
