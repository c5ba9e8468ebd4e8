"""Shows a commit's test coverage on Codecov."""

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, UsageError
from pipeline.settings import Secret, Settings
from pipeline.view import github

__all__ = ["upload"]

TIMEOUT = 120.0  # seconds; the upload itself takes about one
AUDIENCE = "https://codecov.io"  # whom GitHub's token is for


def upload(
    settings: Settings,
    *,
    sha: str,
    event: github.Event | None,
    report: Callable[[str], None],
    cwd: Path | None = None,
) -> None:
    """Send coverage.xml to Codecov as the coverage of one commit.

    Args:
        settings: Token and server.
        sha: Full commit hash; named because of a pull request the wrong one would be guessed.
        event: What GitHub runs us for: branch and pull request. None: codecov-cli asks git.
        report: Gets each line that codecov-cli says.
        cwd: Folder with coverage.xml; default: the checkout.

    Raises:
        UsageError: No coverage.xml, or nothing to show Codecov who we are.
        UnavailableError: GitHub offers an identity token and does not give it.
        CommandError: Codecov does not answer or refuses.
    """
    cwd = settings.root if cwd is None else cwd
    if not (cwd / "coverage.xml").is_file():
        raise UsageError(
            "There is no coverage.xml to upload.", hint="`nox -s tests` writes it; run that first."
        )
    token = _token(settings, event)
    server = ("--url", settings.codecov_url) if settings.codecov_url else ()
    branch = (f"--branch={event.branch}",) if event and event.branch else ()
    number = (f"--pr={event.number}",) if event and event.number else ()
    argv = [
        str(Path(sys.executable).parent / "codecovcli"),
        *("--disable-telem", *server, "upload-coverage", "--fail-on-error"),
        *("--plugin", "noop", "--disable-search", "--file", "coverage.xml"),
        *("--sha", sha, *branch, *number),
    ]
    env = {"CODECOV_TOKEN": token.reveal()} if token else {}
    try:
        shell.run(argv, timeout=TIMEOUT, cwd=cwd, env=env, secrets=[token], on_line=report)
    except CommandError as exc:
        raise CommandError(
            exc.message,
            code=exc.code,
            hint="Is CODECOV_TOKEN this repository's, and PIPELINE_CODECOV_URL the server that is"
            " meant? Where Codecov has its trouble, run this again later.",
            details=exc.details,
        ) from exc


def _token(settings: Settings, event: github.Event | None) -> Secret:
    """Return what shows Codecov who we are: nothing for a fork, whose branches are unprotected."""
    if proof := github.oidc_token(settings.codecov_url or AUDIENCE):
        return proof
    if settings.codecov_token or (event and event.fork):
        return settings.codecov_token
    raise UsageError(
        "There is no token for Codecov.",
        hint="Set CODECOV_TOKEN; Codecov shows it in the repository's settings. A job of GitHub's"
        " does without it where it may write `id-token`.",
    )
