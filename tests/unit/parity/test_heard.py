"""What a run of the real act printed (act.jsonl, recorded), as jobs."""

import json
from pathlib import Path

import pytest

from pipeline.parity.heard import Heard

RECORDED = (Path(__file__).parent / "act.jsonl").read_text(encoding="utf-8").splitlines()


def hear(*lines):
    said = []
    heard = Heard(said.append)
    for line in lines:
        heard.line(line)
    return heard, said


def event(job="a", **more):
    return json.dumps({"jobID": job, "level": "info", "msg": "", **more})


def test_a_job_that_succeeded():
    heard, _ = hear(*RECORDED)
    job = heard.job("good")
    assert (job.result, job.step, job.exit_code, job.evidence) == ("success", "", None, "")


def test_a_failure_names_the_first_step_that_failed_and_its_last_words():
    heard, _ = hear(*RECORDED)
    job = heard.job("bad")
    assert (job.result, job.exit_code) == ("failure", 3)
    assert job.step == "echo '::warning::careful'; echo 'last words'; sleep 0.2; exit 3"
    assert job.evidence.splitlines()[-2:] == ["last words", "exit status 3"]
    assert "after" not in job.evidence


def test_a_failure_in_an_action_of_ours_is_its_step():
    heard, _ = hear(*RECORDED)
    job = heard.job("inner")
    assert (job.result, job.step, job.exit_code) == ("failure", "./.github/actions/ours", 7)
    assert "in it" in job.evidence.splitlines()


def test_a_job_of_which_nothing_is_said_was_skipped():
    heard, _ = hear(*RECORDED)
    job = heard.job("skipped")
    assert (job.result, job.seconds, job.step) == ("skipped", 0.0, "")


def test_a_job_that_act_cannot_run_has_failed():
    heard, _ = hear(*RECORDED)
    job = heard.job("elsewhere")
    assert job.result == "failure"
    assert "windows-latest" in job.evidence


@pytest.mark.parametrize("result", [{}, {"jobResult": "failure"}, {"jobResult": "unheard of"}])
def test_a_job_that_has_begun_and_did_not_succeed_has_failed(result):
    heard, _ = hear(event(), event(**result))
    assert heard.job("a").result == "failure"


def test_a_matrix_succeeds_only_as_a_whole():
    ends = [event(jobResult=result) for result in ("success", "failure", "success")]
    heard, _ = hear(event(), *ends)
    assert heard.job("a").result == "failure"


def test_what_prevents_a_step_is_its_failure():
    cannot = event(level="error", msg="cannot", step="some/action@v1", stage="Pre", stepID=["2"])
    heard, _ = hear(event(), cannot, event(jobResult="failure"))
    job = heard.job("a")
    assert (job.step, job.evidence, job.exit_code) == ("some/action@v1", "cannot", None)


def test_what_steps_say_is_told_as_it_comes():
    _, said = hear(*RECORDED)
    assert "good > exit 4 # a first line" in said
    assert "good |   in colour" in said
    assert "bad | last words" in said
    assert any(line.startswith("inner: failure after ") for line in said)
    assert not any("Set up job" in line or "\033" in line for line in said)


def test_only_the_last_lines_are_evidence():
    many = [event(raw_output=True, stepID=["0"], msg=f"line {n}\n") for n in range(100)]
    heard, _ = hear(*many, event(stepID=["0"], stepResult="failure"))
    lines = heard.job("a").evidence.splitlines()
    assert lines == [f"line {n}" for n in range(80, 100)]


def test_what_is_of_no_job_is_kept_for_an_error():
    info = '{"level":"info","msg":"Using docker host"}'
    heard, said = hear(info, '{"level":"error","msg":"bad"}', "Error: no", "[]", '{"jobID":')
    assert heard.said == ["bad", "Error: no", "[]", '{"jobID":']
    assert said == []
    assert heard.lines[0] == info
