"""Users of this machine that work for the pipeline: looked at, made, given what they need.

A user that is there is kept as it is, and only added to. What is made in a user's home is made
as that user, so that no link in it leads root astray.
"""

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.host.consent import Report

__all__ = [
    "DOCKER",
    "EQUALS_ROOT",
    "SHELL",
    "Account",
    "Folder",
    "Group",
    "Join",
    "Make",
    "find",
    "group_exists",
    "refuse",
]

DOCKER = "docker"  # the group that may talk to the engine
EQUALS_ROOT = "whoever is in it is as good as root here"
SHELL = "/bin/bash"
LOWEST_UID = 1000  # below are the system's own: /etc/login.defs of Debian and Ubuntu
NOBODY_UID = 65534
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
SECONDS = 30.0
PRIVATE = 0o700


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    home: Path
    shell: str

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of all groups that the user is in."""
        found = os.getgrouplist(self.name, self.gid)
        return tuple(each.gr_name for each in grp.getgrall() if each.gr_gid in found)


def find(name: str) -> Account | None:
    """Return the user of that name; None where there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(
        name=name,
        uid=found.pw_uid,
        gid=found.pw_gid,
        home=Path(found.pw_dir),
        shell=found.pw_shell,
    )


def group_exists(name: str) -> bool:
    """Return whether this machine has a group of that name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def refuse(name: str) -> None:
    """Return where a user of that name may work for the pipeline.

    Raises:
        UsageError: It is root, one of the system's own, or no name at all.
    """
    if not NAME.fullmatch(name):
        raise _refusal(name, "it is no name of a user: a-z, 0-9, _ and -, 32 at most")
    account = find(name)
    if name == "root" or (account is not None and account.uid == 0):
        raise _refusal(name, "whatever runs as root can do everything on this machine")
    if account is None and group_exists(name):
        raise _refusal(name, "a group of that name exists, and it would be this user's own")
    if account is not None and not LOWEST_UID <= account.uid < NOBODY_UID:
        raise _refusal(name, f"it is one of the system's own users (number {account.uid})")
    if account is not None and not _is_folder(account.home):
        raise UsageError(
            f"The user {name} has no home folder: {account.home} is not there.",
            hint=f"As root: `mkhomedir_helper {name}`; or choose another user.",
        )


def _refusal(name: str, why: str) -> UsageError:
    return UsageError(
        f"The user {name!r} cannot be used: {why}.",
        hint="Choose another name, such as deploy; a user that is missing is made.",
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not to be seen by us
        return True


@dataclass(frozen=True, kw_only=True)
class Group:
    """The engine's group, which is missing: somebody installed the engine without packages."""

    name: str = DOCKER

    def __str__(self) -> str:
        return (
            f"the group {self.name}, which may talk to the engine ({EQUALS_ROOT}): groupadd"
            " --system; dockerd takes it at its next start"
        )

    def do(self, report: Report) -> None:
        """Make it.

        Raises:
            UnavailableError: It could not be made.
        """
        _run("groupadd", "--system", self.name)
        report(f"group {self.name} made")


@dataclass(frozen=True, kw_only=True)
class Make:
    """A user to make: with a home and a shell, without a password."""

    name: str

    def __str__(self) -> str:
        return (
            f"the user {self.name}, without a password: make it (useradd --create-home --shell"
            f" {SHELL})"
        )

    def do(self, report: Report) -> None:
        """Make it.

        Raises:
            UnavailableError: It could not be made.
        """
        _run("useradd", "--create-home", "--user-group", "--shell", SHELL, self.name)
        report(f"user {self.name} made; its key goes into {_home(self.name)}/.ssh/authorized_keys")


@dataclass(frozen=True, kw_only=True)
class Join:
    """A group to put a user in."""

    name: str
    group: str = DOCKER

    def __str__(self) -> str:
        return f"{self.name} in the group {self.group} ({EQUALS_ROOT}): gpasswd --add"

    def do(self, report: Report) -> None:
        """Put the user there.

        Raises:
            UnavailableError: It could not be put there.
        """
        _run("gpasswd", "--add", self.name, self.group)
        report(f"{self.name} is in the group {self.group}, from its next login on")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that only one user can look into.

    Attributes:
        path: Where; below the user's home where it is relative.
        owner: The user's name; the user need not be there yet.
        what: What it is, for sentences.
    """

    path: Path
    owner: str
    what: str

    def __str__(self) -> str:
        where = self.path if self.path.is_absolute() else f"~{self.owner}/{self.path}"
        return f"{self.what} {where}, {self.owner}'s alone: make it so (mode 0700)"

    @property
    def place(self) -> Path:
        """Where it is, once the user is there."""
        return _home(self.owner) / self.path

    def lacks(self) -> bool:
        """Return whether it has to be made, or closed; False where we may not look.

        Raises:
            UsageError: Something is there that is not to be changed by us.
        """
        account = find(self.owner)
        if account is None:
            return True
        try:
            about = self.place.stat()
            owner = _owner(about)
            filled = stat.S_ISDIR(about.st_mode) and any(self.place.iterdir())
        except FileNotFoundError:
            return True
        except NotADirectoryError as exc:
            raise self._refusal("something on the way to it is no folder") from exc
        except OSError:
            return False
        if not stat.S_ISDIR(about.st_mode):
            raise self._refusal("it is there, and no folder")
        if owner != account.uid and filled:
            theirs = _name(owner)
            raise self._refusal(
                f"it belongs to {theirs} and is not empty",
                f"Have {theirs} go on with it; or, once nothing of it runs (`./bin/invoke down`),"
                f" as root: `chown -R {self.owner}: {self.place}`.",
            )
        return owner != account.uid or stat.S_IMODE(about.st_mode) != PRIVATE

    def do(self, report: Report) -> None:
        """Make it, and the folders above it that are missing.

        Raises:
            UnavailableError: It could not be made.
        """
        where = str(self.place)
        if self.place.is_relative_to(_home(self.owner)):
            user = ("runuser", "--user", self.owner, "--")
            _run(*user, "mkdir", "--parents", "--mode=0700", "--", where)
            _run(*user, "chmod", "0700", "--", where)
        else:
            own = (f"--owner={self.owner}", f"--group={_group(self.owner)}")
            _run("install", "--directory", "--mode=0700", *own, "--", where)
        report(f"{self.what}: {where}, for {self.owner} only")

    def _refusal(self, why: str, hint: str = "") -> UsageError:
        return UsageError(
            f"The {self.what} {self.place} cannot be {self.owner}'s: {why}. It was left as it is.",
            hint=hint
            or "Rename it, or choose another folder (PIPELINE_STATE_DIR); run this again.",
        )


def _home(name: str) -> Path:
    account = find(name)
    if account is None:
        raise UnavailableError(f"The user {name} is not there.", hint=f"`getent passwd {name}`.")
    return account.home


def _group(name: str) -> str:
    account = find(name)
    return str(account.gid) if account else name


def _owner(about: os.stat_result) -> int:
    return about.st_uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user of number {uid}"


def _run(*argv: str) -> None:
    try:
        shell.run(argv, timeout=SECONDS)
    except CommandError as exc:
        raise UnavailableError(
            f"This machine's users could not be changed: {exc.message}",
            hint="What it said is below; what was done before it stays, and is not done again.",
            details=exc.details,
        ) from exc
