import json

import pytest

from pipeline.errors import UsageError
from pipeline.parity.green import MAY_BE_SKIPPED, judge
from pipeline.view import terminal


def bad(changes="success", outputs=None, **results):
    """Return the jobs that are not as they should be."""
    needs = {name: {"result": result, "outputs": {}} for name, result in results.items()}
    needs["changes"] = {"result": changes, "outputs": outputs}
    return {job.name for job in judge(json.dumps(needs)) if not job.green}


LIGHT, HEAVY = {"heavy": "false"}, {"heavy": "true"}


def test_success_is_green():
    assert bad(lint="success", e2e="success", outputs=HEAVY) == set()


@pytest.mark.parametrize("result", ["failure", "cancelled", "", "Success", "neutral"])
def test_anything_else_is_not(result):
    assert bad(lint=result, e2e="success", outputs=LIGHT) == {"lint"}
    assert bad(lint="success", e2e=result, outputs=LIGHT) == {"e2e"}


def test_with_documentation_only_the_heavy_jobs_may_be_skipped():
    skipped = dict.fromkeys((*MAY_BE_SKIPPED, "lint"), "skipped")
    assert bad(**skipped, outputs=LIGHT) == {"lint"}


@pytest.mark.parametrize("outputs", [HEAVY, {"heavy": ""}, {"heavy": False}, {}, None, "false"])
def test_else_none_may(outputs):
    assert bad(e2e="skipped", outputs=outputs) == {"e2e"}


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
def test_what_a_failed_job_said_does_not_count(result):
    assert bad(e2e="skipped", changes=result, outputs=LIGHT) == {"changes", "e2e"}


def test_a_run_that_did_not_look_at_changes():
    (job,) = judge('{"e2e": {"result": "skipped"}}')
    assert not job.green


@pytest.mark.parametrize(
    "needs",
    [
        *(None, "", "{", "[" * 100_000, "null", "[]", "{}", '"x"'),
        *('{"lint": null}', '{"lint": {}}', '{"lint": {"result": 1}}'),
    ],
)
def test_what_is_no_context(needs):
    with pytest.raises(UsageError) as caught:
        judge(needs)
    assert "toJSON(needs)" in caught.value.hint


def test_the_table(capsys):
    terminal.jobs(judge('{"lint": {"result": "success"}, "e2e": {"result": "skipped"}}'))
    assert capsys.readouterr().out.splitlines() == [
        "ok   lint         success",
        "BAD  e2e          skipped",
    ]
