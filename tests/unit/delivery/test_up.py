"""up and down over fakes of the host: the order of things, and what is not done twice."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipeline import up as module
from pipeline.errors import LockedError
from pipeline.release import lock
from pipeline.release.ledger import Deployment, Ledger
from pipeline.release.store import State
from pipeline.settings import Settings
from pipeline.up import Consent, down, up
from pipeline.up import host as ensure_host

CONSENT = Consent(yes=True, interactive=False, confirm=lambda _: False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every call to a part outside, in order."""
    made: list[str] = []

    def note(name: str, returns=None):
        def call(*_args, **_kwargs):
            made.append(name)
            return returns

        return call

    monkeypatch.setattr(module.docker, "ensure_engine", note("engine"))
    monkeypatch.setattr(module.bases, "ensure_bases", note("bases"))
    monkeypatch.setattr(
        module.registry, "ensure_local_registry", note("registry", "127.0.0.1:5000")
    )
    monkeypatch.setattr(module.registry, "remove_local_registry", note("remove registry"))
    monkeypatch.setattr(module.ComposeEngine, "remove", note("remove"))

    class FakeShipping:
        def __init__(self, *, settings, report, started):
            made.append(f"ship from {settings.registry}")

        def build(self, sha):
            made.append("build")
            return SimpleNamespace(sha="a" * 40)

        push = note("push")
        expect = note("expect")
        deploy = note("deploy", SimpleNamespace(error=None))

    monkeypatch.setattr(module, "Shipping", FakeShipping)
    return made


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / ".env.example").write_text("POSTGRES_PASSWORD=change-me\nURL=//u:change-me@db\n")
    monkeypatch.setattr(Settings, "root", root)
    return Settings(state_dir=tmp_path / "state", sources={"registry": "default"})


def run(settings: Settings, said: list[str]):
    return up(settings, sha=None, consent=CONSENT, report=said.append, started=0.0)


def test_host_times_its_two_phases(calls):
    assert list(ensure_host(consent=CONSENT, report=print)) == ["engine", "bases"]
    assert calls == ["engine", "bases"]


def test_host_may_leave_the_base_images_to_others(calls):
    assert list(ensure_host(consent=CONSENT, report=print, engine_only=True)) == ["engine"]
    assert calls == ["engine"]


def test_up_does_everything_in_order_and_times_it(calls, settings):
    _, phases = run(settings, [])
    expected = ["engine", "bases", "registry", "build", "push", "deploy", "verify"]
    assert list(phases) == expected
    assert calls == [
        *("engine", "bases", "registry", "ship from 127.0.0.1:5000"),
        *("build", "push", "deploy", "expect"),
    ]


def test_up_takes_the_registry_that_somebody_named(calls, settings):
    named = replace(settings, registry="r.example", sources={"registry": "PIPELINE_REGISTRY"})
    run(named, [])
    assert "registry" not in calls
    assert "ship from r.example" in calls


def test_up_makes_an_env_file_with_one_new_password_once(calls, settings):
    said: list[str] = []
    run(settings, said)
    path = settings.root / ".env"
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "change-me" not in text
    password = text.splitlines()[0].partition("=")[2]
    assert len(password) >= 30
    assert password in text.splitlines()[1]
    assert not any(password in line for line in said)
    run(settings, said)
    assert path.read_text() == text


def test_up_makes_no_new_password_where_a_release_was_live(calls, settings, host):
    host.deploy("a" * 40)
    run(replace(settings, state_dir=host.folder / "state"), [])
    assert not (settings.root / ".env").exists()


def test_up_does_not_verify_what_did_not_get_live(calls, settings, monkeypatch):
    failed = SimpleNamespace(error=RuntimeError())
    monkeypatch.setattr(module.Shipping, "deploy", lambda *_: failed)
    outcome, phases = run(settings, [])
    assert outcome is failed
    assert "verify" not in phases


def test_down_removes_everything_and_ends_what_is_live(calls, settings):
    state = State(settings.state_dir, app=settings.app)
    state.create()
    ledger = Ledger(state.ledger)
    ledger.record(Deployment(kind="deploy", release=None, colour="blue", outcome="failed"))
    said: list[str] = []
    down(settings, volumes=False, report=said.append)
    assert calls == ["remove", "remove registry"]
    assert ledger.live() is None
    assert "the data is kept" in said[0]
    down(settings, volumes=True, report=said.append)
    assert "and data" in said[1]


def test_down_waits_for_no_deployment(calls, settings):
    state = State(settings.state_dir, app=settings.app)
    state.create()
    with lock.hold(state.lock, command="deploy"), pytest.raises(LockedError):
        down(settings, volumes=False, report=print)
    assert calls == []


def test_after_down_nothing_is_live(calls, settings, host):
    host.deploy("a" * 40)
    same_place = replace(settings, state_dir=host.folder / "state")
    down(same_place, volumes=False, report=print)
    assert host.delivery().ledger.live() is None
    assert (host.folder / "state/proxy/live.map").read_text() == "live none\n"
    assert [row["outcome"] for row in host.delivery().ledger.history()] == ["stopped", "live"]
