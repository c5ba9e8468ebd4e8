"""What has to be so after every accident: the truth is told, and the next deploy mends all."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.support import load, machine

if TYPE_CHECKING:
    from tests.faults.stage import Stage

LOOKS = 3  # requests per replica, to see each
ANYTHING = ("anything", "")
# Processes: one that waits for the end of the standby, and those that have yet to see theirs gone.
WAITING = 5


def answers(stage: "Stage", looks: int = LOOKS) -> set[str]:
    """Return the hashes of the commits that answer at the public port; "" for no answer."""
    replicas = stage.shape.replicas if stage.shape else 1
    return {load.served(stage.address) for _ in range(looks * replicas)}


def tells_the_truth(
    stage: "Stage", *, interrupted: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Make sure that `status` says what is so right now; return it.

    Args:
        interrupted: (kind, commit) of the deployment that has not come to its end; ANYTHING
            where its end could not be written down.
    """
    status = machine.eventually(lambda: _unlocked(stage), within=10, what="the lock is free")
    served = answers(stage)
    live = status["live"]["sha"] if status["live"] else ""
    if stage.shape and stage.shape.strategy == "rolling":
        assert live in served  # both may answer while replicas are exchanged
    else:
        assert {live} == served
    assert status["healthy"] == ("" not in served)
    found = status["interrupted"]
    if interrupted != ANYTHING:
        assert (found and (found["kind"], found["sha"])) == interrupted
    stage.interrupted = found and (found["kind"], found["sha"])
    return status


def _unlocked(stage: "Stage") -> dict[str, Any] | None:
    """Return the status; None while what a killed deployment has started is in its last moments."""
    status = stage.status()
    return None if status["lock"] else status


def serves(stage: "Stage", name: str) -> None:
    """Make sure that all answers are those of one commit."""
    assert answers(stage) == {stage.sha(name)}


def next_deploy(stage: "Stage", name: str) -> None:
    """Deploy a commit as if nothing had happened; nothing may be left of what did."""
    began = time.monotonic()
    ran = stage.deploy(name, "--wait", "5").ok()
    stage.mended = [f"next deploy, {began:.2f} to {time.monotonic():.2f}:", ran.text]
    assert ran.json["outcome"] == "live"
    assert ran.json["sha"] == stage.sha(name)
    if stage.interrupted:
        assert "interrupted" in ran.text, f"it does not say what it found:\n{ran.text}"
    serves(stage, name)
    nothing_left_over(stage, name)


def nothing_left_over(stage: "Stage", name: str) -> None:
    """Make sure that there is one live colour, at most its standby, and nothing else."""
    assert stage.shape
    status = stage.status()
    live, standby = status["live"], status["standby"]
    assert (live["sha"], live["replicas"]) == (stage.sha(name), stage.shape.replicas)
    assert (status["healthy"], status["interrupted"], status["lock"]) == (True, None, None)
    assert status["drift"] == []
    assert (standby is not None) == (stage.shape.strategy == "blue-green"), status
    wanted = {"proxy": 1, "db": 1, live["colour"]: live["replicas"]}
    if standby:
        assert standby["sha"] == stage.sha("a" if name == "b" else "b")
        assert standby["colour"] != live["colour"]
        wanted[standby["colour"]] = standby["replicas"]
    assert containers(stage.site.app) == {(service, "running"): n for service, n in wanted.items()}
    assert len(networks(stage.site.app)) == 1
    assert len(waiting(stage.site.app)) <= WAITING, "they pile up"


def containers(project: str) -> dict[tuple[str, str], int]:
    """Return how many containers there are of each service in each state."""
    form = f'{{{{.Label "{machine.SERVICE}"}}}} {{{{.State}}}}'
    label = f"label={machine.PROJECT}={project}"
    lines = machine.docker("ps", "--all", "--filter", label, "--format", form).splitlines()
    return dict(Counter((line.split()[0], line.split()[1]) for line in lines))


def networks(project: str) -> list[str]:
    """Return the ids of a project's networks."""
    label = f"label={machine.PROJECT}={project}"
    return machine.docker("network", "ls", "--quiet", "--filter", label).split()


def waiting(app: str) -> list[int]:
    """Return the processes that wait for the end of a standby's time."""
    setting = f"PIPELINE_APP={app}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = setting in (process / "environ").read_bytes().split(b"\0")
            if ours and b"retire" in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is not ours
    return found
