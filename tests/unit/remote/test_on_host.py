"""Which tasks run on the host, and what they hand on."""

import sys

import pytest
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

import tasks
import wiring
from pipeline import remote

LOCAL = {"build", "push", "manifest", "inspect", "login"}
LOCAL |= {"changes", "ci", "coverage_upload", "green", "hooks", "parity"}


@pytest.fixture
def handed_on(monkeypatch):
    """What was to run elsewhere; it ends with 3."""
    calls = []

    def there(settings, **options):
        calls.append((settings.host, options))
        return 3 if options["task"] == "status" else 0

    monkeypatch.setattr(remote, "there", there)
    return calls


def test_a_task_runs_here_where_no_host_is_named(monkeypatch, handed_on):
    done = []
    task = wiring.on_host(lambda context, **given: done.append(given))
    task(Context(), json=True)
    assert done == [{"json": True}]
    assert handed_on == []


def test_a_task_runs_there_and_ends_with_its_exit_code(monkeypatch, handed_on):
    monkeypatch.setenv("PIPELINE_HOST", "ssh://deploy@server")
    with pytest.raises(Exit) as caught:
        tasks.status(Context(), expect=None, json=True)
    assert caught.value.code == 3
    ((host, options),) = handed_on
    assert host == "ssh://deploy@server"
    assert options["given"] == {"expect": None, "json": True}
    assert options["defaults"]["json"] is False
    tasks.history(Context(), limit=1, json=False)
    assert handed_on[-1][1]["task"] == "history"


def test_a_checkout_that_was_made_there_goes_no_further(monkeypatch, handed_on, tmp_path):
    monkeypatch.setenv("PIPELINE_HOST", "ssh://deploy@server")
    root = tmp_path / "checkouts" / ("ab" * 20)
    root.mkdir(parents=True)
    (tmp_path / "repository.git").mkdir()
    monkeypatch.setattr("pipeline.settings.Settings.root", root)
    done = []
    wiring.on_host(done.append)(Context())
    assert len(done) == 1
    assert handed_on == []


def test_what_follows_two_dashes_goes_on_word_by_word(monkeypatch, handed_on):
    monkeypatch.setenv("PIPELINE_HOST", "ssh://deploy@server")
    monkeypatch.setattr(sys, "argv", ["tasks.py", "history", "--", "a b", "--", "c"])
    tasks.history(Context())
    assert handed_on[-1][1]["remainder"] == ["a b", "--", "c"]


def test_what_concerns_no_server_stays_here(monkeypatch, handed_on):
    there, here = set(), set()
    for name, task in vars(tasks).items():
        if isinstance(task, Task):
            (there if wrapped_by_us(task.body) else here).add(name)
    assert here == LOCAL
    assert {"deploy", "rollback", "status", "doctor"} <= there


def wrapped_by_us(body):
    ours = body.__code__.co_filename == wiring.__file__
    return ours or (hasattr(body, "__wrapped__") and wrapped_by_us(body.__wrapped__))
