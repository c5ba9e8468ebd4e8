"""How act is called, and what is refused before it is; what it then does is tests/parity's."""

import json

import pytest

from pipeline.errors import CommandError, UsageError
from pipeline.parity.act import STAND_INS, GitHub, play
from tests.unit.parity.fake_act import FakeAct

PIN = "0123456789abcdef0123456789abcdef01234567"
WORKFLOW = f"""\
on: push
jobs:
  lint:
    steps:
      - uses: actions/checkout@{PIN} # v7
      - uses: ./.github/actions/setup
  changes:
    steps:
      - name: Keep
        uses: "actions/upload-artifact@{PIN}"
      # - uses: nobody/anything@v1
"""
SETUP = f"runs:\n  steps:\n    - uses: actions/cache@{PIN} # v6\n"


@pytest.fixture
def act(tmp_path):
    return FakeAct(tmp_path / "fake")


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    write(root, ".github/workflows/ci.yml", WORKFLOW)
    write(root, ".github/actions/setup/action.yml", SETUP)
    return root


@pytest.fixture
def run(act, checkout, tmp_path):
    def call(workflow="ci.yml", job=None, **github):
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        given = {"program": act.program, "folder": folder, "github": GitHub(**github)}
        return play(checkout, workflow, job=job, report=[].append, **given)

    return call


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refused(call):
    with pytest.raises(UsageError) as caught:
        call()
    return caught.value


def test_jobs_come_in_the_order_of_the_workflow(run):
    assert [(job.name, job.result) for job in run().jobs] == [
        ("lint", "success"),
        ("changes", "success"),
    ]


def test_what_act_says_of_a_job_is_heard(run, act):
    act.prints('{"jobID":"lint","level":"info","msg":"","jobResult":"failure"}', code=1)
    ran = run()
    assert {job.name: job.result for job in ran.jobs} == {"lint": "failure", "changes": "skipped"}
    assert '"jobResult":"failure"' in ran.text


def test_each_third_party_action_has_its_stand_in(run, act):
    ran = run()
    assert ran.stand_ins == ("actions/cache", "actions/upload-artifact")
    assert sorted(act.given("--local-repository")) == [
        f"{name}@{PIN}={STAND_INS / name}" for name in ran.stand_ins
    ]


def test_an_action_without_a_stand_in_is_refused(run, act, checkout):
    write(checkout, ".github/actions/setup/action.yml", "  - uses: nobody/anything@v1\n")
    error = refused(run)
    assert "nobody/anything@v1" in error.message
    assert "pipeline/parity/actions/" in error.hint
    assert not act.ran()


@pytest.mark.parametrize("uses", ["docker://alpine:3", "../x", "evil/cache@v1", "actions/cache"])
def test_only_the_very_action_is_stood_in_for(run, checkout, uses):
    write(checkout, ".github/workflows/ci.yml", f"  - uses: {uses}\n")
    assert uses in refused(run).message


def test_a_local_action_that_is_not_there_is_refused(run, checkout):
    (checkout / ".github/actions/setup/action.yml").unlink()
    error = refused(run)
    assert "./.github/actions/setup" in error.message
    assert "workflows/ci.yml" in error.message


def test_local_actions_may_use_each_other(run, checkout):
    again = "  - uses: ./.github/actions/setup\n  - uses: ./.github/actions/other\n"
    write(checkout, ".github/actions/setup/action.yml", again)
    write(checkout, ".github/actions/other/action.yaml", again + SETUP)
    assert run().stand_ins == ("actions/cache", "actions/upload-artifact")


def test_a_workflow_that_is_not_there_is_refused(run):
    assert ".github/workflows/other.yml" in refused(lambda: run("other.yml")).message


def test_a_workflow_that_act_refuses(run, act):
    act.prints("Error: Job 'lint' needs what is not there", code=1)
    error = refused(run)
    assert "ci.yml" in error.message
    assert "needs what is not there" in error.details


def test_a_workflow_that_act_cannot_read(run, act):
    act.put("list", "Error: workflow is not valid\n", code=1)
    assert "workflow is not valid" in refused(run).details
    assert not act.ran()


def test_a_workflow_without_a_job_for_the_event(run, act):
    act.put("list", "Stage  Job ID  Job name\n")
    refused(run)
    assert not act.ran()


def test_one_job(run, act):
    assert "--job" not in (run(), act.argv())[1]
    run(job="changes")
    assert act.given("--job") == ["changes"]
    assert act.given("--job", "list") == ["changes"]


def test_an_unknown_job_is_refused_with_those_that_there_are(run, act):
    error = refused(lambda: run(job="nope"))
    assert "'nope'" in error.message
    assert error.hint == "It has lint, changes."
    assert error.exit_code == 2
    assert not act.ran()


def test_act_keeps_to_this_machine_and_to_its_folder(run, act, tmp_path):
    run()
    argv = act.argv()
    assert {"--json", "--no-cache-server"} <= set(argv)
    assert act.given("--concurrent-jobs") == ["1"]
    assert set(act.given("--platform")) == {
        "ubuntu-latest=-self-hosted",
        "self-hosted=-self-hosted",
    }
    for option in ("--action-cache-path", "--secret-file", "--eventpath"):
        assert act.given(option)[0].startswith(f"{tmp_path}/folder/")
    for option in ("--env-file", "--var-file", "--input-file"):
        assert act.given(option) == ["/dev/null"]


def test_act_finds_no_settings_of_anybodys(run, act, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    run()
    folder = str(tmp_path / "folder")
    for kind in ("list", "run"):
        assert act.read(f"{kind}.cwd").strip() == folder
        assert act.environ(kind)["HOME"] == folder
        assert "XDG_CONFIG_HOME" not in act.environ(kind)


def test_steps_have_the_real_home(run, act, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    run()
    assert {"HOME=/home/somebody", "XDG_CONFIG_HOME=/somewhere"} <= set(act.given("--env"))


def test_what_our_caller_has_set_reaches_no_step(run, act, monkeypatch):
    ours = ("PIPELINE_PORT", "CODECOV_TOKEN", "GITHUB_TOKEN", "PYTEST_ADDOPTS", "GIT_DIR", "TERM")
    for name in (*ours, "FORCE_COLOR", "PYTHONHASHSEED", "TZ", "CI"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index")
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker")
    run()
    seen = act.environ()
    assert not set(seen) & {*ours, "FORCE_COLOR", "PYTHONHASHSEED", "TZ", "CI"}
    assert seen["PIP_INDEX_URL"] == seen["UV_DEFAULT_INDEX"] == "http://index"
    assert seen["DOCKER_HOST"] == "unix:///docker"


def test_a_virtual_environment_of_ours_is_on_no_path(run, act, tmp_path, monkeypatch):
    write(tmp_path, "venv/pyvenv.cfg", "")
    monkeypatch.setenv("PATH", f"{tmp_path}/venv/bin:/usr/bin:/bin:{tmp_path}/other/bin")
    run()
    assert act.environ()["PATH"] == f"/usr/bin:/bin:{tmp_path}/other/bin"


def test_secrets_are_in_a_file_that_only_we_read_and_nowhere_else(run, act):
    secret = 'sentinel\n"secret"'
    run(secrets={"ENV_FILE": secret})
    assert json.loads(act.read("secrets")) == {"ENV_FILE": secret}
    assert (act.folder / "secrets").stat().st_mode & 0o777 == 0o600
    assert "sentinel" not in act.read("run.argv") + act.read("run.env")


def test_what_github_knows(run, act):
    payload = {"ref": "refs/heads/fix/x", "repository": {"default_branch": "trunk"}}
    run(
        event="push",
        payload=payload,
        actor="somebody",
        variables={"A": "1 2"},
        environ={"PIPELINE_PORT": "8001"},
    )
    assert act.argv()[0] == "push"
    assert act.event() == payload
    assert act.given("--defaultbranch") == ["trunk"]
    assert act.given("--actor") == ["somebody"]
    assert act.given("--var") == ["A=1 2"]
    assert "PIPELINE_PORT=8001" in act.given("--env")


def test_act_that_is_not_there(run, act):
    act.program.unlink()
    with pytest.raises(CommandError, match="not installed"):
        run()
