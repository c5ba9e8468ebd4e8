"""The runner's archive: downloaded, compared with its digest, and only then unpacked."""

import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UnavailableError, UsageError
from pipeline.host.probes import within
from pipeline.host.runner.web import NoAnswerError, asked

if TYPE_CHECKING:
    from requests import Response

__all__ = ["AGAIN", "download", "unpack"]

NEEDED = ("config.sh", "run.sh", "bin/Runner.Listener")
DEADLINE = 900.0  # seconds for all of it
LIMIT = 500 * 2**20  # bytes of the archive
UNPACKED_LIMIT = 4 * 2**30  # bytes
ROOM = 5  # times the archive's size: what it takes on the disk, packed and unpacked
CHUNK = 2**18  # bytes
_OK = 200
AGAIN = "Nothing was kept and nothing changed; the same command tries again."


def download(url: str, part: Path, *, sha256: str, ca_bundle: Path) -> None:
    """Write what is at `url` to the new file `part`, if its SHA-256 is as it should be.

    Args:
        url: Of the archive.
        part: The file; it is gone where this fails.
        sha256: The digest, in lower case.
        ca_bundle: What is trusted.

    Raises:
        UnavailableError: There is no such archive, it is too large, or it came incomplete.
        UsageError: It is another archive.
    """
    found = ""
    try:
        found = within(DEADLINE, lambda: _fetch(url, part, ca_bundle), otherwise="")
    finally:
        if found != sha256:
            part.unlink(missing_ok=True)
    if not found:
        raise UnavailableError(
            f"The runner's archive did not come within {DEADLINE:g} s from {url}.", hint=AGAIN
        )
    if found != sha256:
        raise UsageError(
            f"The archive at {url} is not the one that was expected: its SHA-256 is {found}, "
            f"the setting runner_sha256 says {sha256}.",
            hint="It was removed. Compare both with GitHub's page Settings > Actions > "
            "Runners > New self-hosted runner, which shows version and SHA-256.",
        )


def unpack(archive: Path, into: Path) -> None:
    """Unpack a verified archive into the new folder `into`.

    Raises:
        UnavailableError: It is no runner's archive, or a dangerous one, or does not fit.
    """
    try:
        into.mkdir(mode=0o755)
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(into, members=_bounded(tar), filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as exc:
        raise UnavailableError(
            f"The runner's archive cannot be unpacked: {exc}.",
            hint=f"Is the setting runner_archive right? {AGAIN}",
        ) from exc
    lacking = [name for name in NEEDED if not (into / name).is_file()]
    if lacking:
        raise UnavailableError(
            f"The archive is no runner's: it has no {', no '.join(lacking)}.",
            hint=f"Is the setting runner_archive right? {AGAIN}",
        )


def _fetch(url: str, part: Path, ca_bundle: Path) -> str:
    try:
        with asked(url, ca_bundle=ca_bundle) as response:
            return _keep(response, url, part)
    except NoAnswerError as exc:
        raise UnavailableError(
            f"The runner's archive could not be downloaded from {url}: {exc}.", hint=AGAIN
        ) from exc
    except OSError as exc:
        raise UnavailableError(
            f"The runner's archive could not be written to {part.parent}: {exc.strerror}.",
            hint=AGAIN,
        ) from exc


def _keep(response: "Response", url: str, part: Path) -> str:
    if response.status_code != _OK:
        raise UnavailableError(
            f"The runner's archive is not at {url}: HTTP status {response.status_code}.",
            hint="Are the settings runner_version and runner_archive right?",
        )
    length = response.headers.get("Content-Length", "")
    said = int(length) if length.isdecimal() else 0
    if said > LIMIT:
        raise _too_large(url)
    free = shutil.disk_usage(part.parent).free
    if free < said * ROOM:
        raise UnavailableError(
            f"The disk of {part.parent} has {free / 1e6:.0f} MB left; the runner takes up to "
            f"{said * ROOM / 1e6:.0f} MB.",
            hint="`./bin/invoke prune` frees space. Nothing was changed.",
        )
    digest, size = hashlib.sha256(), 0
    with part.open("xb") as file:
        for chunk in response.iter_content(CHUNK):
            size += len(chunk)
            if size > LIMIT:
                raise _too_large(url)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _too_large(url: str) -> UnavailableError:
    return UnavailableError(
        f"What is at {url} is larger than {LIMIT / 2**20:.0f} MiB: no runner's archive is.",
        hint="Is the setting runner_archive right?",
    )


def _bounded(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    size = 0
    for member in tar:
        size += member.size
        if size > UNPACKED_LIMIT:
            raise tarfile.TarError(f"it holds more than {UNPACKED_LIMIT / 2**30:.0f} GiB")
        yield member
