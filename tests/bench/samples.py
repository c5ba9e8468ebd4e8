"""What the users of a load saw, and what that says about one deployment. Pure."""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

WARM_UP = 100  # requests before anything counts: connections, the service's first of everything
AFTERMATH = 1.0  # seconds after the new release alone answers that still count as "during"


class Sample(NamedTuple):
    """One request.

    Attributes:
        began: When it was sent, or when it should have been where an earlier one was in the way;
            seconds on the machine's monotonic clock.
        ended: When its answer was there, on the same clock.
        lost: What came instead of the right answer, "" where that came.
        sha: Commit that answered, "" where the answer does not say.
    """

    began: float
    ended: float
    lost: str
    sha: str


class UnseenError(Exception):
    """What the users got says nothing about a deployment."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One deployment as users saw it; times in seconds.

    Attributes:
        live: From the start of the command until only the new release answers.
        total: From the start of the command to its end.
        gap: Longest time without a right answer.
        before: Latencies before the command started.
        during: Latencies from then until `AFTERMATH` after it was live.
        reported: What the tool itself says (`--json`), nothing where it says nothing.
    """

    live: float
    total: float
    sent: int
    lost: tuple[str, ...]
    gap: float
    before: tuple[float, ...]
    during: tuple[float, ...]
    reported: dict[str, Any]


def seen(
    samples: Iterable[Sample], *, started: float, ended: float, sha: str, reported: dict[str, Any]
) -> Round:
    """Return what the users saw of a command that ran from `started` to `ended` for `sha`.

    Raises:
        UnseenError: There was no answer of `sha` after the last one of another commit, or not
            only right answers before the command started.
    """
    counted = sorted(samples)[WARM_UP:]
    live = _alone(counted, started=started, sha=sha)
    before = _latencies(counted, since=-math.inf, until=started)
    wrong = [sample.lost for sample in counted if sample.lost and sample.began < started]
    if wrong or not before:
        raise UnseenError(f"{len(wrong)} requests were lost before the command: {wrong[:1]}")
    return Round(
        live=live - started,
        total=ended - started,
        sent=len(counted),
        lost=tuple(sample.lost for sample in counted if sample.lost),
        gap=longest_gap(counted, since=started, until=max(ended, live)),
        before=before,
        during=_latencies(counted, since=started, until=live + AFTERMATH),
        reported=reported,
    )


def _alone(samples: Sequence[Sample], *, started: float, sha: str) -> float:
    """Return when `sha` answered for the first time after everybody else's last answer."""
    answers = [sample for sample in samples if sample.sha and sample.ended >= started]
    others = max((sample.ended for sample in answers if sample.sha != sha), default=started)
    new = [sample.ended for sample in answers if sample.sha == sha and sample.ended >= others]
    if not new:
        found = ", ".join(sorted({sample.sha[:12] for sample in answers})) or "nobody"
        raise UnseenError(f"{sha[:12]} never answered alone; {found} did")
    return min(new)


def _latencies(samples: Iterable[Sample], *, since: float, until: float) -> tuple[float, ...]:
    """Latencies of the right answers; a refusal comes fast and is counted elsewhere."""
    right = (sample for sample in samples if not sample.lost and since <= sample.began < until)
    return tuple(sample.ended - sample.began for sample in right)


def longest_gap(samples: Iterable[Sample], *, since: float, until: float) -> float:
    """Return the longest time in between without a right answer."""
    right = sorted(s.ended for s in samples if not s.lost and since <= s.ended <= until)
    edges = [since, *right, until]
    return max(later - earlier for earlier, later in itertools.pairwise(edges))


def percentile(values: Iterable[float], share: float) -> float:
    """Return the least value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(share * len(ranked)), 1) - 1]


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return part / whole; None where one of them is not known."""
    return None if part is None or not whole else part / whole


def summary(rounds: Sequence[Round], *, floor: float) -> dict[str, Any]:
    """Return one row of the table: medians of times, sums of counts, all latencies together.

    Args:
        rounds: At least one.
        floor: Median seconds from `docker run` to the first answer, in this run.
    """
    before = [latency for each in rounds for latency in each.before]
    during = [latency for each in rounds for latency in each.during]
    live = statistics.median(each.live for each in rounds)
    said = [each.reported.get("live_seconds") for each in rounds]
    switches = [each.reported.get("phases", {}).get("cutover") for each in rounds]
    row = {
        "live_over_floor": live / floor,
        "live_above_floor_seconds": live - floor,
        "p99_during_over_before": ratio(percentile(during, 0.99), percentile(before, 0.99)),
        "live_seconds": live,
        "live_seconds_of_each_round": [each.live for each in rounds],
        "total_seconds": statistics.median(each.total for each in rounds),
        "reported_live_seconds": _median(said),
        "switch_ms": _ms(_median(switches)),
        "sent": sum(each.sent for each in rounds),
        "lost": sum(len(each.lost) for each in rounds),
        "lost_because": sorted({lost for each in rounds for lost in each.lost})[:5],
        "longest_gap_ms": _ms(max(each.gap for each in rounds)),
        "phases_of_the_last_round": rounds[-1].reported.get("phases", {}),
    }
    for name, latencies in {"before": before, "during": during}.items():
        for share in (0.5, 0.99):
            row[f"p{share * 100:g}_{name}_ms"] = _ms(percentile(latencies, share))
    return row


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
