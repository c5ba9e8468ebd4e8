import pytest

from pipeline.ports import Answer, other


@pytest.mark.parametrize(("live", "new"), [(None, "blue"), ("green", "blue"), ("blue", "green")])
def test_a_new_release_takes_the_colour_that_is_not_live(live, new):
    assert other(live) == new


@pytest.mark.parametrize(
    ("status", "sha", "names"),
    [(200, "abc", True), (200, "abd", False), (200, "", False), (503, "abc", False)],
)
def test_only_a_healthy_answer_of_that_commit_names_it(status, sha, names):
    assert Answer(status=status, sha=sha, text="").names("abc") is names


def test_an_answer_as_text():
    assert str(Answer(status=503, sha="", text="no")) == "503: no"
    assert str(Answer(status=0, sha="", text="timed out")) == "no answer: timed out"
