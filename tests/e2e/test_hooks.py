"""Hooks and the message, from the command line: what they are told, and what they stop."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from http import server
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support.checkout import REPOSITORY
from tests.e2e.support.command import finish
from tests.e2e.support.site import SENTINEL, Site

TOKEN = "of-the-webhook"  # part of its address


@pytest.fixture
def messages() -> Iterator[tuple[str, list[str]]]:
    """The address of a webhook, and what it got."""
    got: list[str] = []

    class Handler(server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(json.loads(body)["text"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}/{TOKEN}", got
        served.shutdown()
        thread.join()


def script(folder: Path, name: str, *lines: str) -> str:
    """Return the command of a script that keeps what it is told."""
    path = folder / f"{name}.sh"
    path.write_text("\n".join([f"cat > {folder}/{name}.told", *lines]) + "\n")
    return f"sh {path}"


def told(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.told").read_text())


def test_what_fails_before_a_deployment_stops_it(a_live: Site, tmp_path: Path):
    hooks = {
        "pre-deploy": script(tmp_path, "no", "echo $POSTGRES_PASSWORD not on a Friday", "exit 9"),
        "post-deploy": script(tmp_path, "after"),
        "on-failure": script(tmp_path, "failure"),
    }
    with a_live.untouched():
        ran = a_live.deploy("b", PIPELINE_HOOKS=json.dumps(hooks)).refused(1)
    assert "hook pre-deploy stopped it, nothing was changed" in ran.error
    assert "not on a Friday" in ran.stderr
    assert ran.json["outcome"] == "failed"
    assert told(tmp_path, "no")["sha"] == a_live.commits["b"]
    assert told(tmp_path, "failure")["error"] == ran.json["error"]
    assert not (tmp_path / "after.told").exists()
    newest = a_live.history()[0]
    assert (newest["sha"], newest["outcome"]) == (a_live.commits["b"], "failed")
    assert newest["error"]["message"] in ran.error
    assert a_live.status()["interrupted"] is None


def test_a_dump_before_and_the_result_after(a_live: Site, tmp_path: Path, messages):
    url, got = messages
    (example,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs/hooks.md").read_text(), re.DOTALL
    )
    dump = tmp_path / "dump"
    dump.write_text(example)
    dump.chmod(0o700)
    leak = script(tmp_path, "after", f"echo {SENTINEL}; env; exit 1")
    hooks = {"pre-deploy": str(dump), "post-deploy": leak}
    with a_live.under_load():
        ran = a_live.deploy("b", PIPELINE_HOOKS=json.dumps(hooks), PIPELINE_WEBHOOK_URL=url).ok()
    assert told(tmp_path, "after").items() >= ran.json.items()
    assert "pre-deploy" in ran.json["phases"]
    (made,) = (a_live.state / "dumps").iterdir()
    assert "PostgreSQL database dump complete" in made.read_text()
    assert made.parent.stat().st_mode & 0o777 == 0o700
    made.unlink()
    assert "warning: the hook post-deploy, of PIPELINE_HOOKS" in ran.stderr
    assert "post-deploy: ***" in ran.stderr
    (message,) = got
    assert f"deploy of {a_live.commits['b'][:12]} is live on" in message
    password = a_live.invoke.environ["PIPELINE_REGISTRY_PASSWORD"]
    for secret in (SENTINEL, TOKEN, password):
        assert secret not in ran.text + message


def test_a_broken_release_is_told(a_live: Site, tmp_path: Path, messages):
    url, got = messages
    hooks = {"on-failure": [script(tmp_path, "failure", "exit 1"), "./not-there"]}
    with a_live.untouched():
        ran = a_live.deploy(
            "exits", PIPELINE_HOOKS=json.dumps(hooks), PIPELINE_WEBHOOK_URL=url
        ).refused(3)
    assert told(tmp_path, "failure").items() >= ran.json.items()
    assert ran.stderr.count("warning: the hook on-failure") == 2
    (message,) = got
    assert "failed on" in message
    assert "ended with exit code 7" in message
    assert SENTINEL not in (tmp_path / "failure.told").read_text() + message


def test_a_cancel_in_a_hook_changes_nothing(a_live: Site, tmp_path: Path):
    hooks = json.dumps({"pre-deploy": script(tmp_path, "slow", "exec sleep 60")})
    with a_live.untouched():
        process = a_live.invoke.start("deploy", "--sha", a_live.commits["b"], PIPELINE_HOOKS=hooks)
        machine.eventually((tmp_path / "slow.told").exists, within=20, what="the hook")
        assert a_live.deploy("b").refused(4), "it is under the lock"
        process.send_signal(signal.SIGINT)
        ran = finish(process).refused(1)
    assert "Cancelled in the hook pre-deploy; nothing was changed" in ran.error
    found = a_live.status()
    assert (found["interrupted"], found["lock"], found["drift"]) == (None, None, [])


def test_what_fails_before_a_build_stops_it(a_live: Site, tmp_path: Path):
    hooks = {"pre-build": script(tmp_path, "no", "exit 1")}
    sha = a_live.commits["a"]
    ran = a_live.invoke("build", "--sha", sha, PIPELINE_HOOKS=json.dumps(hooks)).refused(1)
    assert "hook pre-build stopped it" in ran.error
    assert told(tmp_path, "no")["sha"] == sha
