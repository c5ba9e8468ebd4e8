"""The machine below the engine: space, memory, clock, the folder that the pipeline keeps."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.host import apt
from pipeline.host.client import connect
from pipeline.host.doctor.check import Check, failed, fine, user, warned
from pipeline.host.doctor.facts import SECONDS, Facts, is_here, nearest

__all__ = ["clock", "disk", "memory", "state_folder"]

GIB = 1 << 30
SPACE_FAIL = GIB  # bytes; or twice the newest image, where that is more
SHARE_WARN = 0.15  # of the file system, or of its inodes
MEMORY_WARN = 512 << 20  # bytes
MEMORY = Path("/proc/meminfo")
SKEW_WARN, SKEW_FAIL = 5.0, 60.0  # seconds
CONTAINERD = Path("/var/lib/containerd")  # where its image store is, unless dockerd runs its own
KEPT = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "lock", "retire.log", "releases", "dumps")


def disk(facts: Facts) -> Check:
    """Look for room for the next release where images are, and where the state is."""
    needed = max(SPACE_FAIL, 2 * _newest_image(facts))
    found = [_space(folder) for folder in dict.fromkeys(_folders(facts))]
    free, share, folder = min(found)
    _, inodes, crowded = min((each[1], _inodes(each[2]), each[2]) for each in found)
    said = f"{free / GIB:.1f} GiB ({share:.0%}) free at {folder}"
    remedy = f"./bin/invoke prune  # `df -h {folder}` and `docker system df` show what takes it"
    if free < needed:
        return failed("disk", f"{said}; a release needs {needed / GIB:.1f} GiB", remedy)
    if inodes < SHARE_WARN:
        message = f"{inodes:.0%} of the inodes are free at {crowded}: few more files can be made"
        return warned("disk", message, f"./bin/invoke prune  # `df -i {crowded}` counts them")
    if share < SHARE_WARN:
        return warned("disk", said, remedy)
    return fine("disk", said)


def memory(_: Facts) -> Check:
    """Look for memory for a second release beside the live one."""
    lines = dict(line.split(":", 1) for line in MEMORY.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) << 10
    said = f"{available / GIB:.1f} GiB available"
    if available < MEMORY_WARN:
        remedy = "./bin/invoke retire  # removes the standby; `docker stats` shows the others"
        return warned("memory", said, remedy)
    return fine("memory", said)


def clock(facts: Facts) -> Check:
    """Compare our clock with the registry's, which has the last word on logins and certificates."""
    seen, url = facts.registry(), facts.settings.registry
    newest = datetime.fromtimestamp((facts.settings.root / "pyproject.toml").stat().st_mtime, UTC)
    now = datetime.now(UTC)
    if (newest - now).total_seconds() > SKEW_FAIL:
        message = f"it is {now:%F %T} UTC here, and this checkout is of {newest:%F %T} UTC"
        return failed("clock", message, _set_clock(None))
    if seen.date is None:
        return fine("clock", f"{now:%F %T} UTC; {url} does not say what time it is there")
    skew = abs(seen.skew)
    if skew <= SKEW_WARN:
        return fine("clock", f"as that of {url}")
    message = f"{skew:.0f} s {'ahead of' if seen.skew > 0 else 'behind'} that of {url}"
    made = failed if skew > SKEW_FAIL else warned
    return made("clock", message, _set_clock(seen.date))


def state_folder(facts: Facts) -> Check:
    """Look whether this user can keep ledger, lock and releases."""
    folder = facts.settings.state_dir
    there = nearest(folder)
    if not there.is_dir():
        remedy = f"export PIPELINE_STATE_DIR=$HOME/.local/state/{facts.settings.app}"
        return failed("state folder", f"{there} is in its way: it is no folder", remedy)
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        mount = next(each for each in (there, *there.absolute().parents) if each.is_mount())
        remedy = f"sudo mount -o remount,rw {mount}  # `dmesg` says why the kernel did that"
        return failed("state folder", f"{folder} is on a file system that is read-only", remedy)
    if (closed := _closed(folder, there)) is not None:
        return closed
    if there == folder and folder.stat().st_mode & 0o022:
        message = f"others than its owner can write {folder}"
        return warned("state folder", message, f"chmod go-w {folder}")
    verb = "is writable" if there == folder else "can be made"
    return fine("state folder", f"{folder} {verb}")


def _closed(folder: Path, there: Path) -> Check | None:
    """Return what this user cannot write, of the folder that is there of the wanted one."""
    remedy = f"sudo chown --recursive {user()}: {folder}"
    if not os.access(there, os.W_OK | os.X_OK):
        make = f"sudo install -d -m 0700 -o {user()} {folder}"
        message = f"user {user()} cannot write {folder}"
        return failed("state folder", message, remedy if there == folder else make)
    foreign = [
        name
        for name in KEPT
        if there == folder and (folder / name).exists() and not os.access(folder / name, os.W_OK)
    ]
    if foreign:
        message = f"user {user()} cannot write {', '.join(foreign)} in {folder}"
        return failed("state folder", message, remedy)
    return None


def _folders(facts: Facts) -> Iterator[Path]:
    yield nearest(facts.settings.state_dir)
    with suppress(PipelineError):  # the engine has a check of its own
        if is_here():
            yield nearest(Path(facts.info()["DockerRootDir"]))
            yield from filter(Path.is_dir, (CONTAINERD,))


def _space(folder: Path) -> tuple[int, float, Path]:
    """Return the bytes that are free there, and which share of all that is, as df counts."""
    about = os.statvfs(folder)
    used = about.f_blocks - about.f_bfree
    share = about.f_bavail / ((used + about.f_bavail) or 1)
    return about.f_bavail * about.f_frsize, share, folder


def _inodes(folder: Path) -> float:
    about = os.statvfs(folder)
    return about.f_favail / about.f_files if about.f_files else 1.0  # some have no end of them


def _newest_image(facts: Facts) -> int:
    """Return the bytes of this service's newest image here; 0 where there is none."""
    with suppress(PipelineError), connect(seconds=SECONDS) as client:
        images = client.api.images(name=facts.settings.image)
        newest = max(images, key=lambda each: each["Created"], default={"Size": 0})
        return int(newest["Size"])
    return 0


def _set_clock(right: datetime | None) -> str:
    if apt.SYSTEMD.is_dir() and shutil.which("timedatectl"):
        return "sudo timedatectl set-ntp true  # `timedatectl` shows whether it keeps up"
    if right is None:
        return "sudo date --utc --set='YYYY-MM-DD hh:mm:ss'"
    return f"sudo date --utc --set='{right.astimezone(UTC):%F %T}'"
