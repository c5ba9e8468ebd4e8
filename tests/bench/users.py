"""The users' process, seen from whoever measures."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load import LONGEST, TIMEOUT
from tests.bench.samples import WARM_UP, Sample
from tests.e2e.support.checkout import REPOSITORY


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How many users, and what they do.

    Attributes:
        rate: Requests a second, over all connections.
        before: Requests that are counted before a command starts.
        watch: Only ask which commit answers.
    """

    rate: float = 100.0
    connections: int = 10
    before: int = 500
    watch: bool = False

    def argv(self, address: str) -> list[str]:
        """Return the command that runs them."""
        return [
            *(sys.executable, "-m", "tests.bench.load", address),
            *("--rate", str(self.rate), "--connections", str(self.connections)),
            *("--before", str(self.before + WARM_UP)),
            *(["--watch"] if self.watch else []),
        ]


BUSY = Crowd()
# What is left of a load where one still has to see which release answers: one look every 20 ms,
# as often as the floor is looked at.
IDLE = Crowd(rate=50.0, connections=1, before=50, watch=True)


@dataclass
class Seen:
    """What the users saw; nothing before they have gone."""

    samples: list[Sample] = field(default_factory=list)


@contextmanager
def users(address: str, crowd: Crowd) -> Iterator[Seen]:
    """Have users at an address while the `with` block runs, and for a moment after it."""
    with tempfile.TemporaryDirectory(prefix="users-") as folder:
        file = Path(folder) / "samples.json"
        child = subprocess.Popen(
            [*crowd.argv(address), "--samples", str(file)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
        try:
            assert child.stdout
            warm = child.stdout.readline()  # it ends by itself after LONGEST, and so does this
            assert warm == "warm\n", f"the users' process ended with {child.wait(TIMEOUT)}"
            seen = Seen()
            yield seen
            child.communicate(timeout=LONGEST)
            assert child.returncode == 0, f"the users' process ended with {child.returncode}"
            seen.samples += (Sample(*each) for each in json.loads(file.read_bytes()))
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
