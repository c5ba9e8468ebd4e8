import pytest

from pipeline.errors import UsageError
from pipeline.host.consent import agree
from tests.unit.host.conftest import no

STEPS = ["an engine: install it", "an image: build it"]


def test_yes_says_what_will_be_done_and_asks_nobody(said):
    agree(STEPS, yes=True, interactive=True, confirm=no, report=said.append)
    assert said == STEPS


def test_a_person_is_shown_every_step_before_the_question(said):
    def confirm(question):
        assert said == STEPS
        return True

    agree(STEPS, yes=False, interactive=True, confirm=confirm, report=said.append)


def test_the_answer_no_ends_it(said):
    with pytest.raises(UsageError, match="the answer was no") as caught:
        agree(STEPS, yes=False, interactive=True, confirm=lambda _: False, report=said.append)
    assert caught.value.exit_code == 2


def test_without_a_terminal_nothing_waits_and_all_is_listed(said):
    with pytest.raises(UsageError, match="an engine: install it; an image: build it") as caught:
        agree(STEPS, yes=False, interactive=False, confirm=no, report=said.append)
    assert "./bin/invoke up --yes" in caught.value.hint
    assert said == []
