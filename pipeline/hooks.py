"""Commands of one's own beside a build or deployment: before it, after it, when it failed.

`[tool.pipeline.hooks]` names them. Each runs in the checkout's root, is told on standard input,
as JSON, what it is about, and does not see the pipeline's secrets. docs/hooks.md is for people.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import CommandError, PipelineError, UnavailableError
from pipeline.outcome import Outcome, Report
from pipeline.release.release import Release
from pipeline.settings import Secret, Settings

__all__ = ["ask", "pre_deploy", "tell", "told"]

TIMEOUT = 600.0  # seconds for one command: the dump of a database takes minutes
AFTER_FAILURE = 60.0  # seconds; a cancel is not heard any more, and somebody waits for its end


def ask(
    settings: Settings,
    hook: str,
    about: Mapping[str, Any],
    *,
    report: Report,
    secrets: Sequence[Secret] = (),
) -> None:
    """Run the commands of a hook that comes before something, which goes on only after them.

    Args:
        settings: Has the commands.
        hook: `pre-build` or `pre-deploy`.
        about: What is going to be done.
        report: Gets their output, line by line.
        secrets: Values to hide in it, besides those of the settings.

    Raises:
        CommandError: One failed, is past its deadline or cannot be started; none after it runs.
        UnavailableError: The folder for dumps cannot be made.
    """
    commands = _commands(settings, hook)
    if commands and about.get("kind") != "build":
        _make_dumps(settings)
    for command in commands:
        try:
            _run(settings, hook, command, about, report=report, secrets=secrets)
        except CommandError as exc:
            raise CommandError(
                f"The hook {hook} stopped it, nothing was changed: {exc.message}",
                code=exc.code,
                hint=f"Mend that command, or take it out of {hook} in {_source(settings)}.",
                details=exc.details,
            ) from exc


def tell(
    settings: Settings,
    hook: str,
    about: Mapping[str, Any],
    *,
    report: Report,
    secrets: Sequence[Secret] = (),
) -> None:
    """Run the commands of a hook that comes after something; one that fails is a warning.

    Args:
        settings: Has the commands.
        hook: `post-deploy` or `on-failure`.
        about: How it ended.
        report: Gets their output, line by line.
        secrets: Values to hide in it, besides those of the settings.
    """
    for command in _commands(settings, hook):
        try:
            _run(settings, hook, command, about, report=report, secrets=secrets)
        except CommandError as exc:
            report(f"warning: the hook {hook}, of {_source(settings)}: {exc.message}")


def pre_deploy(
    settings: Settings, *, report: Report, secrets_of: Callable[[str], Sequence[Secret]]
) -> Callable[[str, Release], PipelineError | None]:
    """Return what asks the hook `pre-deploy` about a kind of deployment and its release.

    What that returns is why it must not begin, None where it may; a cancel is a reason, too.
    """

    def before(kind: str, release: Release) -> PipelineError | None:
        about = {"kind": kind, **_release(release)}
        try:
            ask(settings, "pre-deploy", about, report=report, secrets=secrets_of(release.id))
        except PipelineError as exc:
            return exc
        except KeyboardInterrupt:
            return PipelineError(
                "Cancelled in the hook pre-deploy; nothing was changed.",
                hint="`invoke status` shows what serves.",
            )
        return None

    return before


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what is told of a deployment that ended: what `--json` shows, and a little more."""
    kind = outcome.deployment.kind
    return {"kind": kind, **_release(outcome.release), **outcome.as_dict()}


def _release(release: Release) -> dict[str, Any]:
    return {
        "release": release.id,
        "sha": release.sha,
        "digest": release.digest,
        "image": release.image,
    }


def _commands(settings: Settings, hook: str) -> tuple[tuple[str, ...], ...]:
    commands: tuple[tuple[str, ...], ...] = getattr(settings.hooks, hook.replace("-", "_"))
    return commands


def _source(settings: Settings) -> str:
    source = settings.sources.get("hooks", "")
    return source if source.startswith("PIPELINE_") else "[tool.pipeline.hooks]"


def _run(
    settings: Settings,
    hook: str,
    command: tuple[str, ...],
    about: Mapping[str, Any],
    *,
    report: Report,
    secrets: Sequence[Secret],
) -> None:
    given = {"hook": hook, "app": settings.app, "url": settings.url, **about}
    if about.get("kind") != "build":
        given["dumps"] = str(_dumps(settings))
    own = [each for each in vars(settings).values() if isinstance(each, Secret)]
    hidden = sorted((*own, *secrets), key=lambda each: len(each.reveal()), reverse=True)
    report(f"{hook}: `{shlex.join(command)}`")
    shell.run(
        command,
        timeout=AFTER_FAILURE if about.get("error") else TIMEOUT,
        cwd=settings.root,
        stdin=json.dumps(given, default=str) + "\n",
        on_line=lambda line: report(f"{hook}: {line}"),
        secrets=hidden,
    )


def _dumps(settings: Settings) -> Path:
    return settings.state_dir / "dumps"


def _make_dumps(settings: Settings) -> None:
    """Make the folder that a hook may put a dump of the data into, for its owner alone."""
    folder = _dumps(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise UnavailableError(
            f"The folder {folder}, for hooks, cannot be made: {exc.strerror}.",
            hint="Look at free space and permissions of the state folder.",
        ) from exc
