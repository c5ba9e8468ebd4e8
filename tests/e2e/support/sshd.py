"""A real sshd on loopback, with keys, configuration and a home folder of its own.

The system's ssh goes by its user's configuration. Tests have another one, so a program named
`ssh` that adds `-F` stands before it on PATH; everything else is the real thing.
"""

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support import machine

PACKAGE = "openssh-server"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running sshd.

    Attributes:
        folder: Keys, configuration, and the home of those who log in.
        sockets: Folder of the callers' connections; short, because a socket's path has to be.
        port: Where it listens, at 127.0.0.1.
    """

    folder: Path
    sockets: Path
    port: int

    @property
    def url(self) -> str:
        """What PIPELINE_HOST says of it."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        """The home folder that commands have there."""
        return self.folder / "home"

    def caller(self, name: str, *, known: str = "host", key: str = "user") -> str:
        """Make a PATH with an `ssh` that has a configuration of its own.

        Args:
            name: Of its folder, and of nobody else's connection.
            known: Which host key is known: `host` (the right one), `other`, or "" for none.
            key: Which key it has: `user` (that is let in) or `other`.
        """
        folder = self.folder / name
        folder.mkdir()
        public = (self.folder / f"{known}.pub").read_text(encoding="utf-8") if known else ""
        line = f"[127.0.0.1]:{self.port} {public}" if known else ""
        (folder / "known_hosts").write_text(line, encoding="utf-8")
        (folder / "config").write_text(
            f"IdentityFile {self.folder / key}\n"
            "IdentitiesOnly yes\n"
            f"UserKnownHostsFile {folder / 'known_hosts'}\n"
            "GlobalKnownHostsFile /dev/null\n"
            "PreferredAuthentications publickey\n",
            encoding="utf-8",
        )
        program = folder / "ssh"
        real = shutil.which("ssh")
        own = f"-F {folder / 'config'} -S {self.sockets / name}"
        program.write_text(f'#!/bin/sh\nexec {real} {own} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"


@contextmanager
def running(folder: Path, environ: Mapping[str, str]) -> Iterator[Server]:
    """Run an sshd meanwhile.

    Args:
        folder: For all that belongs to it.
        environ: What commands there find in their environment, besides HOME.
    """
    program = _program()
    sockets = Path(tempfile.mkdtemp(prefix="ssh-"))
    server = Server(folder=folder, sockets=sockets, port=machine.free_port())
    server.home.mkdir(parents=True)
    for name in ("host", "user", "other"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(argv, check=True, timeout=30)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    given = {**environ, "HOME": str(server.home)}
    variables = " ".join(f'"{name}={value}"' for name, value in given.items())
    config = folder / "sshd_config"
    config.write_text(
        f"Port {server.port}\n"
        "ListenAddress 127.0.0.1\n"
        f"HostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\n"
        "StrictModes no\n"  # its folder is below /tmp
        "UsePAM no\n"
        "PidFile none\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        f"SetEnv {variables}\n",
        encoding="utf-8",
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in; systemd makes it
    with (folder / "log").open("w") as log:
        child = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=log)
    try:
        machine.eventually(
            lambda: "listening" in (folder / "log").read_text(encoding="utf-8"),
            within=10,
            what="sshd",
        )
        yield server
    finally:
        for path in sockets.iterdir():
            argv = ["ssh", "-F", os.devnull, "-S", path, "-O", "exit", "localhost"]
            subprocess.run(argv, check=False, timeout=30, capture_output=True)
        shutil.rmtree(sockets)
        child.terminate()
        child.wait(10)


def _program() -> str:
    """Return sshd's path; install it where it is missing, which takes root and Debian."""
    found = shutil.which("sshd", path="/usr/sbin:/sbin")
    if found is None:
        assert os.getuid() == 0, f"no sshd here; as root: apt-get install {PACKAGE}"
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGE]
        subprocess.run(["apt-get", "update", "-qq"], check=True, timeout=300, env=environ)
        subprocess.run(argv, check=True, timeout=300, env=environ)
        found = shutil.which("sshd", path="/usr/sbin:/sbin")
    assert found
    return found
