"""Shows a commit's test coverage on Codecov."""

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import shell
from pipeline.errors import UsageError
from pipeline.settings import Settings

__all__ = ["upload"]

TIMEOUT = 120.0  # seconds; the upload itself takes about one


def upload(
    settings: Settings, *, sha: str, report: Callable[[str], None], cwd: Path | None = None
) -> None:
    """Send coverage.xml to Codecov as the coverage of one commit.

    Args:
        settings: Token and server; repository and branch are found by codecov-cli
            itself (GitHub's variables, else the git remote).
        sha: Full commit hash; named because a merge commit would be guessed wrong.
        report: Gets each line that codecov-cli says.
        cwd: Folder with coverage.xml; default: the checkout.

    Raises:
        UsageError: No token, or no coverage.xml.
        CommandError: Codecov does not answer or refuses.
    """
    cwd = settings.root if cwd is None else cwd
    if not settings.codecov_token:
        raise UsageError(
            "There is no token for Codecov.",
            hint="Set CODECOV_TOKEN; Codecov shows it in the repository's settings.",
        )
    if not (cwd / "coverage.xml").is_file():
        raise UsageError(
            "There is no coverage.xml to upload.", hint="`nox -s tests` writes it; run that first."
        )
    server = ("--url", settings.codecov_url) if settings.codecov_url else ()
    shell.run(
        [
            str(Path(sys.executable).parent / "codecovcli"),
            *("--disable-telem", *server, "upload-coverage", "--fail-on-error"),
            *("--plugin", "noop", "--disable-search", "--file", "coverage.xml", "--sha", sha),
        ],
        timeout=TIMEOUT,
        cwd=cwd,
        env={"CODECOV_TOKEN": settings.codecov_token.reveal()},
        secrets=[settings.codecov_token],
        on_line=report,
    )
