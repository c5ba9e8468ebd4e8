"""A server that is a folder, an `ssh` that runs commands in it, and a checkout to send there."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline import remote, settings

APP = "tried"
# A fake of ssh's part in this: it writes down how it was called, fails where it is told to, and
# runs the command with none of our variables.
SSH = """#!/bin/sh
printf '%s\\n' "$*" >>"$SERVER/calls"
for last; do :; done
[ -f "$SERVER/first" ] && . "$SERVER/first"
cd "$SERVER/home"
theirs=$(cat "$SERVER/path")
exec env -i HOME="$SERVER/home" PATH="$theirs" PIPELINE_HOST=ssh://next /bin/sh -c "$last"
"""
# Stands for bin/invoke: shows what it was given, and ends with the last digit of the port.
INVOKE = """#!/usr/bin/env python3
import json, os, sys
ours = {n: v for n, v in os.environ.items() if n.startswith(("PIPELINE_", "ENV_FILE"))}
names = [a.partition("=")[2] for a in sys.argv if a.startswith("--check=")]
files = [[open(each).read(), os.stat(each).st_mode & 0o777] for each in names]
print(json.dumps({"argv": sys.argv[1:], "env": ours, "stdin": sys.stdin.read(), "files": files}))
print("progress", file=sys.stderr)
sys.exit(int(ours.get("PIPELINE_PORT", "0")) % 10)
"""


def git(root, *argv):
    """Return what git says."""
    identity = ["-c", "user.name=unit", "-c", "user.email=unit@example.org"]
    return subprocess.run(
        ["git", *identity, *argv], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@dataclass
class Server:
    """The other end.

    Attributes:
        folder: Its home, and what the fake ssh goes by.
        root: The checkout that commands are typed in.
        environ: What is set there.
        told: What was reported.
    """

    folder: Path
    root: Path
    capfd: pytest.CaptureFixture[str]
    environ: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    calls_are: list[list[str]] | None = None

    @property
    def base(self):
        return self.folder / "home/.local/share/pipeline" / APP

    @property
    def calls(self):
        if self.calls_are is not None:
            return self.calls_are
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def first(self, script):
        """Have ssh do something else before, or instead of, what it is asked for."""
        (self.folder / "first").write_text(script, encoding="utf-8")

    def settings(self, **environ):
        given = {"PIPELINE_HOST": "ssh://deploy@server:2222", "PIPELINE_APP": APP}
        given |= self.environ | environ
        return settings.load(environ=given, pyproject=self.root / "pyproject.toml")

    def run(self, task="status", environ=None, **options):
        """Run a task there; return its exit code and what it showed."""
        options = {"given": {}, "defaults": {}, "report": self.told.append, **options}
        code = remote.there(self.settings(**(environ or {})), task=task, **options)
        out = self.capfd.readouterr().out
        return code, json.loads(out) if out.startswith("{") else out

    def commit(self, text="more"):
        """Make one more commit; return its hash."""
        path = self.root / "docker-compose.yml"
        path.write_text(f"{path.read_text(encoding='utf-8')}# {text}\n", encoding="utf-8")
        git(self.root, "commit", "--quiet", "--all", "--message", text)
        return git(self.root, "rev-parse", "HEAD")


class Pretended:
    """A connection to a server that has all commits; keeps what it was to run."""

    def __init__(self, url, **_):
        self.name, self.shown = url, url

    def ask(self, request):
        Pretended.asked.append(request["commits"])
        return {"base": "/base", "repository": "/base/repository.git", "missing": []}

    def close(self):
        Pretended.asked.append("close")

    def run(self, request):
        files = [each["text"] for each in request["files"]]
        named = [f"{each['flag']}={each['name']}" for each in request["files"]]
        shown = {**request, "argv": request["argv"] + named, "files": files}
        sys.stdout.write(json.dumps(shown))
        return 0


@pytest.fixture
def pretended(server, monkeypatch):
    """The same server, where it matters only what it is asked for."""
    Pretended.asked = []
    monkeypatch.setattr(remote, "Connection", Pretended)
    server.calls_are = Pretended.asked
    return server


@pytest.fixture
def server(tmp_path, monkeypatch, capfd):
    root, folder = tmp_path / "checkout", tmp_path / "server"
    (root / "bin").mkdir(parents=True)
    (folder / "home").mkdir(parents=True)
    invoke = root / "bin/invoke"
    invoke.write_text(INVOKE, encoding="utf-8")
    invoke.chmod(0o755)
    (root / "docker-compose.yml").write_text("services: {}\n", encoding="utf-8")
    (root / "poetry.lock").write_text("# the lock\n", encoding="utf-8")
    (root / "pyproject.toml").write_text("[tool.pipeline]\n", encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(SSH, encoding="utf-8")
    (programs / "ssh").chmod(0o755)
    (folder / "path").write_text(os.environ["PATH"], encoding="utf-8")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SERVER", str(folder))
    monkeypatch.setattr(settings.Settings, "root", root)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "me")
    return Server(folder=folder, root=root, capfd=capfd)
