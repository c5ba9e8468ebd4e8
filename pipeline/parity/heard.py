"""What act says of a workflow's jobs, line by line: how each ended, where, and its last words.

Written for act 0.2.89, whose `--json` is documented nowhere.
"""

import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Heard", "Job"]

TAIL_LINES = 20  # of a step that failed
# Colours and the like: to its steps act is a terminal, ours is another one.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
# What act says, word for word.
COMPLAINTS = {"error", "fatal", "panic", "warning"}
BEGINS = "\N{WHITE MEDIUM STAR} Run Main "
GOES_ON = "Failed but continue next step"
UNSUPPORTED = "Skipping unsupported platform"  # of a job that it will not run


@dataclass(frozen=True, kw_only=True)
class Job:
    """How a job ended.

    Attributes:
        name: Its key in the workflow.
        result: As GitHub's `needs` has it.
        seconds: Wall time.
        step: The step that failed; empty where none did.
        exit_code: That step's; None where it has none.
        evidence: That step's last lines.
    """

    name: str
    result: Literal["success", "failure", "skipped"]
    seconds: float = 0.0
    step: str = ""
    exit_code: int | None = None
    evidence: str = ""


@dataclass
class _Step:
    name: str = ""
    code: int | None = None
    goes_on: bool = False
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))


@dataclass
class _State:
    begun: float
    seconds: float = 0.0
    results: list[str] = field(default_factory=list)  # one, or of a matrix each
    steps: defaultdict[str, _Step] = field(default_factory=lambda: defaultdict(_Step))
    failed: _Step | None = None
    complained: _Step | None = None


class Heard:
    """What act says, and what it says of each job."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self.said: list[str] = []  # of no job in particular
        self._report = report
        self._states: dict[str, _State] = {}

    def line(self, line: str) -> None:
        """Hear one line."""
        self.lines.append(line)
        try:
            event = json.loads(line)
            job, text = event.get("jobID"), CONTROL.sub("", str(event["msg"])).rstrip()
        except (ValueError, TypeError, KeyError, AttributeError):
            self.said.append(line)
            return
        if job is None:
            self.said += [text] if event["level"] in COMPLAINTS else []
            return
        state = self._states.setdefault(job, _State(time.monotonic()))
        # What happens in an action of ours is, to its workflow, one step.
        number, *inner = event.get("stepID") or ("",)
        step = state.steps[number]
        step.name = str(event.get("step", "")).strip().partition("\n")[0]
        self._hear(job, step, event, text)
        if text == GOES_ON:
            step.goes_on = True
        elif status := re.fullmatch(r"exit status (\d+)", text):
            step.code = int(status[1])
        if event.get("stepResult") == "failure" and not inner and not step.goes_on:
            state.failed = state.failed or step
        if "jobResult" in event:
            state.seconds = time.monotonic() - state.begun
            state.results.append(event["jobResult"])
            self._report(f"{job}: {event['jobResult']} after {state.seconds:.1f} s")

    def _hear(self, job: str, step: _Step, event: Mapping[str, Any], text: str) -> None:
        complains = event["level"] in COMPLAINTS or UNSUPPORTED in text
        if complains:
            self._states[job].complained = step
        if text and (complains or event.get("raw_output")):
            step.tail.append(text)
            self._report(f"{job} | {text}")
        elif event.get("stage") == "Main" and text.startswith(BEGINS):
            self._report(f"{job} > {text.removeprefix(BEGINS).partition(chr(10))[0]}")

    def job(self, name: str) -> Job:
        """Return how a job ended, of which act may have said nothing: it was skipped."""
        state = self._states.get(name)
        if state is None:
            return Job(name=name, result="skipped")
        if set(state.results) == {"success"}:
            return Job(name=name, result="success", seconds=state.seconds)
        step = state.failed or state.complained or _Step()
        return Job(
            name=name,
            result="failure",
            seconds=state.seconds,
            step=step.name,
            exit_code=step.code,
            evidence="\n".join(step.tail),
        )
