"""GitHub's runner on this machine: installed, looked at, removed.

What it is for, its version and its SHA-256 come from the settings; the token, which GitHub
lends for an hour, from the environment, and reaches the runner's config.sh there and nowhere else.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.host.consent import Confirm, Report, agree
from pipeline.host.runner import github, user, wanted
from pipeline.host.runner.seen import Seen, is_busy, look
from pipeline.host.runner.service import Service
from pipeline.host.runner.wanted import Wanted
from pipeline.host.runner.work import Work, plan
from pipeline.settings import Secret, Settings

__all__ = ["Status", "install", "remove", "status", "unknown"]

REMOVE_SECONDS = 120.0
INSTALL = "./bin/invoke runner install --yes"
REMOVE = "./bin/invoke runner remove --yes"


@dataclass(frozen=True, kw_only=True)
class Status:
    """The runner of this machine.

    Attributes:
        configured: It is registered at GitHub.
        url: For what; "" where it is not.
        name: What GitHub calls it.
        labels: Besides GitHub's own; None where nobody knows.
        version: Of its programs; "" where nobody knows.
        user: Who it is.
        folder: Where it is.
        service: `active`, `inactive`, `not installed` or `unknown`.
        trouble: Why it does not run although it should; else "".
    """

    configured: bool
    url: str
    name: str
    labels: tuple[str, ...] | None
    version: str
    user: str
    folder: str
    service: str
    trouble: str

    @property
    def remedy(self) -> str:
        """Return what mends the trouble."""
        return f"`sudo {INSTALL}`" if self.trouble else ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return asdict(self)


def status(settings: Settings) -> Status:
    """Look at the runner; changes nothing.

    Raises:
        UsageError: The settings name an impossible user or folder.
        UnavailableError: This user may not look.
    """
    name = wanted.user(settings)
    seen = look(name, wanted.folder(settings))
    trouble = ""
    if seen.url and seen.service in {"inactive", "not installed"}:
        trouble = f"it is registered, but its service is {seen.service}"
    elif settings.runner_url and not seen.url:
        trouble = f"it is not registered at {settings.runner_url}"
    return Status(
        configured=bool(seen.url),
        url=seen.url,
        name=seen.name,
        labels=seen.labels,
        version=seen.version,
        user=name,
        folder=str(seen.folder),
        service=seen.service,
        trouble=trouble,
    )


def install(
    settings: Settings,
    *,
    allow_public: bool,
    yes: bool,
    interactive: bool,
    confirm: Confirm,
    report: Report,
) -> Status:
    """Make the runner of this machine what the settings want, and let it run.

    Args:
        settings: The settings.
        allow_public: Take a repository that everybody can see, too.
        yes: Said on the command line.
        interactive: Somebody is there to be asked.
        confirm: Asks.
        report: Gets one line for each thing done.

    Raises:
        UsageError: The settings do not do, nobody agreed, or everybody can see the repository.
        UnavailableError: It could not be done; what was there before is there, and runs.
    """
    want = Wanted.of(settings)
    seen = look(want.user, want.folder)
    if seen.foreign:
        raise UsageError(
            f"In {want.folder} is something that is no runner.",
            hint="Set PIPELINE_RUNNER_DIR to a folder of its own, or move what is there.",
        )
    if seen.updated and seen.version != want.version:
        report(f"the runner has brought itself to version {seen.version}")
    steps = plan(seen, want)
    if not steps:
        report("the runner is as it should be; nothing to do")
        return status(settings)
    _require_root(INSTALL)
    if "configure" in steps and not settings.runner_token:
        raise github.token_missing(want.url, what="register")
    if allow_public:
        report(f"whether {want.url} is public was not asked, as --allow-public says")
    else:
        api, bundle = settings.github_api, settings.ca_bundle
        if warning := github.refuse_public(want.url, api=api, ca_bundle=bundle):
            report(f"warning: {warning}")
    if seen.in_docker is None:
        report("warning: there is no group docker; `./bin/invoke host --yes` brings the engine")
    if "stop" in steps:
        _refuse_busy(seen)
    agree(
        list(steps.values()),
        command=INSTALL,
        yes=yes,
        interactive=interactive,
        confirm=confirm,
        report=report,
    )
    work = Work(
        wanted=want, token=settings.runner_token, ca_bundle=settings.ca_bundle, report=report
    )
    work.do(steps)
    return status(settings)


def remove(
    settings: Settings,
    *,
    local: bool,
    yes: bool,
    interactive: bool,
    confirm: Confirm,
    report: Report,
) -> bool:
    """Remove the runner from GitHub and from this machine; tell whether there was one.

    Its user stays.

    Args:
        settings: The settings.
        local: From this machine only, which needs no token.
        yes: Said on the command line.
        interactive: Somebody is there to be asked.
        confirm: Asks.
        report: Gets one line for each thing done.

    Raises:
        UsageError: There is no token, or nobody agreed.
        UnavailableError: It could not be done; what was there before is there, and runs.
    """
    name = wanted.user(settings)
    seen = look(name, wanted.folder(settings))
    if seen.foreign or not seen.folder.exists():
        report(f"there is no runner in {seen.folder}; nothing to do")
        return False
    _require_root(REMOVE)
    leave = bool(seen.url) and not local
    if leave and not settings.runner_token:
        error = github.token_missing(seen.url, what="remove")
        error.hint += " Where the repository is gone, `--local` needs none."
        raise error
    if leave and seen.account is None:
        raise UnavailableError(
            f"There is no user {name} any more, who has to remove the runner at {seen.url}.",
            hint="Say `--local`, and remove it on GitHub: Settings > Actions > Runners.",
        )
    _refuse_busy(seen)
    service = Service(folder=seen.folder, user=name)
    steps = ["stop the runner's service and remove it"] if service.installed else []
    steps += [f"remove {seen.name} at {seen.url}"] if leave else []
    steps += [f"remove the folder {seen.folder} with all that is in it"]
    agree(steps, command=REMOVE, yes=yes, interactive=interactive, confirm=confirm, report=report)
    if service.installed:
        service.uninstall()
    if leave:
        _unregister(seen, settings.runner_token, service)
    try:
        shutil.rmtree(seen.folder)
    except OSError as exc:
        raise UnavailableError(f"{seen.folder} cannot be removed: {exc}.") from exc
    report(f"the runner is removed; its user stays (`userdel --remove {name}` removes that)")
    return True


def unknown(action: str) -> UsageError:
    """Return the error for an action that there is not."""
    return UsageError(
        f"`invoke runner {action}` does not exist.",
        hint="There are `invoke runner install`, `status` and `remove`.",
    )


def _unregister(seen: Seen, token: Secret, service: Service) -> None:
    assert seen.account is not None  # noqa: S101 - remove() has looked
    try:
        user.run(
            seen.account,
            ["./config.sh", "remove"],
            cwd=seen.folder,
            timeout=REMOVE_SECONDS,
            env={github.TOKEN_VARIABLE: token.reveal()},
            secrets=[token],
        )
    except CommandError as exc:
        if seen.service == "active":
            service.install()
            service.start()
        raise github.refusal(seen.url, exc) from exc


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise UnavailableError(
            "Only root makes users and services; nothing was changed.",
            hint=f"`sudo --preserve-env=PIPELINE_RUNNER_TOKEN {command}`, with the other settings "
            "in pyproject.toml or named there, too.",
        )


def _refuse_busy(seen: Seen) -> None:
    if is_busy(seen.folder):
        raise UnavailableError(
            f"A job is running on the runner in {seen.folder}; nothing was changed.",
            hint="Wait until it has ended. A job cannot change the runner that it runs on.",
        )
