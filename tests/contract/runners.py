"""GitHub as its runner sees it, on loopback: archives that are shaped like a runner's, and the API.

The archive's scripts do what the real ones do with arguments, variables, users and files, and say
it in the same words; `svc.sh` keeps the service's state in a file instead of systemd.
"""

import gzip
import hashlib
import io
import json
import os
import pwd
import secrets
import shutil
import socket
import struct
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.support.command import TIMEOUT, CommandLine, Ran

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "valid-AB7XQ2LK"
LONGEST = 20.0  # seconds that anything is held
EXPIRED = "expired-CD9WM4"
URL = "https://github.com/owner/repository"

CONFIG = r"""#!/bin/sh
cd "$(dirname "$0")" || exit 1
[ "$(id -u)" -ne 0 ] || { echo "Must not run with sudo"; exit 1; }
[ ! -f bin/needs-packages ] || [ -f bin/packages ] || {
    echo "Libicu's dependencies is missing for Dotnet Core 6.0"
    exit 1
}
touch .env .path
[ "$1" != --version ] || exec bin/Runner.Listener "$@"
echo "$*" >> argv.log
env | sed 's/=.*//' > environment.log
token=$ACTIONS_RUNNER_INPUT_TOKEN
echo "${token:-none}" | grep -alF -f - /proc/[0-9]*/cmdline 2>/dev/null >> leaked.log
api=https://api.github.com/actions
refuse() {
    echo "Http response code: NotFound from 'POST $api/runner-registration'"
    echo "{\"message\":\"Not Found\",\"token\":\"$token\"}"
    exit 1
}
if [ "$1" = remove ]; then
    [ ! -f .service ] || { echo "Unconfigure service first"; exit 1; }
    case $token in valid-*) ;; *) refuse ;; esac
    rm -f .runner .credentials
    exit 0
fi
[ ! -f .runner ] || { echo "Cannot configure the runner: it is configured"; exit 1; }
while [ $# -gt 0 ]; do
    case $1 in --url) url=$2 ;; --name) name=$2 ;; --labels) labels=$2 ;; esac
    shift
done
case $token in valid-*) ;; *) touch .credentials; refuse ;; esac
printf '\357\273\277{"agentName":"%s","gitHubUrl":"%s"}' "$name" "$url" > .runner
echo "$labels" > .credentials
cp bin/svc.template svc.sh
chmod 755 svc.sh
"""
SERVICE = r"""#!/bin/sh
[ "$(id -u)" -eq 0 ] || { echo "Must run as sudo"; exit 1; }
echo "$*" >> svc.log
case $1 in
install)
    [ ! -f .service ] || { echo "Failed: error: exists"; exit 1; }
    echo "actions.runner.stand-in.$2.service" > .service
    cp bin/runsvc.sh runsvc.sh
    ;;
start) [ -f .service ] || exit 1; touch .active ;;
stop) rm -f .active ;;
status) [ -f .service ] || exit 1; [ ! -f .active ] || echo "   Active: active (running)" ;;
uninstall) rm -f .active .service ;;
esac
exit 0
"""
LISTENER = r"""#!/bin/sh
[ "$(id -u)" -ne 0 ] || exit 9
cd "$(dirname "$0")" || exit 1
cat version
"""
PACKAGES = r"""#!/bin/sh
[ "$(id -u)" -eq 0 ] && touch "$(dirname "$0")/packages"
"""


def archive(version: str, *, lacks_packages: bool = False, **more: bytes) -> bytes:
    """Return a runner's archive; `more` are members by name."""
    scripts = {
        "config.sh": CONFIG,
        "run.sh": "#!/bin/sh\n",
        "bin/Runner.Listener": LISTENER,
        "bin/installdependencies.sh": PACKAGES,
        "bin/svc.template": SERVICE,
        "bin/runsvc.sh": f"#!/bin/sh\n# {version}\n",
        "bin/version": f"{version}\n",
        "externals/node/bin/node": "#!/bin/sh\n",
    }
    if lacks_packages:
        scripts["bin/needs-packages"] = ""
    members = {**{name: text.encode() for name, text in scripts.items()}, **more}
    return packed(
        {f"./{name}" if name in scripts else name: each for name, each in members.items()}
    )


def packed(members: dict[str, bytes]) -> bytes:
    """Return a compressed tar of `members`, by name."""
    file = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packer,
        tarfile.open(fileobj=packer, mode="w") as tar,
    ):
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(kw_only=True)
class GitHub:
    """What the server has, and what was asked of it.

    Attributes:
        address: Of the server, as `http://host:port`.
        files: Bodies by path.
        behaviour: How each file is sent: `whole`, `short`, `reset`, `held`; by path.
        api: Status and body of each answer of the API, by path.
        asked: Paths, in order.
        logins: What came in `Authorization`.
        lengthless: The length of a body is not said before it.
        ended: Lets go what is held.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    behaviour: dict[str, str] = field(default_factory=dict)
    api: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    lengthless: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def release(self, version: str, content: bytes, behaviour: str = "whole") -> str:
        """Publish an archive; return its digest."""
        path = f"/{version}.tar.gz"
        self.files[path], self.behaviour[path] = content, behaviour
        return digest(content)

    def repository(self, *, private: bool) -> None:
        """Let the API know the repository: a private one it does not show."""
        body = json.dumps({"private": private}).encode()
        self.api["/repos/owner/repository"] = (404, b"{}") if private else (200, body)


class _Handler(BaseHTTPRequestHandler):
    github: GitHub

    def do_GET(self) -> None:
        self.github.asked.append(self.path)
        if login := self.headers.get("Authorization"):
            self.github.logins.append(login)
        status, body = self.github.api.get(self.path, (200, b""))
        if self.path in self.github.files:
            body = self.github.files[self.path]
        elif self.path not in self.github.api:
            status = 404
        behaviour = self.github.behaviour.get(self.path, "whole")
        self.send_response(status)
        if not self.github.lengthless:  # else its length is not said
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour != "whole":
            body = body[: len(body) // 2]
        self.wfile.write(body)
        if behaviour == "held":
            self.github.ended.wait(LONGEST)
        if behaviour == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def finish(self) -> None:
        with suppress(OSError, ValueError):  # it was reset
            super().finish()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[GitHub]:
    """Serve on loopback."""
    github = GitHub()
    handler = type("Handler", (_Handler,), {"github": github})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        github.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield github
        finally:
            github.ended.set()
            server.shutdown()


SUDO = () if os.geteuid() == 0 else ("sudo", "--non-interactive")


def as_root(*argv: str, check: bool = True) -> str:
    """Run a command as root; return what it prints."""
    done = subprocess.run(
        [*SUDO, *argv], check=check, capture_output=True, text=True, timeout=TIMEOUT
    )
    return done.stdout


@dataclass(kw_only=True)
class Machine:
    """This machine, with a user's name that nobody has.

    Attributes:
        github: The server.
        user: The name.
        folder: Of the runner.
        settings: Variables of `invoke runner`.
    """

    github: GitHub
    user: str
    folder: Path
    settings: dict[str, str]

    def runner(self, *argv: str, **variables: str) -> Ran:
        """Run `invoke runner ...` as root."""
        given = {**self.settings, **variables}
        invoke = CommandLine(root=ROOT, environ={**_plain(), **given})
        if SUDO:  # no bytecode of root's in the checkout
            kept = f"--preserve-env={','.join(given)}"
            python = str(ROOT / ".venv/bin/python")
            words = ("-B", "-E", "-s", str(ROOT / "tasks.py"), "--search-root", str(ROOT))
            sudo = shutil.which("sudo") or "sudo"
            invoke = CommandLine(
                root=ROOT, environ=invoke.environ, program=(sudo, "-n", kept, "--", python, *words)
            )
        return invoke("runner", *argv)

    def says(self, name: str) -> str:
        """Return the content of a file of the runner's; "" where there is none."""
        return as_root("cat", str(self.folder / name), check=False)

    def names(self) -> set[str]:
        """Return what is in the runner's folder."""
        return set(as_root("ls", "-A", str(self.folder), check=False).split())

    def exists(self, name: str = "") -> bool:
        """Tell whether the runner's folder is there, or a file in it."""
        return as_root("find", str(self.folder / name), "-maxdepth", "0", check=False) != ""

    def holds(self, text: str) -> str:
        """Return the files in the user's home that hold `text`."""
        return as_root("grep", "-rlF", "-e", text, str(self.folder.parent), check=False)


def _plain() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@contextmanager
def nobody() -> Iterator[str]:
    """Give a user's name that nobody has; who has it at the end is removed."""
    name = f"pr-{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        try:
            pwd.getpwnam(name)
        except KeyError:
            pass
        else:
            as_root("userdel", "--remove", name, check=False)
