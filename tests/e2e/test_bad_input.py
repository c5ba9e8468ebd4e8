"""Each mistake: one clear message with the next step, the right exit code, nothing changed."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support.command import Ran
from tests.e2e.support.site import Site, docker_config

UNKNOWN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def site_as_it_was(a_live: Site) -> Iterator[Site]:
    """The site with `a` live, which must be just as it was afterwards."""
    with a_live.untouched():
        yield a_live


def test_an_unknown_commit_cannot_be_built(site_as_it_was: Site):
    assert UNKNOWN in site_as_it_was.invoke("build", "--sha", UNKNOWN).refused(2).error


def test_an_unknown_commit_cannot_be_deployed(site_as_it_was: Site):
    ran = site_as_it_was.invoke("deploy", "--sha", UNKNOWN, "--json").refused(1)
    assert UNKNOWN in ran.error
    assert ran.json["error"]["type"] == "RegistryError"


@pytest.mark.parametrize("command", ["build", "push", "deploy"])
@pytest.mark.parametrize("sha", ["; rm -rf /", "../x", ""])
def test_a_malformed_sha_is_refused(site_as_it_was: Site, command: str, sha: str):
    site_as_it_was.invoke(command, f"--sha={sha}").refused(2)


@pytest.mark.parametrize("sha", ["--help-me", "$(id)", "HEAD:README.md", "0" * 500, "no-such"])
def test_what_git_would_not_take_for_a_commit_is_refused(site_as_it_was: Site, sha: str):
    site_as_it_was.invoke("deploy", f"--sha={sha}").refused(2)


@pytest.mark.parametrize(
    "argv",
    [
        ["no-such-task"],
        ["deploy", "--no-such-flag"],
        ["deploy", "--replicas", "0"],
        ["deploy", "--replicas", "9"],
        ["deploy", "--replicas", "many"],
        ["deploy", "--wait", "soon"],
        ["rollback", "--wait", "soon"],
        ["deploy", "--strategy", "hope"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_refused(site_as_it_was: Site, argv: list[str]):
    site_as_it_was.invoke(*argv).refused(2)


def test_a_setting_that_is_nonsense(site_as_it_was: Site):
    ran = site_as_it_was.invoke("status", PIPELINE_PORT="eighty", PIPELINE_REPLICAS="99").refused(2)
    assert "port" in ran.error
    assert "replicas" in ran.error, "every problem at once"


def test_the_registry_is_down(site_as_it_was: Site):
    nowhere = f"127.0.0.1:{machine.free_port()}"
    for command in ("push", "deploy"):
        sha = site_as_it_was.commits["b"]
        tagged = f"{nowhere}/{site_as_it_was.app}/panager:{sha}"
        if command == "push":  # there is something to push, so that the registry is asked
            machine.docker("tag", f"{site_as_it_was.repository}:{sha}", tagged)
        else:
            machine.docker("rmi", tagged)
        ran = site_as_it_was.invoke(command, "--sha", sha, PIPELINE_REGISTRY=nowhere).refused(1)
        assert nowhere in ran.error


def test_the_registry_refuses_the_login(site_as_it_was: Site, tmp_path: Path):
    config = str(docker_config(tmp_path / "docker"))
    ran = site_as_it_was.invoke(
        "login", DOCKER_CONFIG=config, PIPELINE_REGISTRY_PASSWORD="not-the-password"
    ).refused(1)
    assert "login" in ran.error
    assert "not-the-password" not in ran.text


def test_a_login_without_a_password(site_as_it_was: Site):
    ran = site_as_it_was.invoke("login", PIPELINE_REGISTRY_PASSWORD="").refused(2)
    assert "PIPELINE_REGISTRY_PASSWORD" in ran.stderr


def test_nobody_has_logged_in(site_as_it_was: Site, tmp_path: Path):
    config = str(docker_config(tmp_path / "docker"))
    nobody = {
        "DOCKER_CONFIG": config,
        "PIPELINE_REGISTRY_USER": "",
        "PIPELINE_REGISTRY_PASSWORD": "",
    }
    for command in (["deploy"], ["inspect"], ["build", "--push"]):
        ran = site_as_it_was.invoke(*command, "--sha", site_as_it_was.commits["b"], **nobody)
        assert "refused" in ran.refused(1).error
        assert "invoke login" in ran.stderr
        assert "Building" not in ran.stderr, "not after half an hour of building"


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (["build", "--dirty", "--push"], "never pushed"),
        (["build", "--dirty", "--sha", "HEAD"], "never pushed"),
        (["build", "--push", "--part"], "one platform"),
        (["push", "--part", "--platforms", "linux/amd64,linux/arm64"], "one platform"),
        (["build", "--platforms", "amd64"], "platforms"),
        (["manifest"], "of which platforms"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_options_that_contradict(site_as_it_was: Site, argv: list[str], cause: str):
    assert cause in site_as_it_was.invoke(*argv).refused(2).error


def test_a_part_that_nobody_pushed(site_as_it_was: Site):
    ran = site_as_it_was.invoke("manifest", "--platforms", "linux/riscv64").refused(1)
    assert "linux/riscv64" in ran.error
    assert "--platforms linux/riscv64 --push --part" in ran.next_step


def test_what_nobody_pushed_cannot_be_inspected(site_as_it_was: Site):
    ran = site_as_it_was.invoke("inspect", "--sha", UNKNOWN, "--json").refused(1)
    assert UNKNOWN in ran.error
    assert "--push" in ran.next_step


NO_ENGINE = "unix:///nonexistent.sock"


@pytest.mark.parametrize("command", ["build", "push", "deploy"])
def test_no_engine_answers(site_as_it_was: Site, command: str):
    sha = site_as_it_was.commits["b"]
    ran = site_as_it_was.invoke(command, "--sha", sha, DOCKER_HOST=NO_ENGINE).refused(1)
    assert "Docker Engine" in ran.error


def test_no_engine_answers_a_rollback(a_live: Site):
    a_live.deploy("b").ok()
    with a_live.untouched():
        ran = a_live.invoke("rollback", DOCKER_HOST=NO_ENGINE).refused(1)
    assert "Docker Engine" in ran.error


def test_the_port_is_in_use(spare_site: Site, shipped: dict[str, dict[str, Ran]], site: Site):
    with socket.create_server(("127.0.0.1", spare_site.port)):
        ran = spare_site.deploy(
            "a",
            PIPELINE_REPOSITORY=site.invoke.environ["PIPELINE_REPOSITORY"],
            DOCKER_CONFIG=site.invoke.environ["DOCKER_CONFIG"],
        ).refused(1)
        assert f"Port {spare_site.port}" in ran.error
        assert spare_site.colours() == {}
        assert machine.containers(spare_site.app, "proxy") == [], "nothing that stands in the way"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"POSTGRES_PASSWORD=x\nthis is no assignment\n", "line 2"),
        (b"POSTGRES_PASSWORD='unfinished\n", "malformed"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "DATABASE_URL"),
    ],
)
def test_a_malformed_env_file(site_as_it_was: Site, tmp_path: Path, content: bytes, cause: str):
    env = tmp_path / "env"
    env.write_bytes(content)
    ran = site_as_it_was.deploy("b", "--env-file", str(env)).refused(2)
    assert cause in ran.error
    assert str(env) in ran.error


def test_an_env_file_that_cannot_be_read(site_as_it_was: Site, tmp_path: Path):
    for env in (tmp_path / "missing", tmp_path):
        ran = site_as_it_was.deploy("b", "--env-file", str(env)).refused(2)
        assert str(env) in ran.error


def test_a_dirty_tree_is_not_built(site_as_it_was: Site):
    stray = site_as_it_was.invoke.root / "app/stray.py"
    stray.write_text("")
    try:
        ran = site_as_it_was.invoke("build").refused(2)
    finally:
        stray.unlink()
    assert "app/stray.py" in ran.stderr


def test_a_rollback_with_nothing_to_go_back_to(spare_site: Site):
    spare_site.invoke("rollback").refused(2)
    assert machine.containers(spare_site.app) == []


def test_an_image_for_another_processor_is_named(site_as_it_was: Site, tmp_path: Path):
    sha = "c0ffee" * 6 + "c0ff"
    (tmp_path / "Dockerfile").write_text(
        f"FROM scratch\nLABEL org.opencontainers.image.revision={sha}\nCOPY Dockerfile /\n"
    )
    machine.docker(
        *("buildx", "build", "--platform=linux/s390x", "--provenance=false", "--push"),
        *(f"--tag={site_as_it_was.repository}:{sha}", str(tmp_path)),
        env=site_as_it_was.invoke.environ,
    )
    ran = site_as_it_was.invoke("deploy", "--sha", sha, "--json").refused(1)
    assert "is for linux/s390x, and this engine is linux/" in ran.error
    assert "invoke inspect" in ran.text
