"""What the settings want of the runner."""

import platform
import socket
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.host import accounts
from pipeline.host.runner import github
from pipeline.host.runner.user import home_of
from pipeline.settings import Settings

__all__ = ["Wanted", "folder", "user"]

ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm"}
DEFAULT_USER = "runner"
LONGEST_NAME = 64  # characters
DEPTH = 3  # parts of a path that may be a runner's: not /, not /srv
PAGE = "Settings > Actions > Runners > New self-hosted runner"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A runner as it should be.

    Attributes:
        url: Of the repository or organisation that it is for.
        name: What GitHub calls it.
        version: Of its release.
        sha256: Of that release's archive.
        archive: Where that is.
        labels: Besides GitHub's own.
        user: Who it is.
        folder: Where it is.
    """

    url: str
    name: str
    version: str
    sha256: str
    archive: str
    labels: tuple[str, ...]
    user: str
    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "Wanted":
        """Return what the settings want.

        Raises:
            UsageError: They do not say it, name root, or no runner is made for this machine.
        """
        if not settings.runner_url:
            raise UsageError(
                "What the runner is for is not set.",
                hint="Set PIPELINE_RUNNER_URL to https://github.com/OWNER/REPOSITORY.",
            )
        names = github.scope(settings.runner_url)
        if not (settings.runner_version and settings.runner_sha256):
            raise UsageError(
                "Version and SHA-256 of the runner's release are not both set.",
                hint=f"GitHub's page {PAGE} shows both; set PIPELINE_RUNNER_VERSION and "
                "PIPELINE_RUNNER_SHA256.",
            )
        machine = platform.machine()
        if machine not in ARCHITECTURES:
            raise UsageError(
                f"GitHub has no runner for this machine ({machine}).",
                hint=f"It has one for {', '.join(ARCHITECTURES)}.",
            )
        accounts.refuse(user(settings))
        archive = settings.runner_archive.replace("{version}", settings.runner_version)
        url = settings.runner_url.rstrip("/").removesuffix(".git")
        base = url[: url.rindex("/".join(names))]
        return cls(
            url=f"{base}{'/'.join(names)}",
            name=f"{settings.app}-{socket.gethostname()}"[:LONGEST_NAME],
            version=settings.runner_version,
            sha256=settings.runner_sha256,
            archive=archive.replace("{arch}", ARCHITECTURES[machine]),
            labels=settings.runner_labels,
            user=user(settings),
            folder=folder(settings),
        )


def user(settings: Settings) -> str:
    """Return the name of the user that the runner is."""
    return settings.runner_user or settings.deploy_user or DEFAULT_USER


def folder(settings: Settings) -> Path:
    """Return the runner's folder.

    Raises:
        UsageError: It could not be one.
    """
    name = user(settings)
    home, given = home_of(name), settings.runner_dir
    if given == Path():
        return home / "actions-runner"
    if not given.is_absolute() or ".." in given.parts or len(given.parts) < DEPTH:
        raise UsageError(
            f"{given} cannot be the runner's folder.",
            hint="Set PIPELINE_RUNNER_DIR to a whole path of a folder of its own, such as "
            f"/home/{name}/actions-runner.",
        )
    if given == home:
        raise UsageError(
            f"{given} is {name}'s home and cannot be the runner's folder.",
            hint=f"Set PIPELINE_RUNNER_DIR to a folder in it: {given}/actions-runner.",
        )
    return given
