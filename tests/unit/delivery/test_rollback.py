"""Rollback is the same machinery, aimed at an earlier release."""

import pytest

from pipeline.errors import EngineError, RegistryError, UndoFailedError, UsageError
from tests.unit.delivery.conftest import A, B, Host, reference


def test_rollback_brings_back_image_env_and_compose(host: Host):
    host.env["KEY"] = "of A"
    first = host.deploy(A).release
    host.env["KEY"] = "of B"
    host.deploy(B)
    outcome = host.rollback()
    assert outcome.release == first
    assert outcome.deployment.kind == "rollback"
    assert host.world.references("blue") == {reference(A)}
    assert '"of A"' in host.delivery().state.env(outcome.release.id)


def test_rolling_back_twice_is_back_where_it_was(host: Host):
    host.deploy(A)
    host.deploy(B)
    host.rollback()
    assert host.rollback().release.sha == B


def test_an_env_only_change_can_be_rolled_back(host: Host):
    host.env["KEY"] = "first"
    first = host.deploy(A).release
    host.env["KEY"] = "second"
    host.deploy(A)
    assert host.rollback().release == first


@pytest.mark.parametrize("to", [A, A[:7]])
def test_a_named_release_can_be_had(host: Host, to: str):
    host.deploy(A)
    host.deploy(B)
    assert host.rollback(to).release.sha == A


@pytest.mark.parametrize("to", ["c" * 40, "", "; rm -rf /"])
def test_an_unknown_one_is_refused_with_what_there_is(host: Host, to: str):
    host.deploy(A)
    host.world.events.clear()
    with pytest.raises(UsageError) as caught:
        host.rollback(to)
    assert A[:12] in caught.value.hint
    assert host.world.events == []


def test_with_nothing_before_there_is_nothing_to_roll_back_to(host: Host):
    host.deploy(A)
    with pytest.raises(UsageError, match="no previous release"):
        host.rollback()


def test_a_rollback_that_fails_needs_a_person_and_changes_nothing(host: Host):
    host.deploy(A)
    host.deploy(B)
    host.break_image(A, exits=9)
    outcome = host.rollback()
    assert isinstance(outcome.error, UndoFailedError)
    assert outcome.error.exit_code == 5
    assert host.world.live == "green"
    assert host.delivery().ledger.live()[1].sha == B


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(RegistryError("gone"), UsageError), (EngineError("no engine"), EngineError)],
)
def test_an_image_that_cannot_be_had_is_refused_and_an_engine_that_is_away_is_told(
    host: Host, failure: Exception, kind: type[Exception]
):
    host.deploy(A)
    host.deploy(B)
    host.world.events.clear()

    def pull(_sha: str, _reference: str):
        raise failure

    with pytest.raises(kind):
        host.delivery().rollback(to=A, pull=pull)
    assert host.world.events == []
