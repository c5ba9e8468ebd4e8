"""What is done as the user that the runner is, and given to it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline import shell
from pipeline.host import accounts
from pipeline.host.accounts import Account
from pipeline.settings import Secret

__all__ = ["KEPT", "PATH", "home_of", "in_docker", "own", "run"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The way out of this network is this machine's; of the rest the runner would make its own.
KEPT = re.compile(r"LANG|TZ|TERM|(HTTP|HTTPS|NO|http|https|no)_(PROXY|proxy)")


def home_of(name: str) -> Path:
    """Return where the home of that user is, or would be made."""
    found = accounts.find(name)
    return found.home if found else Path("/home") / name


def in_docker(account: Account | None) -> bool | None:
    """Tell whether the user is in the engine's group; None where there is no such group."""
    if not accounts.group_exists(accounts.DOCKER):
        return None
    return account is not None and accounts.DOCKER in account.groups


def run(
    account: Account,
    argv: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    secrets: Sequence[Secret] = (),
    check: bool = True,
) -> shell.Result:
    """Run `argv` as that user, whose environment has little of ours; `env` is added.

    Raises:
        CommandError: As `shell.run()`.
    """
    if os.geteuid() != account.uid:
        ids = (f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups")
        argv = ["setpriv", *ids, "--", *argv]
    own = {"PATH": PATH, "HOME": str(account.home), "USER": account.name, "LOGNAME": account.name}
    return shell.run(
        argv,
        cwd=cwd,
        timeout=timeout,
        env={**own, **(env or {})},
        inherit=KEPT,
        secrets=secrets,
        check=check,
    )


def own(account: Account, path: Path) -> None:
    """Give `path`, and what is below it, to that user; links are not followed."""
    os.chown(path, account.uid, account.gid, follow_symlinks=False)
    if path.is_symlink() or not path.is_dir():
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, account.uid, account.gid, follow_symlinks=False)
