"""What the tasks call: the commit is settled first, then the wings are asked."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import ship
from pipeline.deploy import Delivery
from pipeline.errors import ReleaseFailedError, UsageError
from pipeline.image.ref import Built
from pipeline.settings import Settings
from pipeline.ship import Shipping
from tests.unit.delivery.conftest import A, Host, OnHost, reference


def git(root: Path, *args: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    argv = ["git", *identity, *args]
    return subprocess.run(argv, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "docker-compose.yml").write_text("services: {of: commit}\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    monkeypatch.setattr(Settings, "root", root)
    return root


@pytest.fixture
def shipping(host: Host, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Shipping:
    monkeypatch.setattr(Delivery, "of", classmethod(lambda cls, *_, **__: host.delivery()))
    (host.folder / "env").write_text("KEY=1\n")
    return Shipping(settings=host.settings, report=host.said.append, started=0.0)


@pytest.fixture
def pulls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def ensure_local(_settings, sha, report, *, reference=""):
        asked.append((sha, reference))
        return OnHost(f"ghcr.io/panager/panager@sha256:{'a' * 64}", "m1")

    monkeypatch.setattr(ship.registry, "ensure_local", ensure_local)
    return asked


def built(commit) -> Built:
    return Built(sha=commit.sha, digest="", tags=(commit.sha,), platforms=(), size=1, seconds=0.0)


def test_build_takes_head_where_the_tree_is_clean(shipping, checkout, monkeypatch):
    monkeypatch.setattr(ship.building, "build", lambda s, commit, **_: built(commit))
    assert shipping.build(None).sha == git(checkout, "rev-parse", "HEAD")


def test_build_of_a_dirty_tree_is_refused_unless_the_commit_is_named(
    shipping, checkout, monkeypatch
):
    monkeypatch.setattr(ship.building, "build", lambda s, commit, **_: built(commit))
    (checkout / "docker-compose.yml").write_text("changed\n")
    with pytest.raises(UsageError, match="working tree") as caught:
        shipping.build(None)
    assert caught.value.exit_code == 2
    assert shipping.build("HEAD").sha == git(checkout, "rev-parse", "HEAD")


def test_push_hands_over_what_git_knows_of_the_commit(shipping, checkout, monkeypatch):
    git(checkout, "tag", "v1.4.2")
    monkeypatch.setattr(ship.registry, "push", lambda s, commit, report, part: commit)
    assert shipping.push("main").version == "1.4.2"


def test_rights_are_proven_before_a_build_that_is_pushed(shipping, checkout, monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(ship.registry, "prove", lambda s: done.append("prove"))
    monkeypatch.setattr(ship.building, "build", lambda *_, **__: done.append("build"))
    monkeypatch.setattr(ship.registry, "push", lambda *_, part: done.append(f"push {part}"))
    shipping.build(None, push=True)
    assert done == ["prove", "build", "push "]


def test_a_part_is_built_and_pushed_for_its_platform(shipping, checkout, monkeypatch):
    parts: list[str] = []
    monkeypatch.setattr(ship.registry, "prove", lambda s: None)
    monkeypatch.setattr(ship.building, "build", lambda *_, part, **__: parts.append(part))
    monkeypatch.setattr(ship.registry, "push", lambda *_, part: parts.append(part))
    arm = replace(shipping, settings=replace(shipping.settings, platforms="linux/arm64"))
    arm.build(None, push=True, part=True)
    assert parts == ["linux/arm64"] * 2
    with pytest.raises(UsageError, match="one platform"):
        shipping.push(None, part=True)


def test_a_merge_wants_to_know_of_what(shipping, checkout, monkeypatch):
    with pytest.raises(UsageError, match="of which platforms") as caught:
        shipping.merge(None)
    assert "invoke manifest --platforms" in caught.value.hint
    monkeypatch.setattr(ship.registry, "merge", lambda s, commit, platforms, report: platforms)
    both = replace(shipping.settings, platforms="linux/amd64,linux/arm64")
    assert replace(shipping, settings=both).merge(None) == ["linux/amd64", "linux/arm64"]


def test_the_files_as_they_are_are_built_on_purpose_only(shipping, checkout, monkeypatch):
    (checkout / "docker-compose.yml").write_text("changed\n")
    monkeypatch.setattr(ship.building, "build_files", lambda s, commit, tree, **_: tree)
    assert len(shipping.build(None, dirty=True)) == 40


@pytest.mark.parametrize("also", [{"push": True}, {"sha": "HEAD"}])
def test_the_files_as_they_are_are_no_commits_and_never_pushed(also, shipping, checkout):
    with pytest.raises(UsageError, match="never pushed"):
        shipping.build(**{"sha": None, "dirty": True, **also})


def test_about_and_prove_ask_the_registry(shipping, checkout, monkeypatch):
    monkeypatch.setattr(ship, "about", lambda settings, sha: sha)
    monkeypatch.setattr(ship.registry, "prove", lambda settings: "proven")
    assert shipping.about("main") == git(checkout, "rev-parse", "HEAD")
    shipping.prove()


def test_deploy_runs_the_compose_file_of_the_commit(shipping, checkout, host, pulls):
    sha = git(checkout, "rev-parse", "HEAD")
    (checkout / "docker-compose.yml").write_text("services: {of: working-tree}\n")
    host.break_image(A, sha=sha)
    outcome = shipping.deploy(sha)
    assert outcome.error is None
    assert pulls == [(sha, "")]
    assert "of: commit" in host.delivery().state.compose(outcome.release.id)


def test_deploy_of_a_commit_that_this_checkout_lacks_takes_its_own_compose_file(
    shipping, host, pulls
):
    shipping.deploy(A)
    assert host.world.references("blue") == {reference(A)}
    assert any("lacks the commit" in line for line in host.said)


def test_a_malformed_commit_never_reaches_the_registry(shipping, pulls):
    with pytest.raises(UsageError):
        shipping.deploy("; rm -rf /")
    assert pulls == []


def test_rollback_asks_for_the_image_by_digest(shipping, host, pulls):
    host.deploy(A)
    host.env["KEY"] = "2"
    host.deploy(A)
    assert shipping.rollback(None).error is None
    assert pulls == [(A, reference(A))]


def test_status_says_what_is_live_and_whether_it_answers(shipping, host):
    assert shipping.status()["live"] is None
    host.deploy(A)
    found = shipping.status()
    assert found["healthy"] is True
    assert (found["live"]["sha"], found["live"]["colour"]) == (A, "blue")
    host.world.live = None
    assert shipping.status()["healthy"] is False


def test_expect_is_the_last_gate(shipping, host):
    host.deploy(A)
    shipping.expect(A)
    with pytest.raises(ReleaseFailedError, match="does not serve commit b"):
        shipping.expect("b" * 40)


def test_history(shipping, host):
    host.deploy(A)
    assert [row["sha"] for row in shipping.history(limit=5)] == [A]


def test_a_real_delivery_is_wired_from_the_settings(host: Host):
    settings = replace(host.settings, port=8123)
    delivery = Delivery.of(settings, report=host.said.append, started=0.0)
    assert delivery.prober is not None
    assert delivery.prober().address == "127.0.0.1:8123"
    assert delivery.traffic.live() is None
