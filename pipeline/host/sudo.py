"""`invoke host` as root, for a user whom `sudo` asks for no password: GitHub's own runners, say."""

import os
import shlex
import sys

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.host.consent import Report
from pipeline.settings import Settings

__all__ = ["host", "works"]

# The way out of this network is the user's; everything else is root's own.
KEPT = ",".join(  # how to reach the world, and what a server is prepared for
    (
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("PIPELINE_APP", "PIPELINE_STATE_DIR", "PIPELINE_DEPLOY_USER"),
        *("PIPELINE_BIND_ADDRESS", "PIPELINE_PORT"),
    )
)
SUDO = ("sudo", "-n", f"--preserve-env={KEPT}", "--")
TRIAL_SECONDS = 10.0
SECONDS = 2400.0  # an installation, and all base images


def works(*, yes: bool) -> bool:
    """Return whether we are not root, but may be without being asked; `yes`: somebody said so."""
    if not yes or os.geteuid() == 0:
        return False
    try:
        return shell.run([*SUDO, "true"], timeout=TRIAL_SECONDS, check=False).code == 0
    except CommandError:
        return False


def host(*flags: str, report: Report) -> None:
    """Run `invoke host --yes` with `flags` as root.

    Args:
        flags: More of the task's flags.
        report: Gets the line that is run, and each line that it says.

    Raises:
        EngineError: It failed.
    """
    argv = host_argv(*flags)
    report(f"as root: {shlex.join(argv)}")
    try:
        shell.run(argv, timeout=SECONDS, on_line=report)
    except CommandError as exc:
        raise EngineError(
            f"This machine could not be set up as root: {exc.message}",
            hint="Its last lines are below; `sudo ./bin/invoke host --yes` does the same.",
            details=exc.details,
        ) from exc


def host_argv(*flags: str) -> list[str]:
    """Return the argv: this interpreter, which leaves no bytecode of root's in the checkout."""
    root = str(Settings.root)
    return [
        *SUDO, sys.executable, "-B", "-E", "-s", f"{root}/tasks.py", "--search-root", root,
        "host", "--yes", *flags,
    ]  # fmt: skip
