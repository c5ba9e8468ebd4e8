"""What has our terminal: exit codes as a shell has them, and who gets which signal."""

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from pipeline import shell
from pipeline.errors import CommandError
from pipeline.settings import Secret

# Each tells what it got, and ends with 7 where that is SIGINT, 8 where it is SIGTERM.
TRAPS = "trap 'echo INT; exit 7' INT; trap 'echo TERM; exit 8' TERM; "
WAITS = "while :; do sleep 0.02; done"


@pytest.fixture
def sh(capfd):
    """Attach a script, and return its exit code and what it wrote."""

    def run(script, **options):
        code = shell.attach(["sh", "-c", script], **options)
        return code, capfd.readouterr().out

    return run


@pytest.fixture
def no_terminal(monkeypatch):
    monkeypatch.setattr(shell, "_in_foreground", lambda: False)


@pytest.mark.parametrize("code", [0, 3, 126, 127])
def test_the_exit_code_is_the_childs(sh, code):
    assert sh(f"exit {code}")[0] == code


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_a_child_that_a_signal_ended_is_told_as_shells_tell_it(sh, name):
    assert sh(f"kill -{name} $$")[0] == 128 + getattr(signal, f"SIG{name}")


def test_it_writes_where_we_do(sh):
    assert sh("echo said") == (0, "said\n")


def test_it_sees_what_run_would_show_it(sh, monkeypatch):
    monkeypatch.setenv("PIPELINE_REGISTRY_PASSWORD", "sentinel-secret")
    monkeypatch.setenv("KEPT", "kept")
    shown = sh("env", env={"ADDED": "added"})[1]
    assert "KEPT=kept" in shown
    assert "ADDED=added" in shown
    assert "sentinel-secret" not in shown


def test_of_ours_it_sees_what_is_inherited(sh, monkeypatch):
    monkeypatch.setenv("POSTGRES_PASSWORD", "sentinel-secret")
    assert "POSTGRES" not in sh("env", inherit=re.compile("PATH"))[1]


def test_what_is_not_installed_is_named():
    with pytest.raises(CommandError, match="`nix-da` is not installed"):
        shell.attach(["nix-da"])


@pytest.mark.parametrize(("name", "code"), [("INT", 7), ("TERM", 8)])
def test_what_a_process_sends_us_is_passed_on(sh, no_terminal, name, code):
    assert sh(f"{TRAPS} kill -{name} $PPID; {WAITS}") == (code, f"{name}\n")


def test_a_terminals_keys_are_not_passed_on_a_second_time(sh, monkeypatch):
    monkeypatch.setattr(shell, "_in_foreground", lambda: True)
    script = f"{TRAPS} kill -INT $PPID; sleep 0.1; kill -TERM $PPID; {WAITS}"
    assert sh(script) == (8, "TERM\n")


def test_a_signal_from_before_it_runs_is_not_lost(sh, monkeypatch):
    start = subprocess.Popen.__init__

    def late(self, *args, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        start(self, *args, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", late)
    assert sh(WAITS)[0] == 128 + signal.SIGTERM


def test_signals_are_ours_again_afterwards(sh):
    before = [signal.getsignal(each) for each in shell.PASSED_ON]
    sh("exit 0")
    with pytest.raises(CommandError):
        shell.attach(["nix-da"])
    assert [signal.getsignal(each) for each in shell.PASSED_ON] == before


def test_what_is_ignored_stays_so(sh):
    """That is what `nohup` asks for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert sh("kill -HUP $$; echo lives") == (0, "lives\n")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_without_a_terminal_nobody_is_in_its_foreground(monkeypatch):
    def refuse(*_):
        raise OSError("there is none")

    monkeypatch.setattr(os, "open", refuse)
    assert not shell._in_foreground()


@pytest.mark.parametrize("key", [b"\x03", b"\x1c"], ids=["ctrl-c", "ctrl-backslash"])
def test_on_a_real_terminal_a_key_reaches_the_child_once_and_us_never(key):
    ours = textwrap.dedent(
        """
        import sys
        from pipeline import shell

        script = "trap 'echo got' INT QUIT; tty; until read line; do :; done"
        script += "; echo said $line; exit 5"
        print("code", shell.attach(["sh", "-c", script]))
        print(shell._in_foreground())
        """
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", ours])
    said = b""

    def hear(what):
        nonlocal said
        while what not in said:
            said += os.read(terminal, 1024)  # fails where everybody has gone

    try:
        hear(b"/dev/pts")
        os.write(terminal, key)
        hear(b"got")
        os.write(terminal, b"hello\n")
        hear(b"True")
        _, status = os.waitpid(child, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert said.count(b"got") == 1
    assert b"said hello" in said
    assert b"code 5\r\nTrue" in said


def test_a_signal_is_delivered_as_whoever_asks_wants_it(sh, no_terminal, tmp_path):
    def deliver(number):
        (tmp_path / "got").write_text(str(number))
        return True

    script = f"kill -TERM $PPID; until [ -s {tmp_path}/got ]; do sleep 0.02; done; exit 4"
    assert sh(script, deliver=deliver) == (4, "")
    assert (tmp_path / "got").read_text() == str(signal.SIGTERM.value)


def test_what_cannot_be_delivered_the_child_gets(sh, no_terminal):
    script = f"{TRAPS} kill -TERM $PPID; {WAITS}"
    assert sh(script, deliver=lambda _: False) == (8, "TERM\n")


def test_one_that_is_apart_gets_keys_passed_on(sh, monkeypatch):
    monkeypatch.setattr(shell, "_in_foreground", lambda: True)
    assert sh(f"{TRAPS} kill -INT $PPID; {WAITS}", apart=True) == (7, "INT\n")
    ours = os.getsid(0)
    _, said = sh("cut -d' ' -f6 /proc/$$/stat", apart=True)
    assert int(said) != ours
    assert int(sh("cut -d' ' -f6 /proc/$$/stat")[1]) == ours


def test_what_is_held_is_read_and_stays_open_until_a_signal(sh, no_terminal):
    """The second one reaches the child."""
    script = f"""
        {TRAPS} read line; echo $line; kill -TERM $PPID
        read line || echo end; kill -TERM $PPID; {WAITS}
    """
    assert sh(script, held=Secret("a request\n")) == (8, "a request\nend\nTERM\n")


def test_what_is_held_may_be_long(sh):
    text = "x" * 300_000 + "\n"
    assert sh("read line; echo ${#line}", held=Secret(text)) == (0, "300000\n")


def test_a_child_that_does_not_read_what_is_held(sh):
    assert sh("exec 0<&-; exit 6", held=Secret("x" * 300_000))[0] == 6


@pytest.mark.parametrize("group", [0, 1])
def test_whose_a_terminal_s_keys_are(monkeypatch, group):
    start = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: start("/dev/null", flags))
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + group)
    assert shell._in_foreground() == (group == 0)
