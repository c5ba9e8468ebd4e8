"""The machine that was measured, without a name or a path."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.e2e.support import machine


def describe() -> dict[str, str | int | float]:
    """Return what one has to know to compare figures."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert memory
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 2**20, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "engine": machine.docker("version", "--format", "{{.Server.Version}}"),
        "compose": machine.docker("compose", "version", "--short"),
        "date": datetime.now(UTC).date().isoformat(),
    }
