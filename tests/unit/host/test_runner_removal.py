"""The runner is removed from GitHub and from the machine, or stays as it was."""

import pytest

from pipeline.errors import UnavailableError, UsageError
from pipeline.settings import Secret
from tests.unit.host.runners import REFUSED, URL, World


@pytest.fixture
def world(monkeypatch, tmp_path):
    made = World(root=tmp_path)
    made.patch(monkeypatch)
    return made


@pytest.fixture
def ready(world):
    """A machine whose runner runs; what led there is forgotten."""
    world.install()
    world.forget()
    return world


def test_it_is_removed_everywhere(ready):
    assert ready.remove()
    assert ready.changes() == ["svc.sh uninstall", "config.sh remove"]
    assert not ready.folder.exists()
    assert not ready.remove()
    assert ready.said[-1].endswith("nothing to do")


def test_a_removal_is_named_first(ready):
    with pytest.raises(UsageError, match=f"remove app-web1 at {URL}") as caught:
        ready.remove(yes=False)
    assert "./bin/invoke runner remove --yes" in caught.value.hint
    assert ready.changes() == []


def test_a_removal_that_is_refused_lets_it_run_again(ready):
    ready.failing["config.sh"] = REFUSED
    with pytest.raises(UnavailableError, match="does not accept the token"):
        ready.remove()
    assert ready.status().service == "active"


def test_a_removal_takes_a_token_unless_it_is_of_this_machine_only(ready):
    ready.wants(runner_token=Secret(""))
    with pytest.raises(UsageError, match="needed to remove") as caught:
        ready.remove()
    assert "--local" in caught.value.hint
    assert ready.remove(local=True)
    assert ready.changes() == ["svc.sh uninstall"]


def test_a_user_who_is_gone_cannot_remove_it(ready):
    ready.there = False
    with pytest.raises(UnavailableError, match="no user") as caught:
        ready.remove()
    assert "--local" in caught.value.hint
    assert ready.remove(local=True)
