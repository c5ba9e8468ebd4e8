"""How much of a service's throughput is left on the way through a proxy."""

import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.e2e.support import load, machine

ROUNDS = 5
SECONDS = 2
CONNECTIONS = 32
RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
TROUBLE = re.compile(r"^\s*(Socket errors|Non-2xx).*$", re.MULTILINE)


def missing() -> str:
    """Return what to do where wrk is not installed, "" where it is."""
    return "" if shutil.which("wrk") else "wrk is not installed. Next step: apt-get install wrk"


@contextmanager
def alone(image: str, name: str) -> Iterator[str]:
    """Run one container of an image; yield the address that it has itself."""
    machine.docker("run", "--detach", "--name", name, image)
    try:
        address = f"{_own(name)}:8000"
        machine.eventually(lambda: load.served(address), within=60, what=f"{name} at {address}")
        yield address
    finally:
        machine.docker("rm", "--force", "--volumes", name)


def behind(address: str) -> str:
    """Return the address that the container behind a published port has itself.

    Between the two may be the engine's own userland proxy, which is nobody's merit or fault; an
    address that no container publishes is returned as it is.
    """
    port = address.rsplit(":", 1)[1]
    found = machine.docker("ps", "--quiet", "--filter", f"publish={port}").split()
    if not found:
        return address
    ports = machine.inspect(found[0])["NetworkSettings"]["Ports"]
    (inside,) = {
        inside.split("/")[0]
        for inside, outside in ports.items()
        if any(each["HostPort"] == port for each in outside or ())
    }
    return f"{_own(found[0])}:{inside}"


def compare(address: str, direct: str) -> dict[str, float]:
    """Return what comes through a proxy and to a container itself, measured in turn.

    Every ratio is the middle one of those of each turn; the first turn only warms up.
    """
    ways = {"proxy": behind(address), "published": address, "direct": direct}
    turns = [{way: _measure(at) for way, at in ways.items()} for _ in range(ROUNDS + 1)][1:]
    return summary(turns)


def summary(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the middle ratios and rates of requests a second by way, for a row. Pure."""
    row = {
        f"throughput_{way}_over_direct": statistics.median(
            turn[way] / turn["direct"] for turn in turns
        )
        for way in ("proxy", "published")
    }
    rates = {way: statistics.median(turn[way] for turn in turns) for way in turns[0]}
    return row | {f"requests_per_second_{way}": rate for way, rate in rates.items()}


def _own(container: str) -> str:
    """Return the address of a container in one of its networks."""
    networks = machine.inspect(container)["NetworkSettings"]["Networks"].values()
    return str(next(iter(networks))["IPAddress"])


def _measure(address: str) -> float:
    argv = [
        "wrk",
        "-t",
        "1",
        "-c",
        str(CONNECTIONS),
        "-d",
        str(SECONDS),
        f"http://{address}/health",
    ]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"wrk: {ran.stderr.strip()}"
    return parse(ran.stdout)


def parse(shown: str) -> float:
    """Return the requests a second that wrk says; fail where it says that some went wrong."""
    if trouble := TROUBLE.search(shown):
        raise AssertionError(f"wrk: {trouble[0].strip()}")
    found = RATE.search(shown)
    assert found, f"wrk said nothing of Requests/sec:\n{shown}"
    return float(found[1])
