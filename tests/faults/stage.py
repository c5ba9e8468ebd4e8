"""The stage: one app, on which cells are played one after the other, all of them under load.

Each cell finds a release live, aims at the other commit, and leaves that one live: what the
cell before it left behind is what it begins with, and nothing is laid out anew.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.e2e.support import load, machine
from tests.e2e.support.command import CommandLine, Ran, finish
from tests.e2e.support.load import Load, Loss
from tests.e2e.support.site import Site
from tests.faults import aftermath
from tests.faults.cells import Shape
from tests.faults.tally import Tally

DRIVER = Path(__file__).with_name("driver.py")
REVISION = "org.opencontainers.image.revision"
FEW = 15  # requests before and after a cell
# One release for each place; what is not in the contract, but would make cells long.
SETTINGS = {
    "PIPELINE_STABILITY_WINDOW": "0.3",
    "PIPELINE_STANDBY": "900",
    "PIPELINE_STOP_TIMEOUT": "3",
    "PIPELINE_DRAIN_TIMEOUT": "5",
    "PIPELINE_START_TIMEOUT": "20",
}


def never(_loss: Loss) -> bool:
    """Forgive no loss."""
    return False


@dataclass(kw_only=True)
class Stage:
    """One app and what is known of it.

    Attributes:
        folder: Where a driver and its cell meet.
        shape: Of what is live; None where nobody knows, as after a cell that failed.
        live: Name of the commit that is live.
        interrupted: What the last command has left unfinished, (kind, commit's hash).
        mended: How the next deploy went.
    """

    site: Site
    folder: Path
    tally: Tally
    shape: Shape | None = None
    live: str = ""
    interrupted: tuple[str, str] | None = field(default=None, init=False)
    mended: list[str] = field(default_factory=list, init=False)

    @property
    def other(self) -> str:
        return "a" if self.live == "b" else "b"

    @property
    def address(self) -> str:
        return self.site.address

    def sha(self, name: str) -> str:
        return self.site.commits[name]

    @property
    def invoke(self) -> CommandLine:
        """The command line, with the settings of the shape that is played."""
        shape = self.shape or Shape("blue-green", 1)
        return self.site.invoke.having(
            PIPELINE_STRATEGY=shape.strategy, PIPELINE_REPLICAS=str(shape.replicas), **SETTINGS
        )

    def prepare(self, shape: Shape) -> None:
        """Have a release of that shape live, over an earlier one of the same."""
        if self.shape == shape:
            return
        self.shape = shape
        served = self.site.served()
        names = ("b", "a") if served == "a" else ("a", "b")
        if not all(self.deploy(name).code == 0 for name in names):
            self.clear()
            for name in names:
                self.deploy(name).ok()
        self.live = names[-1]

    def clear(self) -> None:
        """Remove everything of this app but its images."""
        machine.remove_project(self.site.app)
        for each in self.site.state.iterdir() if self.site.state.exists() else ():
            shutil.rmtree(each) if each.is_dir() else each.unlink()

    def deploy(self, name: str, *argv: str) -> Ran:
        """Deploy one of the commits, without any accident."""
        return self.invoke("deploy", "--sha", self.sha(name), "--json", *argv)

    def drive(self, fault: str, *argv: str) -> Ran:
        """Run a command in which something happens (see driver.py), to its end."""
        return finish(self.start(fault, *argv))

    def start(self, fault: str, *argv: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command in which something happens."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        program = (".venv/bin/python", str(DRIVER))
        driven = replace(self.invoke, program=program)
        return driven.start(*argv, FAULT=fault, FAULT_FOLDER=str(self.folder), **environ)

    def start_deploy(self, fault: str, **environ: str) -> subprocess.Popen[str]:
        """Start a deploy of the other commit in which something happens."""
        return self.start(fault, "deploy", "--sha", self.sha(self.other), "--json", **environ)

    def wait_for_pause(self, child: subprocess.Popen[str]) -> None:
        """Wait until a driver waits for us."""
        machine.eventually(
            lambda: self._paused.exists() or child.poll() is not None, within=60, what="the pause"
        )
        assert child.poll() is None, finish(child).text

    def go_on(self) -> None:
        """Let a driver that waits for us go on."""
        self._paused.unlink()

    @property
    def _paused(self) -> Path:
        return self.folder / "paused"

    def steps(self) -> list[str]:
        """Return the kinds of the steps that the last driver has begun."""
        return [line.split()[-1] for line in self._log()]

    def _log(self) -> list[str]:
        log = self.folder / "steps"
        return log.read_text(encoding="ascii").splitlines() if log.exists() else []

    def story(self, lost: list[Loss]) -> str:
        """Return what was lost when, beside the steps of the last driver and the next deploy."""
        first = f"{len(lost)} were lost, {lost[0].started:.2f} to {lost[-1].started:.2f}, such as:"
        kinds = dict.fromkeys(loss.what for loss in lost)
        return "\n".join([first, *list(kinds)[:5], "steps:", *self._log(), *self.mended])

    def containers(self, name: str) -> list[str]:
        """Return the ids of the containers that run one of the commits."""
        labels = (f"{machine.PROJECT}={self.site.app}", f"{REVISION}={self.sha(name)}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return machine.docker("ps", "--quiet", "--no-trunc", *filters).split()

    def status(self) -> dict[str, Any]:
        """Return what `invoke status --json` says."""
        return dict(self.invoke("status", "--json").ok().json)

    @contextmanager
    def playing(
        self,
        group: str,
        shape: Shape,
        *,
        back: bool = False,
        forgives: Callable[[Loss], bool] = never,
    ) -> Iterator[Load]:
        """Play one cell under load, and see whether all is well afterwards.

        Args:
            group: Where its figures are counted.
            back: The next, normal deploy is that of the release that was live before.
            forgives: Tells whether a request that was lost could not but be lost.
        """
        began = time.monotonic()
        self.prepare(shape)
        then, self.interrupted = self.live if back else self.other, None
        before = load.total(self.address)
        running, missing = Load(self.address, before=before), {}
        try:
            with running:
                self._some_requests(running)
                yield running
                aftermath.next_deploy(self, then)
                self._some_requests(running)
            missing = running.missing()
            there = load.total(self.address)
        except BaseException:
            self.shape = None
            raise
        finally:
            seconds = time.monotonic() - began
            self.tally.add(group, running, missing=len(missing), seconds=seconds)
        self.live = then
        assert missing == {}, "acknowledged, and not there"
        assert there >= before + len(running.acknowledged), "older tasks are gone"
        lost = [loss for loss in running.lost if not forgives(loss)]
        assert not lost, self.story(lost)
        assert running.announced == 0 or shape.strategy == "recreate"

    def _some_requests(self, running: Load) -> None:
        enough = running.sent + FEW
        machine.eventually(lambda: running.sent > enough, within=15, what="load")

    def end(self) -> None:
        """End what still waits, for the standby's time to be over."""
        for pid in aftermath.waiting(self.site.app):
            os.kill(pid, signal.SIGTERM)
