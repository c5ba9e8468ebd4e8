"""One server as ssh reaches it: options, calls, git's push; what ssh says, as our errors.

ssh is the system's, and it goes by the user's own configuration: keys, agents, jump hosts, and
which host keys are known. We never tell it to be less strict than that.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline import shell
from pipeline.errors import CommandError, UnavailableError
from pipeline.settings import ROOT, Secret

__all__ = ["SSH_FAILED", "Connection"]

SSH_FAILED = 255  # ssh's own exit code; any other is the command's
NOT_FOUND = 127  # a shell's, for a program that is not there
CALL_TIMEOUT = 60.0  # seconds; what it does there takes none
PUSH_TIMEOUT = 300.0  # seconds
LONGEST_SOCKET = 104 - 58  # bytes for the folder; ssh adds /, a hash of 40 and for a moment 17

PLAIN = re.compile(r"[A-Za-z0-9/._-]+")

OPTIONS = {
    "ConnectTimeout": "10",
    "ServerAliveInterval": "15",  # four without an answer, and the connection counts as lost
    "ServerAliveCountMax": "4",
    "ControlMaster": "auto",
    "ControlPersist": "60",
    # What a user's configuration may say for people who log in:
    "RemoteCommand": "none",
    "ClearAllForwardings": "yes",
}
# Reads one line and no more: what follows on standard input says how long somebody is there.
LOADER = (
    "import json,sys;r=json.loads(sys.stdin.buffer.readline());"
    "c=compile(r.pop('code'),'there','exec');n={'__name__':'there'};exec(c,n);"
    "sys.exit(n['main'](r))"
)

# What ssh says; our message; the next step. The first that fits: where a key has changed, it
# also says that it could not be verified.
_REFUSALS = (
    (
        "IDENTIFICATION HAS CHANGED",
        "The host key of {name} is not the one that is known.",
        "Ask whoever runs it. Where the new key is right: ssh-keygen -R '{known}'; ssh {shown}",
    ),
    (
        "Host key verification failed",
        "The host key of {name} is not known here.",
        "Log in once, and compare the fingerprint that it shows: ssh {shown}",
    ),
    (
        "Permission denied",
        "{name} lets nobody in with the keys that ssh has here.",
        "Let it know yours: ssh-copy-id {shown}; where it has a passphrase: ssh-add",
    ),
    (
        "Could not resolve hostname",
        "There is no address for the name {host}.",
        "Correct PIPELINE_HOST, or name the host in ~/.ssh/config.",
    ),
)


@dataclass(frozen=True)
class Connection:
    """A server, `ssh://[user@]host[:port]`.

    Attributes:
        interactive: Whether somebody is there whom ssh may ask.
    """

    url: str
    interactive: bool = False

    @cached_property
    def name(self) -> str:
        """What people call it: `user@host`."""
        parts = urlsplit(self.url)
        return parts.netloc.rpartition(":")[0] if self._port else parts.netloc

    @property
    def _port(self) -> str:
        return urlsplit(self.url).netloc.partition(":")[2]

    def argv(self, *more: str, batch: bool = True) -> list[str]:
        """Return how to call ssh, up to the command.

        Args:
            more: Further options.
            batch: It is to fail instead of asking somebody.
        """
        return [*self._program(batch=batch), *more, *self._address(), "--", self.name]

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have the other end do something short, and return its answer.

        Raises:
            UnavailableError: ssh, Python or git are not there, or refuse.
        """
        ran = self._ask(request)
        if ran.code == SSH_FAILED and self.interactive:
            # It may have a question: a passphrase, or whether a host key is right.
            if shell.attach([*self.argv("-T", batch=False), "true"]):
                raise self.refusal(ran.tail)
            ran = self._ask(request)
        if ran.code == SSH_FAILED:
            raise self.refusal(ran.tail)
        if ran.code == NOT_FOUND:
            raise UnavailableError(
                f"{self.name} has no python3, which every command there needs.",
                hint=f"Install it there: ssh {self.shown} sudo apt-get install python3 git",
                details=ran.tail,
            )
        try:
            answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        except (ValueError, IndexError) as exc:
            raise UnavailableError(
                f"{self.name} does not answer as it should (exit code {ran.code}).",
                hint=f"`ssh {self.shown} python3 --version` has to print one line and no more.",
                details=ran.tail,
            ) from exc
        if "error" in answer:
            raise UnavailableError(
                f"{self.name} cannot run commands: {answer['error']}.",
                hint=f"Look at it: ssh {self.shown}; it takes git, python3.11, and some free disk.",
            )
        return answer

    def run(self, request: Mapping[str, Any]) -> int:
        """Have the other end run a command, with our output; return its exit code.

        The request may hold secrets: it goes through standard input. A signal to us cancels the
        command there, and what it then shows and ends with is ours, too.
        """
        return shell.attach(
            [*self.argv("-T"), _loader()],
            held=Secret(_line(request)),
            apart=True,
            deliver=lambda _: True,  # the first ends `held`; the undoing is not interrupted
        )

    def attach(self, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command there with our standard streams; return its exit code.

        Args:
            command: It is seen by everybody on both machines: no secrets.
            terminal: It gets one.
        """
        quiet = ("-o", "LogLevel=ERROR")  # ssh would have the last word: "Shared connection closed"
        return shell.attach([*self.argv("-t" if terminal else "-T", *quiet), shlex.join(command)])

    def push(self, commits: Sequence[str], repository: str, *, root: Path) -> None:
        """Bring commits of a checkout into a repository there.

        Raises:
            UnavailableError: git or ssh failed.
        """
        options = {
            "GIT_SSH_COMMAND": shlex.join(self._program()),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
        }
        url = f"ssh://{urlsplit(self.url).netloc}{repository}"
        # No hook: it would have all gates run before a mere copy.
        argv = ["git", "push", "--quiet", "--no-verify", "--", url]
        argv += [f"{each}:refs/pipeline/{each}" for each in commits]
        ran = shell.run(argv, timeout=PUSH_TIMEOUT, cwd=root, env=options, check=False)
        if ran.code:
            raise UnavailableError(
                f"The commit could not be brought to {self.name}.",
                hint=f"`ssh {self.shown} df -h .` shows whether there is room; then try again.",
                details=ran.tail,
            )

    def refusal(self, said: str) -> UnavailableError:
        """Return what it means that ssh could not do it."""
        host = urlsplit(self.url).hostname or ""
        known = f"[{host}]:{self._port}" if self._port else host
        for words, message, hint in _REFUSALS:
            if words in said:
                names = {"name": self.name, "host": host, "known": known, "shown": self.shown}
                return UnavailableError(
                    message.format(**names), hint=hint.format(**names), details=said
                )
        return UnavailableError(
            f"{self.name} cannot be reached by ssh.",
            hint=f"Is it up, and PIPELINE_HOST right? Try: ssh {self.shown}",
            details=said,
        )

    @property
    def shown(self) -> str:
        """What to type after `ssh`."""
        return " ".join([*self._address(), self.name])

    def close(self) -> None:
        """Have the next call connect anew, as whoever the user is by then (groups, for one)."""
        shell.run(self.argv("-O", "exit"), timeout=CALL_TIMEOUT, check=False)

    def _ask(self, request: Mapping[str, Any]) -> shell.Result:
        try:
            return shell.run(
                [*self.argv("-T"), _loader()],
                stdin=Secret(_line(request)),
                timeout=CALL_TIMEOUT,
                check=False,
            )
        except CommandError as exc:
            if exc.message.startswith("`ssh` "):
                hint = "Install it: apt-get install openssh-client"
                raise UnavailableError(exc.message, hint=hint) from exc
            raise UnavailableError(
                f"{self.name} did not answer within {CALL_TIMEOUT:g} s.",
                hint=f"Is it overloaded, or its disk? Try: ssh {self.shown} uptime",
                details=exc.details,
            ) from exc

    def _program(self, *, batch: bool = True) -> list[str]:
        given = {"BatchMode": "yes" if batch else "no", **OPTIONS}
        if (folder := _sockets()) is None:
            given |= {"ControlMaster": "no", "ControlPath": "none"}
        else:
            given["ControlPath"] = f"{folder}/%C"
        return ["ssh", *(word for pair in given.items() for word in ("-o", "=".join(pair)))]

    def _address(self) -> list[str]:
        return ["-p", self._port] if self._port else []


def _loader() -> str:
    return f"exec python3 -I -c {shlex.quote(LOADER)}"


def _line(request: Mapping[str, Any]) -> str:
    code = (ROOT / "bin/there").read_text(encoding="utf-8")
    return json.dumps({"code": code, **request}) + "\n"


def _sockets() -> Path | None:
    """Return a folder of ours alone for ssh's sockets; None where there can be none."""
    runtime = Path(f"/run/user/{os.getuid()}")
    folder = (runtime if os.access(runtime, os.W_OK) else Path.home() / ".cache") / "pipeline-ssh"
    if len(os.fsencode(folder)) > LONGEST_SOCKET or not PLAIN.fullmatch(str(folder)):
        return None  # a path to a socket has 107 bytes at most, and ssh expands much in this one
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        return None
    return folder
