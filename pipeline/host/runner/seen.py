"""The runner as it is on this machine; looking changes nothing."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.host import accounts
from pipeline.host.accounts import Account
from pipeline.host.runner.service import Service
from pipeline.host.runner.user import in_docker

__all__ = ["ASIDE", "CONFIGURATION", "NOTES", "STAGE", "Seen", "is_busy", "look", "notes"]

# The runner's own, except NOTES: it does not say anywhere which labels it has.
CONFIGURATION = (
    ".runner",
    ".credentials",
    ".credentials_rsaparams",
    ".runner_migrated",
    ".credentials_migrated",
)
NOTES = ".pipeline.json"
STAGE = ".pipeline-new"  # in the runner's folder, so that a rename is all it takes
ASIDE = ".pipeline-before"
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A runner, or none.

    Attributes:
        account: Its user; None where there is none.
        in_docker: Whether that user may use the engine; None where there is no such group.
        folder: Where it is.
        there: Its programs are there.
        foreign: Something else is there.
        version: Of its programs; "" where nobody knows.
        updated: It has brought itself to that version.
        url: What it is registered for; "" where it is not.
        name: What GitHub calls it.
        labels: Besides GitHub's own; None where nobody knows.
        service: As `Service.state()`.
    """

    account: Account | None
    in_docker: bool | None
    folder: Path
    there: bool = False
    foreign: bool = False
    version: str = ""
    updated: bool = False
    url: str = ""
    name: str = ""
    labels: tuple[str, ...] | None = None
    service: str = "not installed"


def look(user: str, folder: Path) -> Seen:
    """Return what is there.

    Raises:
        UnavailableError: The folder may not be looked at.
    """
    found = accounts.find(user)
    member = in_docker(found)
    try:
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        foreign = folder.exists() and not folder.is_dir()
        if foreign or not names & {"config.sh", NOTES, ".runner"}:
            foreign = foreign or bool(names - {STAGE, ASIDE})  # of one that was killed
            return Seen(account=found, in_docker=member, folder=folder, foreign=foreign)
        noted, registered = notes(folder), _read(folder / ".runner")
        version, updated = _version(folder, noted)
        labels = noted.get("labels")
        return Seen(
            account=found,
            in_docker=member,
            folder=folder,
            there={"config.sh", "bin"} <= names,
            version=version,
            updated=updated,
            url=str(registered.get("gitHubUrl") or ""),
            name=str(registered.get("agentName") or ""),
            labels=tuple(map(str, labels)) if isinstance(labels, list) else None,
            service=Service(folder=folder, user=user).state(),
        )
    except PermissionError as exc:
        raise UnavailableError(
            f"The runner's folder {folder} may not be looked at by this user.",
            hint="Say it as root, or as the runner's user.",
        ) from exc


def notes(folder: Path) -> dict[str, Any]:
    """Return what we have noted of the runner in `folder`; empty where that is nothing."""
    return _read(folder / NOTES)


def is_busy(folder: Path) -> bool:
    """Tell whether a job runs on the runner in `folder`."""
    return any(
        Path(program).name == "Runner.Worker" and Path(program).is_relative_to(folder)
        for program in _programs()
    )


def _programs() -> Iterable[str]:
    for process in PROC.glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        yield line.split(b"\0")[0].decode(errors="replace")


def _version(folder: Path, noted: dict[str, Any]) -> tuple[str, bool]:
    # What has updated itself has made a link of its folder of programs.
    link = folder / "bin"
    if link.is_symlink():
        found = re.fullmatch(r"bin\.(\d+\.\d+\.\d+)", link.readlink().name)
        return (found[1], True) if found else ("", False)
    return str(noted.get("version") or ""), False


def _read(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8-sig"))  # the runner begins with a BOM
    except PermissionError:
        raise
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
