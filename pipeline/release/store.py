"""The state folder: each release's files, and where everything else lives.

<state>/app  ledger.db  lock  retire.log  proxy/ (mounted)  run/ (mounted)
<state>/releases/<id>/docker-compose.yml  env (0600)
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UnavailableError, UsageError
from pipeline.ports import Bundle
from pipeline.release.release import Release

__all__ = ["State"]


class State:
    """The state folder of one app on the deploy host; only its owner can read what is secret."""

    def __init__(self, folder: Path, *, app: str) -> None:
        self.folder = folder
        self._app = app
        self._owner = folder / "app"
        self.ledger = folder / "ledger.db"
        self.lock = folder / "lock"
        self.retire_log = folder / "retire.log"
        self.proxy_config = folder / "proxy"
        self.proxy_run = folder / "run"

    def check(self) -> None:
        """Make sure that the folder is not another app's; one that is not there is nobody's.

        Raises:
            UsageError: It is another app's, or cannot be read.
        """
        try:
            found = self._owner.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._unusable(exc) from exc
        if found != self._app:
            raise UsageError(
                f"The state folder {self.folder} is that of the app {found!r}, not {self._app!r}.",
                hint=f"Set PIPELINE_STATE_DIR to a folder of {self._app}'s own, or PIPELINE_APP to"
                " the app that is meant.",
            )

    def create(self) -> None:
        """Make the folder, and have it say whose it is.

        Raises:
            UsageError: It cannot be made or written, or is another app's.
        """
        self.check()
        try:
            # One that is there keeps its mode: what is secret in it is closed by itself.
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._owner.exists():
                _write(self._owner, f"{self._app}\n", mode=0o600)
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, exc: OSError) -> UsageError:
        return UsageError(
            f"The state folder {self.folder} cannot be used: {exc.strerror}.",
            hint="Set state_dir in [tool.pipeline] or PIPELINE_STATE_DIR to a folder of yours.",
        )

    def save(self, release: Release, *, compose: str, env: str) -> None:
        """Keep the release's files; a release that is already kept is written again, the same.

        Raises:
            UnavailableError: The disk is full or read-only.
        """
        folder = self._release(release.id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / "docker-compose.yml", compose, mode=0o600)
            _write(folder / "env", env, mode=0o600)
        except OSError as exc:
            raise UnavailableError(
                f"The release could not be kept in {folder}: {exc.strerror}.",
                hint="Look at free space and permissions there (`df -h`), then deploy again.",
            ) from exc

    def env(self, release_id: str) -> str:
        """Return the release's env snapshot.

        Raises:
            UnavailableError: It is gone or damaged.
        """
        return self._read(release_id, "env")

    def compose(self, release_id: str) -> str:
        """Return the release's Compose file.

        Raises:
            UnavailableError: It is gone or damaged.
        """
        return self._read(release_id, "docker-compose.yml")

    def keeps(self, release_id: str) -> bool:
        """Tell whether the release's files are there."""
        folder = self._release(release_id)
        return all((folder / name).is_file() for name in ("docker-compose.yml", "env"))

    def bundle(self, release: Release, variables: Mapping[str, str]) -> Bundle:
        """Return what Compose needs to run the release; `variables` are the host's own."""
        folder = self._release(release.id)
        return Bundle(
            compose_file=folder / "docker-compose.yml",
            variables={
                **variables,
                "PIPELINE_IMAGE": release.image,
                "PIPELINE_RELEASE": release.id,
                "PIPELINE_ENV_FILE": str(folder / "env"),
                "PIPELINE_PROXY_DIR": str(self.proxy_config),
                "PIPELINE_PROXY_RUN": str(self.proxy_run),
            },
        )

    def _release(self, release_id: str) -> Path:
        return self.folder / "releases" / release_id

    def _read(self, release_id: str, name: str) -> str:
        try:
            return (self._release(release_id) / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise UnavailableError(
                f"The {name} of release {release_id} cannot be read: {exc}.",
                hint="`invoke history` lists what was released; deploy that commit again.",
            ) from exc


def _write(path: Path, text: str, *, mode: int) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
