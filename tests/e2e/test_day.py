"""Daily work on what is live: its logs, a command in it, one beside it, its environment."""

import os
import pty
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.support import load, machine
from tests.e2e.support.command import finish
from tests.e2e.support.site import ENV, SENTINEL, Site

TRAPS = "trap 'echo got INT; exit 9' INT; trap 'echo got TERM; exit 8' TERM; echo up; "
WAITS = "while :; do sleep 0.05; done"


class Terminal:
    """A person at a terminal, with one command of a site's."""

    def __init__(self, site: Site, *argv: str) -> None:
        self.said = b""
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.chdir(site.invoke.root)
            os.execve("bin/invoke", ["bin/invoke", *argv], dict(site.invoke.environ))

    def types(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def hears(self, what: bytes, within: float = 20) -> None:
        """Wait for what is said after all that was waited for."""
        deadline = time.monotonic() + within
        while what not in self.said:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._terminal], [], [], max(left, 0))
            assert ready, f"{what!r} was not said, but {self.said!r}"
            self.said += os.read(self._terminal, 4096)
        self.said = self.said.partition(what)[2]

    def ends(self) -> int:
        """Return the exit code."""
        _, status = os.waitpid(self._child, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


def beside(site: Site) -> list[str]:
    """Return the containers that are there for one command."""
    label = f"label={machine.PROJECT}={site.app}"
    return machine.docker("ps", "-aq", "--filter", label, "--filter", "label=pipeline.run").split()


@pytest.mark.parametrize("task", ["exec", "run"])
def test_a_command_gets_its_words_and_input_and_we_its_exit_code(a_live: Site, task: str):
    script = 'cat; echo "$APP_SHA|$1|$2"; exit 3'
    with a_live.untouched():
        ran = a_live.invoke(task, "--", "sh", "-c", script, "-", "a  b", "--x")
        assert (ran.code, ran.stdout) == (3, f"{a_live.commits['a']}|a  b|--x\n")
        assert ran.stderr == ""
        assert a_live.invoke(task, "--", "sh", "-c", "nix-da").code == 127
        assert a_live.invoke(task).ok().text == ""  # a shell, with nothing to read
    assert beside(a_live) == []


DOWN = "0"  # srv_op_state of `show servers state`; HAProxy's management guide, 9.3


def test_the_command_beside_is_the_live_release_and_gets_no_requests(a_live: Site):
    script = f"{TRAPS} hostname -i; echo $DATABASE_URL; {WAITS}"
    child = a_live.invoke.start("run", "--", "sh", "-c", script)
    try:
        _, address, url = [child.stdout.readline().strip() for _ in range(3)]
        (container,) = beside(a_live)
        found = a_live.status()
        servers = a_live.tell_proxy("show servers state")
        child.send_signal(signal.SIGTERM)
    finally:
        ran = finish(child, timeout=30)
    assert (ran.code, ran.text) == (8, "got TERM\n")
    assert container
    assert found["drift"] == []
    assert found["live"]["replicas"] == 1
    assert address.count(".") == 3
    # A server that is gone keeps its place for a while, and its address may be given again.
    rows = [line.split() for line in servers.splitlines()[2:] if line]
    assert not [row for row in rows if row[4] == address and row[5] != DOWN]
    assert SENTINEL in url, "whoever asks is told"
    assert beside(a_live) == []


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 9), ("SIGTERM", 8)])
def test_a_signal_reaches_the_command_in_the_container(a_live: Site, name: str, code: int):
    child = a_live.invoke.start("exec", "--", "sh", "-c", TRAPS + WAITS)
    try:
        assert child.stdout.readline() == "up\n"
        child.send_signal(getattr(signal, name))
    finally:
        ran = finish(child, timeout=30)
    assert (ran.code, ran.stdout) == (code, f"got {name[3:]}\n")


@pytest.mark.parametrize("task", ["exec", "run"])
def test_a_shell_on_a_terminal(a_live: Site, task: str):
    person = Terminal(a_live, task)
    person.hears(b"$ ")
    person.types(b"tty; id -u\n")
    person.hears(b"/dev/pts/")
    person.hears(b"10001")
    person.types(b"sleep 60\n")
    person.hears(b"sleep 60")
    time.sleep(0.2)  # until the shell has started it
    person.types(b"\x03")
    person.hears(b"$ ")
    person.types(b"echo it was $?\n")
    person.hears(b"it was 130")
    person.types(b"exit 5\n")
    assert person.ends() == 5
    assert beside(a_live) == []


def test_another_service_and_what_is_none(a_live: Site):
    query = ("--", "psql", "-U", "panager", "-tAc", "select 40 + 2")
    assert a_live.invoke("exec", "--service", "db", *query).ok().stdout == "42\n"
    ready = ("--service", "db", "--grep", "database system is ready")  # however long ago that was
    assert a_live.invoke("logs", *ready).ok().stdout
    refused = a_live.invoke("exec", "--service", "nix", *query).refused(2)
    assert "db, " in refused.next_step


def test_logs_hide_secrets_and_follow_a_cutover(a_live: Site):
    leak = "echo line one; echo password is $POSTGRES_PASSWORD; echo mail by $MAIL_TOKEN"
    (old,) = a_live.colours()
    a_live.invoke("exec", "--", "sh", "-c", f"({leak}) >/proc/1/fd/1").ok()
    try:
        ours = ("--lines", "20", "--grep", "^(line one|password is|mail by)")
        lines = a_live.invoke("logs", *ours).ok().stdout.splitlines()
        plain = a_live.invoke("logs", "--since", "1h", "--grep", r"\*$", "--no-prefix").ok().stdout
        secret = a_live.invoke("logs", "--grep", SENTINEL[:8]).ok().stdout
        a_live.invoke("logs", "--grep", "(").refused(2)
        with following(a_live) as said:
            said(f"{old}-1 ")
            a_live.deploy("b").ok()
            (new,) = a_live.colours()
            said(f"{new}-1 ")
    finally:
        a_live.deploy("b").ok()  # the log goes with its container
    assert lines == [f"{old}-1 | {each}" for each in ("line one", "password is ***", "mail by ***")]
    assert plain == "password is ***\nmail by ***\n"
    assert secret == ""


@contextmanager
def following(site: Site) -> Iterator[Callable[[str], object]]:
    """Follow the log; the value waits for a line of a request that has that in it."""
    child = site.invoke.start("logs", "--follow", "--lines", "0", "--grep", "/from-the-test")

    def hears(what: str) -> bool:
        load.get(site.address, "/from-the-test")
        ready, _, _ = select.select([child.stdout], [], [], 0.2)
        return bool(ready) and what in child.stdout.readline()

    try:
        yield lambda what: machine.eventually(lambda: hears(what), within=20, what=what)
    finally:
        child.send_signal(signal.SIGINT)
        ran = finish(child, timeout=30)
    assert (ran.code, ran.stderr) == (0, "")


def test_an_env_file_alone_makes_a_release_without_a_registry(a_live: Site):
    before = a_live.deploy("b").ok().json["release"]
    env = a_live.folder / "new.env"
    env.write_text(f"{ENV}EXTRA={SENTINEL}\nMAIL_TOKEN={SENTINEL}-new\nEMPTY=\n")
    env.chmod(0o600)
    registry = f"127.0.0.1:{machine.free_port()}"  # where none answers
    image = f":{a_live.commits['b']}"
    machine.docker("tag", a_live.repository + image, f"{registry}/{a_live.app}/panager{image}")
    try:
        said = [a_live.invoke("env", "--check", str(env), "--json").ok()]
        said += [a_live.deploy("b", "--env-file", str(env), PIPELINE_REGISTRY=registry).ok()]
        said += [a_live.invoke("env", "--json").ok()]
        said += [a_live.invoke("env", "--diff", before, "--json").ok()]
    finally:
        back = a_live.deploy("b").ok()
        machine.remove_images(f"{registry}/{a_live.app}/panager")
    checked, deployed, shown, changes = (each.json for each in said)
    assert back.json["release"] == before != deployed["release"]
    assert shown["release"] == deployed["release"]
    assert {"key": "EXTRA", "empty": False} in shown["keys"]
    assert {"key": "EMPTY", "empty": True} in shown["keys"]
    for found in (checked, changes):
        assert (found["added"], found["removed"]) == (["EMPTY", "EXTRA"], [])
        assert found["changed"] == ["MAIL_TOKEN"]
    assert not any(SENTINEL in each.text for each in said)


def test_an_env_file_that_cannot_be_used(a_live: Site):
    env = a_live.folder / "bad.env"
    env.write_text(f"POSTGRES_PASSWORD={SENTINEL}\n{SENTINEL} no key\n")
    ran = a_live.invoke("env", "--check", str(env), "--json").refused(2)
    assert ran.json["problems"][0] == "line 2: that is not KEY=value"
    assert "chmod 600" in ran.json["warnings"][0]
    assert SENTINEL not in ran.text
    a_live.invoke("env", "--to", "abcd").refused(2)
    assert a_live.commits["a"][:12] in a_live.invoke("env", "--diff", "c0ffee").refused(2).next_step


@pytest.mark.parametrize("task", ["logs", "exec", "run", "env"])
def test_nothing_is_live(spare_site: Site, task: str):
    assert "invoke deploy" in spare_site.invoke(task).refused(1).next_step
