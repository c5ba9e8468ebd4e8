"""Whether a run of GitHub's is green: each job was, or did not have to run.

GitHub takes a check that was skipped for one that passed, so a job that is skipped because
another one failed would let anything be merged. Here it is looked at once, for all of them.
"""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError

__all__ = ["Job", "judge"]

# Where only documentation changed.
MAY_BE_SKIPPED = frozenset({"e2e", "platforms", "longevity", "faults", "parity", "coverage"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """How a job ended.

    Attributes:
        name: Its key in the workflow.
        result: GitHub's word: success, failure, cancelled or skipped.
        green: Whether that is as it should be.
    """

    name: str
    result: str
    green: bool


def judge(needs: str | None) -> tuple[Job, ...]:
    """Judge the jobs of a run.

    Args:
        needs: GitHub's context of that name, as JSON.

    Raises:
        UsageError: It is not that.
    """
    found = _read(needs)
    changes = found.get("changes", {})
    light = changes.get("result") == "success" and _outputs(changes).get("heavy") == "false"
    return tuple(
        Job(
            name=name,
            result=(result := job["result"]),
            green=result == "success" or (result == "skipped" and light and name in MAY_BE_SKIPPED),
        )
        for name, job in found.items()
    )


def _read(needs: str | None) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(needs or "")
    except (ValueError, RecursionError) as exc:
        raise _unreadable() from exc
    jobs = found.values() if isinstance(found, dict) else ()
    if not jobs or not all(isinstance(j, dict) and isinstance(j.get("result"), str) for j in jobs):
        raise _unreadable()
    return dict(found)


def _outputs(job: dict[str, Any]) -> dict[str, Any]:
    outputs = job.get("outputs")
    return outputs if isinstance(outputs, dict) else {}


def _unreadable() -> UsageError:
    return UsageError(
        "NEEDS does not say how the jobs ended.",
        hint="The workflow's step sets it: `NEEDS: ${{ toJSON(needs) }}`.",
    )
