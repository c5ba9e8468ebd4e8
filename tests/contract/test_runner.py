"""`invoke runner`, as root on this machine, with a server that stands in for GitHub."""

import json
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import runners
from tests.contract.runners import EXPIRED, TOKEN, URL, GitHub, Machine, archive, as_root

ONE, TWO = "2.330.0", "2.331.0"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with runners.serving() as github:
        github.repository(private=True)
        yield github


@pytest.fixture(scope="module")
def user() -> Iterator[str]:
    with runners.nobody() as name:
        as_root("useradd", "--create-home", name)
        yield name


def on(github: GitHub, user: str, folder: Path) -> Machine:
    return Machine(
        github=github,
        user=user,
        folder=folder,
        settings={
            "PIPELINE_RUNNER_URL": URL,
            "PIPELINE_RUNNER_VERSION": ONE,
            "PIPELINE_RUNNER_SHA256": github.release(ONE, archive(ONE)),
            "PIPELINE_RUNNER_ARCHIVE": f"{github.address}/{{version}}.tar.gz",
            "PIPELINE_RUNNER_USER": user,
            "PIPELINE_RUNNER_DIR": str(folder),
            "PIPELINE_RUNNER_LABELS": "production",
            "PIPELINE_RUNNER_TOKEN": TOKEN,
            "PIPELINE_GITHUB_API": github.address,
        },
    )


@pytest.fixture
def machine(github: GitHub, user: str, request: pytest.FixtureRequest) -> Machine:
    """A machine without a runner; its user is there."""
    return on(github, user, Path("/home") / user / request.node.name.split("[")[0])


@pytest.fixture(scope="module")
def ready(user: str) -> Iterator[Machine]:
    """A machine with a runner that runs, as each test leaves it."""
    with runners.serving() as github:
        github.repository(private=True)
        machine = on(github, user, Path("/home") / user / "ready")
        machine.runner("install", "--yes").ok()
        yield machine


@pytest.fixture
def fresh(github: GitHub) -> Iterator[Machine]:
    """A machine on which even the user is missing."""
    with runners.nobody() as name:
        machine = on(github, name, Path("/home") / name / "actions-runner")
        del machine.settings["PIPELINE_RUNNER_DIR"]
        yield machine


def test_the_whole_life_of_a_runner(fresh: Machine) -> None:
    named_first(fresh)
    installed(fresh)
    nothing_twice(fresh)
    upgraded(fresh)
    started_again(fresh)
    removed(fresh)


def named_first(machine: Machine) -> None:
    asked = machine.runner("install")
    asked.refused(2)
    for step in (f"the user {machine.user}", "good as root", "register panager-", "SHA-256"):
        assert step in asked.error
    assert "./bin/invoke runner install --yes" in asked.next_step
    assert machine.names() == set()


def installed(machine: Machine) -> None:
    ran = machine.runner("install", "--yes", "--json").ok()
    found = ran.json
    assert found["configured"]
    assert (found["url"], found["version"], found["service"]) == (URL, ONE, "active")
    assert found["labels"] == ["production"]
    assert pwd.getpwnam(machine.user).pw_uid != 0
    assert "docker" in as_root("id", "-nG", machine.user).split()
    assert machine.says("svc.log").splitlines()[:2] == [f"install {machine.user}", "start"]
    argv = machine.says("argv.log").split()
    assert argv[:3] == ["--unattended", "--url", URL]
    assert argv[-5:] == ["--labels", "production", "--work", "_work", "--replace"]
    assert "ACTIONS_RUNNER_INPUT_TOKEN" in machine.says("environment.log").split()
    assert "PIPELINE_RUNNER_TOKEN" not in machine.says("environment.log")
    assert TOKEN not in ran.text
    assert machine.holds(TOKEN) == ""
    assert machine.says("leaked.log") == ""
    owners = as_root("stat", "-c", "%U", str(machine.folder / "bin"), str(machine.folder))
    assert set(owners.split()) == {machine.user}
    assert {each for each in machine.names() if each.startswith(".pipeline")} == {".pipeline.json"}


def nothing_twice(machine: Machine) -> None:
    machine.github.asked.clear()
    again = machine.runner("install", PIPELINE_RUNNER_TOKEN="").ok()
    assert "nothing to do" in again.text
    assert machine.github.asked == []


def upgraded(machine: Machine) -> None:
    machine.settings["PIPELINE_RUNNER_VERSION"] = TWO
    machine.settings["PIPELINE_RUNNER_SHA256"] = machine.github.release(TWO, archive(TWO))
    before = machine.says(".credentials")
    as_root("sh", "-c", f"echo KEY=ours > {machine.folder}/.env")
    found = machine.runner("install", "--yes", "--json", PIPELINE_RUNNER_TOKEN="").ok().json
    assert (found["version"], found["service"]) == (TWO, "active")
    assert machine.says("bin/version").strip() == TWO
    assert TWO in machine.says("runsvc.sh")
    assert machine.says(".credentials") == before
    assert machine.says(".env") == "KEY=ours\n"
    assert len(machine.says("argv.log").splitlines()) == 1


def started_again(machine: Machine) -> None:
    as_root("rm", str(machine.folder / ".active"))
    status = machine.runner("status")
    assert status.code == 1
    assert f"{TWO} at {URL}" in status.stdout
    assert "service is inactive" in status.stdout
    machine.runner("install", "--yes", PIPELINE_RUNNER_TOKEN="").ok()
    machine.runner("status").ok()


def removed(machine: Machine) -> None:
    machine.runner("remove", "--yes", PIPELINE_RUNNER_TOKEN="").refused(2)
    refused = machine.runner("remove", "--yes", PIPELINE_RUNNER_TOKEN=EXPIRED)
    refused.refused(1)
    assert "does not accept the token" in refused.error
    assert machine.runner("status", "--json").ok().json["service"] == "active"
    ran = machine.runner("remove", "--yes", "--json").ok()
    assert ran.json == {"outcome": "removed"}
    assert TOKEN not in ran.text
    assert not machine.exists()
    assert machine.runner("remove", "--yes", "--json").ok().json == {"outcome": "nothing"}


def test_a_token_that_is_refused_is_told_so_and_not_shown(machine: Machine) -> None:
    ran = machine.runner("install", "--yes", PIPELINE_RUNNER_TOKEN=EXPIRED)
    ran.refused(1)
    assert "does not accept the token" in ran.error
    assert "Settings > Actions > Runners" in ran.next_step
    assert "runner-registration" in ran.text
    assert EXPIRED not in ran.text
    assert "***" in ran.text
    assert machine.holds(EXPIRED) == ""
    assert not {".runner", ".credentials", ".service"} & machine.names()

    machine.github.files.clear()  # what is in place is not downloaded again
    found = machine.runner("install", "--yes", "--json").ok().json
    assert (found["configured"], found["service"]) == (True, "active")


def test_an_archive_that_is_not_right_leaves_what_runs(ready: Machine) -> None:
    right, other = archive(TWO), archive(TWO, tampered=b"x")
    two = {"PIPELINE_RUNNER_VERSION": TWO, "PIPELINE_RUNNER_SHA256": runners.digest(right)}
    before, asked = ready.names(), ready.says("svc.log")
    ready.github.release(TWO, other)
    ran = ready.runner("install", "--yes", **two)
    ran.refused(2)
    assert runners.digest(right) in ran.error
    assert runners.digest(other) in ran.error
    ready.github.release(TWO, right, "short")
    ran = ready.runner("install", "--yes", **two)
    ran.refused(1)
    assert "broke off" in ran.error
    older = ready.github.release(TWO, archive(ONE, more=b"x"))
    ran = ready.runner("install", "--yes", **two | {"PIPELINE_RUNNER_SHA256": older})
    ran.refused(2)
    assert f"holds the runner {ONE}, not {TWO}" in ran.error
    assert ready.names() == before
    assert set(ready.says("svc.log").removeprefix(asked).split()) <= {"status"}
    found = ready.runner("status", "--json").ok().json
    assert (found["version"], found["service"]) == (ONE, "active")


def test_other_labels_take_a_token_and_a_refusal_leaves_what_was(ready: Machine) -> None:
    new = {"PIPELINE_RUNNER_LABELS": "production,eu"}
    ready.runner("install", "--yes", PIPELINE_RUNNER_TOKEN="", **new).refused(2)
    ran = ready.runner("install", "--yes", PIPELINE_RUNNER_TOKEN=EXPIRED, **new)
    ran.refused(1)
    assert "runs again as before" in ran.text
    found = ready.runner("status", "--json").ok().json
    assert (found["labels"], found["service"]) == (["production"], "active")
    assert ready.says(".credentials").strip() == "production"

    found = ready.runner("install", "--yes", "--json", **new).ok().json
    assert (found["labels"], found["service"]) == (["production", "eu"], "active")
    assert ready.says(".credentials").strip() == "production,eu"


def test_packages_that_the_runner_lacks_are_installed_by_its_own_script(machine: Machine) -> None:
    content = archive(ONE, lacks_packages=True)
    sha256 = machine.github.release(ONE, content)
    machine.runner("install", "--yes", PIPELINE_RUNNER_SHA256=sha256).ok()
    assert "packages" in as_root("ls", str(machine.folder / "bin"))


def test_a_public_repository_is_refused_unless_told_otherwise(machine: Machine) -> None:
    machine.github.repository(private=False)
    ran = machine.runner("install", "--yes")
    ran.refused(2)
    assert "public" in ran.error
    assert "could run code on this machine" in ran.error
    assert "--allow-public" in ran.next_step
    assert machine.names() == set()
    assert machine.runner("install", "--yes", "--allow-public", "--json").ok().json["configured"]


def test_one_of_which_nobody_can_tell_is_refused_too(machine: Machine) -> None:
    ran = machine.runner("install", "--yes", PIPELINE_GITHUB_API="http://127.0.0.1:9")
    ran.refused(1)
    assert "connection refused" in ran.error
    machine.github.api["/repos/owner/repository"] = (403, json.dumps({"message": "rate"}).encode())
    ran = machine.runner("install", "--yes")
    ran.refused(1)
    assert "403" in ran.error
    assert "--allow-public" in ran.next_step


def test_without_systemd_all_but_the_service_is_done(machine: Machine) -> None:
    if Path("/run/systemd/system").is_dir():
        template = runners.SERVICE  # systemd is there: the script may have it
    else:
        template = runners.SERVICE + "# systemctl\n"
    content = archive(ONE, **{"./bin/svc.template": template.encode()})
    sha256 = machine.github.release(ONE, content)
    ran = machine.runner("install", "--yes", PIPELINE_RUNNER_SHA256=sha256)
    if "systemctl" not in template:
        ran.ok()
        return
    ran.refused(1)
    assert "systemd" in ran.error
    assert f"sudo -u {machine.user} ./run.sh" in ran.next_step
    assert ".runner" in machine.names()
