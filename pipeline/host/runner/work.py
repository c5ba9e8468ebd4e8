"""The steps of an installation: which are needed, and what each does."""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, PipelineError, UnavailableError, UsageError
from pipeline.host import accounts
from pipeline.host.accounts import Account
from pipeline.host.consent import Report
from pipeline.host.runner import archive, github, user
from pipeline.host.runner.seen import ASIDE, CONFIGURATION, NOTES, STAGE, Seen, notes
from pipeline.host.runner.service import Service
from pipeline.host.runner.user import KEPT, PATH
from pipeline.host.runner.wanted import Wanted
from pipeline.settings import Secret

__all__ = ["Work", "plan"]

CONFIGURE_SECONDS = 180.0
PROBE_SECONDS = 60.0
PACKAGES_SECONDS = 900.0


def plan(seen: Seen, wanted: Wanted) -> dict[str, str]:
    """Return the steps from `seen` to `wanted`, each with a sentence for people.

    What has updated itself beyond what the settings say stays as it is.
    """
    outdated = seen.version != wanted.version and not (
        seen.updated and _number(seen.version) > _number(wanted.version)
    )
    replace = not seen.there or outdated
    other = seen.labels is not None and set(seen.labels) != set(wanted.labels)
    moves = seen.url.rstrip("/").lower() != wanted.url.lower()
    configure = moves or other
    join = seen.in_docker is not None and not seen.in_docker
    installed, runs = seen.service != "not installed", seen.service == "active"
    before = f" (there is {seen.version or 'another'})" if seen.there else ""
    left = f"; remove {seen.name} at {seen.url} on GitHub's page" if moves and seen.url else ""
    packages = "install the system's packages that it lacks (its bin/installdependencies.sh)"
    labels = f" with the labels {', '.join(wanted.labels)}" if wanted.labels else ""
    steps: dict[str, tuple[bool, str]] = {
        "make": (seen.account is None, str(accounts.Make(name=wanted.user))),
        "join": (join, str(accounts.Join(name=wanted.user))),
        "fetch": (
            replace,
            f"download {wanted.archive}{before}, compare its SHA-256, and {packages}",
        ),
        "stop": (runs and (replace or join or configure), "stop the runner's service"),
        "place": (replace, f"put the runner {wanted.version} into {wanted.folder}"),
        "leave": (installed and configure, "remove the runner's service as it is"),
        "configure": (configure, f"register {wanted.name} at {wanted.url}{labels}{left}"),
        "install": (
            configure or not installed,
            f"make it a service of {wanted.user}, started at boot",
        ),
        "start": (
            seen.service in {"inactive", "not installed"} or replace or join or configure,
            "start the runner's service",
        ),
    }
    return {name: sentence for name, (needed, sentence) in steps.items() if needed}


@dataclass(kw_only=True)
class Work:
    """What each step does; `do()` does them all.

    Attributes:
        wanted: What is to be.
        token: For GitHub, where the runner has to be registered.
        ca_bundle: What is trusted.
        report: Gets one line for each thing done.
    """

    wanted: Wanted
    token: Secret
    ca_bundle: Path
    report: Report
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(folder=self.wanted.folder, user=self.wanted.user)

    def do(self, steps: Mapping[str, str]) -> None:
        """Do `steps`; where one fails, let what ran before run again.

        Raises:
            PipelineError: One failed.
        """
        folder = self.wanted.folder
        shutil.rmtree(folder / STAGE, ignore_errors=True)  # of one that was killed
        _move(folder / ASIDE, folder)
        there = folder.exists()
        try:
            for name in steps:
                step: Callable[[], None] = getattr(self, f"_{name}")
                step()
        except BaseException as exc:
            if "stop" in steps and self.service.state() != "active":
                self._serve_again()
            if isinstance(exc, OSError):
                raise UnavailableError(f"{folder} could not be changed: {exc}.") from exc
            raise
        finally:
            shutil.rmtree(folder / STAGE, ignore_errors=True)
            if not there:
                with suppress(OSError):
                    folder.rmdir()  # nothing has come into it

    @property
    def account(self) -> Account:
        """Return the runner's user, who is there by now."""
        found = accounts.find(self.wanted.user)
        if found is None:
            raise UnavailableError(f"There is no user {self.wanted.user}.")
        return found

    def _make(self) -> None:
        accounts.Make(name=self.wanted.user).do(lambda _: None)  # nobody logs in as the runner
        self.report(f"user {self.wanted.user} made")

    def _join(self) -> None:
        accounts.Join(name=self.wanted.user).do(self.report)

    def _fetch(self) -> None:
        folder, stage = self.wanted.folder, self.wanted.folder / STAGE
        if not folder.exists():
            folder.mkdir(parents=True)
            user.own(self.account, folder)
        stage.mkdir()
        part, files = stage / "archive.part", stage / "files"
        self.report(f"downloading {self.wanted.archive}")
        archive.download(
            self.wanted.archive, part, sha256=self.wanted.sha256, ca_bundle=self.ca_bundle
        )
        archive.unpack(part, files)
        part.unlink()
        user.own(self.account, files)
        self._try(files)

    def _try(self, files: Path) -> None:
        """See that the new programs run on this system and are what the settings say."""
        argv = ["./config.sh", "--version"]  # which looks for the packages first
        packages = files / "bin/installdependencies.sh"
        try:
            said = user.run(self.account, argv, cwd=files, timeout=PROBE_SECONDS, check=False)
            if said.code != 0 and packages.is_file():
                self.report("installing the system's packages that the runner lacks")
                shell.run(
                    [str(packages)],
                    cwd=files,
                    timeout=PACKAGES_SECONDS,
                    env={"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"},
                    inherit=KEPT,
                )
            if said.code != 0:
                said = user.run(self.account, argv, cwd=files, timeout=PROBE_SECONDS)
        except CommandError as exc:
            raise UnavailableError(
                f"The runner {self.wanted.version} does not run on this machine: {exc.message}",
                hint=f"Is its archive made for this machine? {archive.AGAIN}",
                details=exc.details,
            ) from exc
        match = re.search(r"^\d+\.\d+\.\d+$", said.stdout, re.MULTILINE)
        found = match[0] if match else "of no version"
        if found != self.wanted.version:
            raise UsageError(
                f"The archive holds the runner {found}, not {self.wanted.version}, as the setting "
                "runner_version says.",
                hint="Version and SHA-256 have to be those of one release. Nothing was changed.",
            )

    def _stop(self) -> None:
        self.service.stop()

    def _place(self) -> None:
        folder, stage = self.wanted.folder, self.wanted.folder / STAGE
        old, moved = stage / "old", []
        old.mkdir()
        new = [path for path in (stage / "files").iterdir() if path.name not in _KEPT]
        stale = [path for name in ("bin.*", "externals.*") for path in folder.glob(name)]
        there = [folder / path.name for path in new if os.path.lexists(folder / path.name)]
        try:
            for source, target in [
                *((path, old / path.name) for path in (*there, *stale)),
                *((path, folder / path.name) for path in new),
            ]:
                source.rename(target)
                moved.append((source, target))
        except BaseException:
            for source, target in reversed(moved):
                target.rename(source)
            raise
        unit, script = folder / "runsvc.sh", folder / "bin/runsvc.sh"
        if unit.is_file() and script.is_file():
            shutil.copy(script, stage / "runsvc.sh")  # as the runner's own updates do
            user.own(self.account, stage / "runsvc.sh")
            (stage / "runsvc.sh").replace(unit)
        self._note(version=self.wanted.version, sha256=self.wanted.sha256)

    def _leave(self) -> None:
        self.service.uninstall()

    def _configure(self) -> None:
        folder = self.wanted.folder
        aside = folder / ASIDE
        aside.mkdir(mode=0o700)
        _move(folder, aside)
        try:
            self._register()
        except BaseException:
            for name in _CONFIGURED:
                (folder / name).unlink(missing_ok=True)
            _move(aside, folder)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._note(labels=list(self.wanted.labels))
        self.report(f"registered {self.wanted.name} at {self.wanted.url}")

    def _register(self) -> None:
        wanted = self.wanted
        labels = ["--labels", ",".join(wanted.labels)] if wanted.labels else []
        try:
            user.run(
                self.account,
                [
                    "./config.sh", "--unattended", "--url", wanted.url, "--name", wanted.name,
                    *labels, "--work", "_work", "--replace",
                ],
                cwd=wanted.folder,
                timeout=CONFIGURE_SECONDS,
                env={github.TOKEN_VARIABLE: self.token.reveal()},
                secrets=[self.token],
            )  # fmt: skip
        except CommandError as exc:
            raise github.refusal(wanted.url, exc) from exc

    def _install(self) -> None:
        self.service.install()

    def _start(self) -> None:
        self.service.start()
        self.report("the runner's service runs, and starts with the machine")

    def _serve_again(self) -> None:
        try:
            if not self.service.installed:
                self.service.install()
            self.service.start()
        except PipelineError as exc:
            self.report(f"the runner's service does not run: {exc.message}")
        else:
            self.report("the runner's service runs again as before")

    def _note(self, **values: object) -> None:
        file = self.wanted.folder / NOTES
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with new.open("x", encoding="utf-8") as out:  # through no link
            json.dump({**notes(self.wanted.folder), **values}, out)
        new.replace(file)


_CONFIGURED = (*CONFIGURATION, "svc.sh")
# Whatever has come under these names to the new programs: what is in place stays.
_KEPT = {*_CONFIGURED, NOTES, ".env", ".path", "_work", "_diag"}


def _move(source: Path, target: Path) -> None:
    """Move the runner's configuration from folder to folder, as far as it is there."""
    for name in _CONFIGURED:
        if (source / name).is_file():
            (source / name).rename(target / name)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()
