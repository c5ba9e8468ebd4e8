"""What comes before builds and deployments, and what follows them; the latter fails nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import hooks, ship
from pipeline.deploy import Delivery
from pipeline.errors import (
    CommandError,
    EngineError,
    LockedError,
    RegistryError,
    UndoFailedError,
    UsageError,
)
from pipeline.parsing import Hooks
from pipeline.release import lock
from pipeline.ship import Shipping
from tests.fakes import Killed
from tests.unit.delivery.conftest import A, B, Host
from tests.unit.delivery.hooked import Site, hooked


@pytest.fixture
def site(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return hooked(host, tmp_path / "checkout", monkeypatch)


@pytest.fixture
def all_four(site: Site) -> Site:
    site.set_all()
    return site


@pytest.fixture
def heard(site: Site) -> Site:
    site.hear()
    return site


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    commit = SimpleNamespace(sha=A)
    monkeypatch.setattr(Shipping, "_describe", lambda *_: commit)
    monkeypatch.setattr(ship.commits, "refuse_dirty", lambda _: None)
    monkeypatch.setattr(ship.commits, "tree_of_files", lambda _: "tree")
    monkeypatch.setattr(ship.building, "build", lambda *_, **__: done.append("commit"))
    monkeypatch.setattr(ship.building, "build_files", lambda *_, **__: done.append("files"))
    return done


def test_nobody_is_told_where_nothing_is_done(all_four: Site, heard: Site):
    all_four.shipping.deploy(A)
    before = len(all_four.told("pre_deploy")), len(all_four.told("post_deploy"))
    all_four.shipping.deploy(A)
    all_four.shipping.deploy(B, dry_run=True)
    assert (len(all_four.told("pre_deploy")), len(all_four.told("post_deploy"))) == before
    assert len(heard.messages) == 1


def test_a_release_that_fails_is_told(all_four: Site, heard: Site):
    all_four.host.break_image(A, sha=A, exits=1)
    outcome = all_four.shipping.deploy(A)
    (told,) = all_four.told("on_failure")
    assert told["error"]["exit_code"] == outcome.error.exit_code == 3
    assert told["sha"] == A
    (message,) = heard.messages
    assert (message["outcome"], message["error"]["exit_code"]) == ("failed", 3)


def away(*_, **__):
    raise RegistryError("The registry is away.")


def test_a_failure_before_there_is_an_outcome_is_told(all_four: Site, heard: Site, monkeypatch):
    monkeypatch.setattr(ship.registry, "ensure_local", away)
    with pytest.raises(RegistryError):
        all_four.shipping.deploy(A)
    (told,) = all_four.told("on_failure")
    assert (told["kind"], told["sha"], told["outcome"]) == ("deploy", A, "failed")
    assert told["error"]["message"] == "The registry is away."
    assert [each["error"]["message"] for each in heard.messages] == ["The registry is away."]


def test_it_hides_the_secrets_of_what_is_live(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.shipping.deploy(A)
    site.set(on_failure=site.script("leak", "echo sentinel-secret"))
    monkeypatch.setattr(ship.registry, "ensure_local", away)
    with pytest.raises(RegistryError):
        site.shipping.deploy(B)
    assert "on-failure: ***" in site.host.said


def test_a_plan_that_cannot_be_made_is_no_failure(all_four: Site, heard: Site, monkeypatch):
    monkeypatch.setattr(ship.registry, "ensure_local", away)
    with pytest.raises(RegistryError):
        all_four.shipping.deploy(A, dry_run=True)
    assert all_four.told("on_failure") == []
    assert heard.messages == []


def test_an_undo_that_fails_is_told(all_four: Site, monkeypatch: pytest.MonkeyPatch):
    def fails(*_, **__):
        raise UndoFailedError("No way back.")

    monkeypatch.setattr(Delivery, "resume", fails)
    with pytest.raises(UndoFailedError):
        all_four.shipping.resume()
    (told,) = all_four.told("on_failure")
    assert (told["kind"], told["error"]["exit_code"]) == ("resume", 5)


def test_who_was_turned_away_has_failed_nothing(all_four: Site, heard: Site):
    state = all_four.host.delivery().state
    state.create()
    with lock.hold(state.lock, command="deploy"), pytest.raises(LockedError):
        all_four.shipping.deploy(A)
    with pytest.raises(UsageError):
        all_four.shipping.rollback("c" * 40)
    with pytest.raises(UsageError):
        all_four.shipping.deploy("; rm")
    assert all_four.told("on_failure") == []
    assert heard.messages == []


def test_an_interrupted_deployment_that_is_ended_is_followed(all_four: Site):
    host = all_four.host
    host.world.killed_at = ("after", 2)
    with pytest.raises(Killed):
        host.deploy(A)
    host.world.dead, host.world.killed_at = False, None
    assert all_four.shipping.resume().deployment.outcome == "failed"
    assert all_four.shipping.resume() is None
    (told,) = all_four.told("on_failure")
    assert (told["kind"], told["sha"]) == ("deploy", A)


def test_what_follows_cannot_fail_it(site: Site):
    site.set(post_deploy=site.script("fails", "echo not today", "exit 4"))
    assert site.shipping.deploy(A).error is None
    (warning,) = site.warnings
    assert "the hook post-deploy, of [tool.pipeline.hooks]" in warning
    assert "exit code 4" in warning
    assert "post-deploy: not today" in site.host.said


def test_each_command_that_follows_is_run(site: Site):
    lines = (site.script("one", "exit 1"), "./not-there", site.script("two"))
    commands = tuple(tuple(line.split()) for line in lines)
    site.host.settings = replace(site.host.settings, hooks=Hooks(post_deploy=commands))
    assert site.shipping.deploy(A).error is None
    assert len(site.warnings) == 2
    assert len(site.told("two")) == 1


def test_a_cancel_of_what_follows_leaves_it_live(site: Site, monkeypatch: pytest.MonkeyPatch):
    def cancelled(*_, **__):
        raise KeyboardInterrupt

    site.set(post_deploy=site.script("slow"))
    monkeypatch.setattr(hooks, "tell", cancelled)
    assert site.shipping.deploy(A).deployment.outcome == "live"
    assert len(site.warnings) == 1


def test_after_a_failure_nobody_is_waited_for_long(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.set(on_failure="sh x", post_deploy="sh x")
    given = []
    monkeypatch.setattr(hooks.shell, "run", lambda *_, timeout, **__: given.append(timeout))
    site.shipping.deploy(A)
    site.host.break_image(B, sha=B, exits=1)
    site.shipping.deploy(B)
    assert given == [hooks.TIMEOUT, hooks.AFTER_FAILURE]


def test_a_build_asks_first(all_four: Site, builds: list[str]):
    all_four.shipping.build("HEAD")
    all_four.shipping.build(None, dirty=True)
    assert builds == ["commit", "files"]
    base = {
        "hook": "pre-build",
        "app": "panager",
        "url": "http://127.0.0.1:8000",
        "kind": "build",
        "sha": A,
    }
    assert all_four.told("pre_build") == [base | {"dirty": False}, base | {"dirty": True}]
    assert not (all_four.host.settings.state_dir / "dumps").exists()


def test_what_fails_before_a_build_stops_it(site: Site, heard: Site, builds: list[str]):
    site.set(pre_build=site.script("no", "exit 1"), on_failure=site.script("on_failure"))
    with pytest.raises(CommandError, match="hook pre-build stopped it, nothing was changed"):
        site.shipping.build("HEAD")
    assert builds == []
    (told,) = site.told("on_failure")
    assert (told["kind"], told["sha"], told["outcome"]) == ("build", A, "failed")
    assert heard.messages == [], "messages are of deployments"


def test_a_build_that_fails_is_told(all_four: Site, builds: list[str], monkeypatch):
    def full(*_, **__):
        raise EngineError("disk full")

    monkeypatch.setattr(ship.building, "build", full)
    with pytest.raises(EngineError):
        all_four.shipping.build("HEAD")
    assert all_four.told("on_failure")[0]["error"]["message"] == "disk full"


def test_only_after_what_became_live_is_tidied_up(site: Site, host: Host, tidied: list[str]):
    site.shipping.deploy(A)
    assert tidied == [host.settings.app]
    site.shipping.deploy(A)  # live already
    host.break_image(B, exits=1)
    assert site.shipping.deploy(B).error
    assert len(tidied) == 1
