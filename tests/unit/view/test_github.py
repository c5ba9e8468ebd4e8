import json
from types import SimpleNamespace

import pytest

from pipeline.errors import PipelineError, UnavailableError, UsageError
from pipeline.view import github, terminal

MERGE, HEAD, BASE = ("a" * 40, "b" * 40, "c" * 40)
HERE = {"GITHUB_ACTIONS": "true"}


@pytest.fixture
def runs(tmp_path):
    """Return the environment of a run that an event started; None leaves a variable out."""

    def environ(name, payload, ref="refs/heads/main", **changes):
        path = tmp_path / "event.json"
        path.write_text(payload if isinstance(payload, str) else json.dumps(payload))
        given = {
            **HERE,
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_SHA": MERGE,
            "GITHUB_REF": ref,
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    return environ


def pull(head_repo, **head):
    head = {"sha": HEAD, "ref": "topic", "label": "them:topic", **head}
    return {
        "pull_request": {
            "number": 12,
            "head": {"repo": head_repo and {"full_name": head_repo}, **head},
            "base": {"sha": BASE, "repo": {"full_name": "us/it"}},
        }
    }


def push(before=BASE):
    return {"before": before, "repository": {"default_branch": "main"}}


def test_elsewhere_there_is_no_event(runs):
    assert github.event({}) is None
    assert github.event(runs("push", push(), GITHUB_ACTIONS=None)) is None


@pytest.mark.parametrize("name", ["pull_request", "pull_request_target"])
def test_a_pull_request_is_of_its_head_not_of_the_merge(name, runs):
    ref = "refs/pull/12/merge"
    assert github.event(runs(name, pull("us/it"), ref)) == github.Event(
        name=name, commit=HEAD, branch="topic", number=12, fork=False, base=BASE
    )


@pytest.mark.parametrize("repo", ["them/it", "us/it-too", None])
def test_a_forks_branch_has_its_owner(repo, runs):
    event = github.event(runs("pull_request", pull(repo), "refs/pull/12/merge"))
    assert (event.fork, event.branch, event.number) == (True, "them:topic", 12)


def test_a_fork_that_is_gone_without_a_trace(runs):
    event = github.event(runs("pull_request", pull(None, label=None)))
    assert (event.fork, event.branch) == (True, "unknown:topic")


def test_a_push_to_the_default_branch_is_compared_with_what_was_there(runs):
    event = github.event(runs("push", push()))
    assert event == github.Event(
        name="push", commit=MERGE, branch="main", number=None, fork=False, base=BASE
    )


@pytest.mark.parametrize(
    ("payload", "ref"),
    [
        (push("0" * 40), "refs/heads/main"),
        (push(), "refs/heads/feature/x"),  # what was there was perhaps cancelled, untested
        (push(), "refs/tags/v1"),
        ({"before": BASE}, "refs/tags/v1"),
        ({}, "refs/heads/main"),
    ],
)
def test_any_other_push_says_nothing_to_compare_with(payload, ref, runs):
    assert github.event(runs("push", payload, ref)).base is None


def test_branches_and_tags(runs):
    assert github.event(runs("push", push(), "refs/heads/feature/x")).branch == "feature/x"
    assert github.event(runs("push", push(), "refs/tags/v1")).branch is None


def test_a_run_by_hand(runs):
    event = github.event(runs("workflow_dispatch", push(), GITHUB_SHA=MERGE.upper()))
    assert (event.commit, event.branch, event.base) == (MERGE, "main", None)


def test_a_merge_queues_commit_will_be_the_branchs(runs):
    group = {"head_sha": HEAD, "base_sha": BASE, "base_ref": "refs/heads/main"}
    event = github.event(runs("merge_group", {"merge_group": group}, "refs/heads/queue/x"))
    assert (event.commit, event.base, event.branch) == (HEAD, BASE, "main")


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("push", "{", "Expecting"),
        ("push", "[" * 100_000, "recursion"),
        ("pull_request", "[]", "it has no pull_request.head.sha"),
        ("pull_request", {"pull_request": None}, "it has no pull_request.head.sha"),
        ("pull_request", pull("us/it", sha="main; id"), "'main; id' is no commit hash"),
        ("pull_request", pull("us/it", ref=7), "it has no pull_request.head.ref"),
        ("merge_group", {}, "it has no merge_group.head_sha"),
        ("push", push("HEAD"), "'HEAD' is no commit hash"),
        ("push", push(5), "'5' is no commit hash"),
    ],
)
def test_a_broken_event_is_named(name, payload, said, runs):
    with pytest.raises(UsageError) as caught:
        github.event(runs(name, payload))
    assert said in caught.value.message
    assert "GITHUB_ACTIONS" in caught.value.hint


@pytest.mark.parametrize("number", [True, "12", None])
def test_a_number_that_is_none(number, runs):
    payload = pull("us/it")
    payload["pull_request"]["number"] = number
    with pytest.raises(UsageError, match=r"no pull_request\.number"):
        github.event(runs("pull_request", payload))


@pytest.mark.parametrize("missing", ["GITHUB_EVENT_PATH", "GITHUB_EVENT_NAME", "GITHUB_SHA"])
def test_a_missing_variable_is_named(missing, runs):
    with pytest.raises(UsageError, match=missing):
        github.event(runs("push", push(), **{missing: None}))


def test_no_event_file(runs, tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        github.event(runs("push", push(), GITHUB_EVENT_PATH=str(tmp_path / "none")))


def test_a_group_folds_and_ends_with_an_error(capsys):
    with pytest.raises(KeyError), github.group("50 %\r\nof it", HERE):
        raise KeyError
    assert tuple(capsys.readouterr()) == ("", "::group::50 %25%0D%0Aof it\n::endgroup::\n")


def test_a_listing_is_folded(capsys):
    github.listing("What", ["a 1", "b 2"], HERE)
    assert capsys.readouterr().err == "::group::What\n  a 1\n  b 2\n::endgroup::\n"


def test_an_error_is_annotated_whatever_it_says(capsys):
    github.annotate("a: 1,\r\n50 %", "b: 1,\n2 %", file="x.py", line="3", environ=HERE)
    assert tuple(capsys.readouterr()) == (
        "",
        "::error file=x.py,line=3,title=b%3A 1%2C%0A2 %25::a: 1,%0D%0A50 %25\n",
    )


def test_elsewhere_all_is_silent(capsys, tmp_path):
    with github.group("x", {}):
        github.annotate("x", "y", environ={})
    github.listing("x", ["y"], {"GITHUB_ACTIONS": "false"})
    github.annotate_failures(tmp_path, {})
    github.summary("x", {})
    github.output("x", "y", {})
    assert github.oidc_token("x", HERE) is None
    assert github.needs({}) is None
    assert github.ruff_format({}) == "full"
    assert tuple(capsys.readouterr()) == ("", "")


def test_what_failed_is_annotated_where_it_did(tmp_path, capsys):
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.x" name="test_a">'
        '<failure message="no">def test_a():\n\ntests/x.py:5: in f\n\napp/y.py:7: E</failure>'
        '</testcase><testcase classname="tests.x" name="test_b"/>'
        '<testcase classname="tests.x" name="test_c"><error/></testcase></testsuite></testsuites>'
    )
    github.annotate_failures(report, HERE)
    assert capsys.readouterr().err.splitlines() == [
        "::error file=app/y.py,line=7,title=tests.x%3A%3Atest_a::no",
        "::error title=tests.x%3A%3Atest_c::error",
    ]


@pytest.mark.parametrize("content", [None, "<testsuites>"])
def test_without_a_report_nothing_is_annotated(content, tmp_path, capsys):
    report = tmp_path / "tests.xml"
    if content:
        report.write_text(content)
    github.annotate_failures(report, HERE)
    assert capsys.readouterr().err == ""


def test_ruff_speaks_githubs_form_there():
    assert github.ruff_format(HERE) == "github"


def read(path):
    """Read outputs as the runner does: name<<end, lines, end."""
    values, lines = {}, iter(path.read_bytes().decode().split("\n"))
    for line in lines:
        if line:
            name, end = line.split("<<", 1)
            values[name] = "\n".join(iter(lambda: next(lines), end))
    return values


def test_an_output_is_what_it_was(tmp_path):
    path = tmp_path / "output"
    hostile = "a\nEOF\nevil=1\r\nx<<y\n☃\n"
    github.output("one", hostile, {"GITHUB_OUTPUT": str(path)})
    github.output("two", "", {"GITHUB_OUTPUT": str(path)})
    github.output("three", "\udcff", {"GITHUB_OUTPUT": str(path)})
    assert read(path) == {"one": hostile, "two": "", "three": "\\udcff"}


def test_an_output_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(UnavailableError, match="output heavy"):
        github.output("heavy", "true", {"GITHUB_OUTPUT": str(tmp_path)})


def test_a_summary_is_added_and_never_fails(tmp_path):
    path = tmp_path / "summary"
    for text in ("a", "b"):
        github.summary(text, {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.read_text() == "a\nb\n"
    github.summary("c", {"GITHUB_STEP_SUMMARY": str(tmp_path)})


def test_a_failure_is_annotated_and_standard_output_is_left_alone(monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    terminal.fail(PipelineError("It broke.", hint="Mend it."))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "::error title=Exit code 1::It broke.%0AMend it."


def test_a_deployment_is_summed_up(monkeypatch, tmp_path):
    made = SimpleNamespace(
        kind="deploy",
        outcome="live",
        seconds=2.5,
        phases={"pull": 0.5, "start": 1.25},
        requests={"sent": 30, "failed": 1, "p99_ms": 4.2},
    )
    release = SimpleNamespace(id="0123456-aa", sha=HEAD)
    page = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    terminal.outcome(SimpleNamespace(deployment=made, release=release, url="u", error=None))
    assert page.read_text().splitlines() == [
        "### deploy",
        "",
        "| | |",
        "|---|---|",
        "| outcome | live |",
        f"| commit | `{HEAD}` |",
        "| release | `0123456-aa` |",
        "| phases | pull 0.50 s, start 1.25 s |",
        "| requests | 30 sent, 1 failed |",
        "",
    ]
