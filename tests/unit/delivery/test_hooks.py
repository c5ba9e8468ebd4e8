"""Commands of one's own: what they are told, what they can stop, and what they cannot."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import hooks
from pipeline.errors import CommandError, UnavailableError
from pipeline.parsing import Hooks, Secret
from tests.unit.delivery.conftest import A, B, Host
from tests.unit.delivery.hooked import Site, hooked


@pytest.fixture
def site(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return hooked(host, tmp_path / "checkout", monkeypatch)


@pytest.fixture
def all_four(site: Site) -> Site:
    site.set_all()
    return site


def test_a_deployment_tells_before_and_after(all_four: Site):
    outcome = all_four.shipping.deploy(A)
    (before,), (after,) = all_four.told("pre_deploy"), all_four.told("post_deploy")
    base = {
        "app": "panager",
        "url": "http://127.0.0.1:8000",
        "kind": "deploy",
        "sha": A,
        "release": outcome.release.id,
        "digest": outcome.release.digest,
        "image": outcome.release.image,
        "dumps": str(all_four.host.settings.state_dir / "dumps"),
    }
    assert before == {"hook": "pre-deploy", **base}
    assert after == {"hook": "post-deploy", **base, **json.loads(json.dumps(outcome.as_dict()))}
    assert after["outcome"] == "live"
    assert "pre-deploy" in outcome.deployment.phases
    assert all_four.told("on_failure") == []
    assert all_four.told("pre_build") == []


def test_there_is_a_folder_for_dumps_of_its_owner_alone(all_four: Site):
    all_four.shipping.deploy(A)
    dumps = Path(all_four.told("pre_deploy")[0]["dumps"])
    assert dumps.stat().st_mode & 0o777 == 0o700


def test_a_folder_for_dumps_that_cannot_be_made_stops_it(all_four: Site):
    all_four.host.settings.state_dir.mkdir()
    (all_four.host.settings.state_dir / "dumps").write_text("a file")
    outcome = all_four.shipping.deploy(A)
    assert "dumps, for hooks, cannot be made" in outcome.error.message
    assert all_four.host.world.events == []


def test_a_rollback_is_a_deployment_too(all_four: Site):
    all_four.shipping.deploy(A)
    all_four.shipping.deploy(B)
    all_four.shipping.rollback(None)
    assert [each["kind"] for each in all_four.told("pre_deploy")] == [
        "deploy",
        "deploy",
        "rollback",
    ]
    assert all_four.told("post_deploy")[-1]["sha"] == A


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_what_fails_before_it_stops_it_and_changes_nothing(site: Site, kind: str):
    site.shipping.deploy(B)
    site.shipping.deploy(A)
    site.host.world.events.clear()
    site.set(
        pre_deploy=site.script("no", "echo the disk is full", "exit 3"),
        on_failure=site.script("on_failure"),
        post_deploy=site.script("post_deploy"),
    )
    outcome = site.shipping.deploy(B) if kind == "deploy" else site.shipping.rollback(None)
    assert isinstance(outcome.error, CommandError)
    assert outcome.error.exit_code == 1
    assert "The hook pre-deploy stopped it, nothing was changed" in outcome.error.message
    assert "`sh no.sh` failed with exit code 3" in outcome.error.message
    assert "[tool.pipeline.hooks]" in outcome.error.hint
    assert outcome.error.details == "the disk is full"
    assert site.host.world.events == []
    delivery = site.host.delivery()
    assert delivery.ledger.live()[1].sha == A
    assert delivery.ledger.unfinished() is None
    newest = delivery.ledger.history(limit=1)[0]
    assert (newest["kind"], newest["outcome"], newest["sha"]) == (kind, "failed", B)
    assert newest["error"]["message"] == outcome.error.message
    (told,) = site.told("on_failure")
    assert told["error"] == outcome.error.as_dict()
    assert (told["outcome"], told["kind"]) == ("failed", kind)
    assert site.told("post_deploy") == []


def test_the_next_one_goes_through(site: Site):
    site.set(pre_deploy=site.script("no", "exit 1"))
    assert site.shipping.deploy(A).error
    site.set(pre_deploy=site.script("yes"))
    assert site.shipping.deploy(A).error is None


def test_the_first_command_that_fails_is_the_last(site: Site):
    lines = (site.script("one", "exit 1"), site.script("two"))
    commands = tuple(tuple(line.split()) for line in lines)
    site.host.settings = replace(site.host.settings, hooks=Hooks(pre_deploy=commands))
    assert site.shipping.deploy(A).error
    assert site.told("two") == []


def test_a_program_that_is_not_there_is_named_with_its_hook_and_setting(site: Site):
    site.set(pre_deploy="./ops/dump")
    site.host.settings = replace(site.host.settings, sources={"hooks": "PIPELINE_HOOKS"})
    error = site.shipping.deploy(A).error
    assert "hook pre-deploy" in error.message
    assert "`./ops/dump` is not installed" in error.message
    assert "PIPELINE_HOOKS" in error.hint


def test_one_that_does_not_end_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hooks, "TIMEOUT", 0.2)
    site.set(pre_deploy=site.script("slow", "exec sleep 30"))
    assert "did not finish within 0.2 s" in site.shipping.deploy(A).error.message


def test_a_cancel_in_it_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch):
    def cancelled(*_, **__):
        raise KeyboardInterrupt

    site.set(pre_deploy=site.script("slow"))
    monkeypatch.setattr(hooks.shell, "run", cancelled)
    outcome = site.shipping.deploy(A)
    assert "Cancelled in the hook pre-deploy; nothing was changed" in outcome.error.message
    assert outcome.error.exit_code == 1
    assert site.host.world.events == []
    assert site.host.delivery().ledger.unfinished() is None


def test_what_stopped_it_is_said_where_the_ledger_cannot_be_written(site: Site, monkeypatch):
    site.shipping.deploy(A)
    site.set(pre_deploy=site.script("no", "exit 3"))

    def full(*_):
        raise UnavailableError("disk full")

    monkeypatch.setattr("pipeline.release.ledger.Ledger.record", full)
    assert "exit code 3" in site.shipping.deploy(B).error.message
    assert site.warnings == ["warning: disk full"]


def test_what_is_there_is_looked_at_again_after_it(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.shipping.deploy(A)
    site.set(pre_deploy=site.script("minutes"))

    def dies(*_, **__):
        site.host.world.containers, site.host.world.live = {}, None

    monkeypatch.setattr(hooks, "ask", dies)
    assert site.shipping.deploy(B).error is None
    assert site.host.world.live == "blue", "which is free by then"


def test_no_secret_is_shown_or_told(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIPELINE_REGISTRY_PASSWORD", "of-the-registry")
    site.host.settings = replace(site.host.settings, registry_password=Secret("of-the-registry"))
    leak = ("echo sentinel-secret of-the-registry", "env", "exit 1")
    site.set(pre_deploy=site.script("leak", *leak))
    outcome = site.shipping.deploy(A)
    told = (site.root / "leak.told").read_text()
    shown = "\n".join([*site.host.said, json.dumps(outcome.as_dict()), told])
    assert "pre-deploy: *** ***" in shown
    assert "sentinel-secret" not in shown
    assert "of-the-registry" not in shown


def test_it_runs_in_the_checkout(site: Site):
    site.set(pre_deploy=site.script("where", "pwd"))
    site.shipping.deploy(A)
    assert f"pre-deploy: {site.root}" in site.host.said
