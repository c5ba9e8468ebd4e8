"""PIPELINE_HOST: the same commands on another machine, here by a real sshd on loopback."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.support import machine, sshd
from tests.e2e.support.command import finish
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import SENTINEL, Site
from tests.e2e.support.sshd import Server
from tests.e2e.support.watch import Argv


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has the locked packages already, which would else cost half a minute."""
    environ = {name: site.invoke.environ[name] for name in ("DOCKER_CONFIG", "PATH")}
    with sshd.running(tmp_path_factory.mktemp("sshd") / "server", environ) as running:
        earlier = running.home / ".local/share/pipeline" / site.app / "checkouts/earlier"
        earlier.mkdir(parents=True)
        shutil.copytree(site.invoke.root / ".venv", earlier / ".venv", symlinks=True)
        yield running


@pytest.fixture(scope="module")
def over_ssh(server: Server) -> Mapping[str, str]:
    """What a command needs in its environment, to be run there."""
    return {"PIPELINE_HOST": server.url, "PATH": server.caller("caller")}


def test_a_deployment_there(
    a_live: Site, registry: Registry, server: Server, over_ssh: Mapping[str, str]
):
    with Argv(registry.password) as password, Argv(SENTINEL) as content:
        ran = a_live.deploy("b", **over_ssh).ok()
    assert ran.json["outcome"] == "live"
    assert a_live.served() == "b"
    assert any("bin/invoke" in line or "tasks.py" in line for line in password.looked_at)
    assert not password.found
    assert not content.found
    there = a_live.invoke("status", "--json", **over_ssh).ok()
    assert there.json == a_live.status()
    base = server.home / ".local/share/pipeline" / a_live.app
    (checkout,) = (base / "checkouts").glob("*.used")
    assert checkout.stem == a_live.commits["a"]  # HEAD: its code deployed `b`
    assert not any(SENTINEL in text for text in texts(base))


def texts(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and not {".venv", "tests"} & {*path.parts}:
            yield path.read_text(encoding="utf-8", errors="replace")


def test_state_and_settings_are_those_of_the_host(
    site: Site, server: Server, over_ssh: Mapping[str, str]
):
    ran = site.invoke("doctor", "--json", **over_ssh, PIPELINE_STATE_DIR="")
    (found,) = (each for each in ran.json["checks"] if each["name"] == "state folder")
    assert str(server.home / ".local/state" / site.app) in found["message"]


@pytest.mark.parametrize(
    ("name", "how", "message", "step"),
    [
        ("unknown", {"known": ""}, "is not known here", "compare the fingerprint"),
        ("changed", {"known": "other"}, "is not the one that is known", "ssh-keygen -R"),
        ("closed", {"key": "other"}, "lets nobody in", "ssh-copy-id"),
    ],
)
def test_who_may_not_get_in_is_told_why(site: Site, server: Server, name, how, message, step):
    path = server.caller(name, **how)
    ran = site.invoke("status", PATH=path, PIPELINE_HOST=server.url).refused(1)
    assert message in ran.error
    assert step in ran.next_step


def test_a_server_that_does_not_answer(site: Site):
    host = f"ssh://deploy@127.0.0.1:{machine.free_port()}"
    ran = site.invoke("deploy", "--json", PIPELINE_HOST=host).refused(1)
    assert "cannot be reached" in ran.error
    assert ran.json["error"]["exit_code"] == 1


def test_the_exit_code_is_the_commands(a_live: Site, over_ssh: Mapping[str, str]):
    with a_live.untouched():
        failed = a_live.deploy("exits", **over_ssh).refused(3)
    assert failed.json["outcome"] == "failed"
    assert SENTINEL not in failed.text


def test_a_command_in_a_container_there(a_live: Site, over_ssh: Mapping[str, str]):
    words = ["sh", "-c", "test -t 0 && echo terminal; printf '%s|' \"$APP_SHA\" 'a  b'; exit 42"]
    ran = a_live.invoke("exec", "--", *words, **over_ssh)
    assert (ran.code, ran.stdout) == (42, f"{a_live.commits['a']}|a  b|")
    code, shown = in_terminal(a_live, ["exec", "--", *words], over_ssh)
    assert (code, shown.splitlines()[-2:]) == (
        42,
        ["terminal", f"{a_live.commits['a']}|a  b|"],
    )


def in_terminal(site: Site, argv: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a command in a terminal of its own; return its exit code and what that showed."""
    ours, its = os.openpty()
    child = subprocess.Popen(
        [site.invoke.root / "bin/invoke", *argv],
        env={**site.invoke.environ, **environ},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    shown = b""
    with suppress(OSError):  # how a terminal ends
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return child.wait(60), shown.decode().replace("\r", "")


def test_two_at_once_take_turns(a_live: Site, over_ssh: Mapping[str, str]):
    with a_live.deploying(**over_ssh) as first:
        a_live.invoke("deploy", "--sha", a_live.commits["b"], **over_ssh).refused(4)
        second = a_live.invoke.start(
            "deploy", "--sha", a_live.commits["b"], "--wait", "60", **over_ssh
        )
        first.send_signal(signal.SIGINT)
        cancelled = finish(first)
    assert "ancelled" in cancelled.text
    assert cancelled.code in {1, 3}
    finish(second).ok()
    assert a_live.served() == "b"


@pytest.mark.parametrize("victim", ["invoke", "ssh"])
def test_a_connection_that_is_lost_cancels(a_live: Site, over_ssh: Mapping[str, str], victim: str):
    with a_live.deploying(**over_ssh) as process:
        killed = process.pid if victim == "invoke" else child(process)
        os.kill(killed, signal.SIGKILL)
        ran = finish(process)
        machine.eventually(
            lambda: a_live.status()["lock"] is None, within=30, what="the end of the deployment"
        )
    assert ran.code == (-signal.SIGKILL if victim == "invoke" else 1)
    assert a_live.served() == "a"
    found = a_live.status()
    assert found["interrupted"] is None
    assert found["drift"] == []
    assert "ancelled" in str(a_live.history()[0]["error"])


def child(process: subprocess.Popen[str]) -> int:
    """Return the ssh that a command has started."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    (pid,) = found.split()
    return int(pid)
