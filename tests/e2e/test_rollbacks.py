"""Back to an earlier release, all of it: from the standby, from what is kept, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import machine
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import KEPT, Site, what

DEBUG = "LOG_LEVEL=debug"


def starts(site: Site) -> dict[str, str]:
    """Return when each replica was started, by container id."""
    return {each: machine.inspect(each)["State"]["StartedAt"] for each in site.replicas()}


def with_debug(site: Site, folder: Path) -> Path:
    """Return an env file like the site's, with one line more."""
    env = folder / "env-debug"
    env.write_text((site.folder / "env").read_text() + f"{DEBUG}\n")
    return env


def test_a_rollback_to_the_standby_starts_nothing(b_over_a: Site):
    site = b_over_a
    before, status = starts(site), site.status()
    with site.under_load():
        answer = site.invoke("rollback", "--json", **KEPT).ok().json
        assert site.served() == "a"
    assert starts(site) == before
    assert not {"start", "healthy", "migrate"} & set(answer["phases"])
    assert {"verify", "cutover", "confirm", "watch"} <= set(answer["phases"])
    assert answer["outcome"] == "live"
    assert answer["release"] == status["standby"]["release"]
    assert answer["requests"]["failed"] == 0
    after = site.status()
    assert what(after["live"]) == what(status["standby"])
    assert what(after["standby"]) == what(status["live"])
    assert after["drift"] == []

    with site.under_load():
        site.invoke("rollback", **KEPT).ok()
    assert site.served() == "b", "and there again"
    assert starts(site) == before


@pytest.mark.parametrize("standby", ["0", "60"], ids=["cold", "warm"])
def test_a_rollback_brings_back_env_and_image(a_live: Site, tmp_path: Path, standby: str):
    first = a_live.deploy("b").ok().json
    env = with_debug(a_live, tmp_path)
    second = a_live.deploy("b", "--env-file", str(env), PIPELINE_STANDBY=standby).ok().json
    assert first["release"] != second["release"]
    assert DEBUG in environment(a_live)

    back = a_live.invoke("rollback", "--json", PIPELINE_STANDBY=standby).ok().json
    assert ("start" in back["phases"]) == (standby == "0")
    assert back["release"] == first["release"]
    assert back["digest"] == first["digest"]
    status = a_live.status()
    assert status["live"]["release"] == first["release"]
    assert status["drift"] == []
    assert DEBUG not in environment(a_live)
    live = a_live.container(status["live"]["colour"])
    assert live["Config"]["Image"].endswith(first["digest"])


def environment(site: Site) -> list[str]:
    """Return the environment of what is live."""
    return list(site.container(site.status()["live"]["colour"])["Config"]["Env"])


def test_a_rollback_needs_neither_registry_nor_env_file(
    a_live: Site, registry: Registry, tmp_path: Path
):
    a_live.deploy("b").ok()
    assert len(a_live.colours()) == 1, "no standby"
    nowhere = {"PIPELINE_ENV_FILE": str(tmp_path / "gone")}
    with registry.stopped(), a_live.under_load():
        a_live.invoke("rollback", "--to", a_live.commits["a"], **nowhere).ok()
        assert a_live.served() == "a"
        a_live.invoke("rollback", **nowhere).ok()
        assert a_live.served() == "b"


def test_another_registry_in_the_settings_changes_no_rollback(a_live: Site):
    a_live.deploy("b").ok()
    nowhere = f"127.0.0.1:{machine.free_port()}"
    a_live.invoke("rollback", "--to", a_live.commits["a"], PIPELINE_REGISTRY=nowhere).ok()
    assert a_live.served() == "a"
    assert a_live.status()["drift"] == []


@pytest.fixture
def a_pruned(a_live: Site, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """The site with two releases of `b`; `a` was live, but its image can be had no more."""
    a_live.deploy("b").ok()
    a_live.deploy("b", "--env-file", str(with_debug(a_live, tmp_path))).ok()
    image = f"{a_live.repository}:{a_live.commits['a']}"
    there = machine.inspect(image)
    for name in there["RepoTags"] + there["RepoDigests"]:  # others may have built the very same
        if name.startswith(a_live.repository):
            machine.docker("rmi", name, check=False)  # the last tag takes the digest with it
    assert there["Id"] not in machine.docker("images", "-q", "--no-trunc", a_live.repository)
    try:
        with registry.stopped():
            yield a_live
    finally:
        machine.docker("pull", "--quiet", image, env=a_live.invoke.environ)


def test_a_pruned_release_is_refused_with_what_can_be_had(a_pruned: Site):
    a, b = (a_pruned.commits[name] for name in ("a", "b"))
    with a_pruned.under_load(), a_pruned.untouched():
        ran = a_pruned.invoke("rollback", "--to", a, "--json").refused(2)
    assert ran.json["error"]["exit_code"] == 2
    assert a[:7] in ran.error
    assert b[:12] in ran.next_step
    assert a[:12] not in ran.next_step


@pytest.mark.parametrize("to", ["0123456789abcdef", "", "; id"], ids=["unknown", "empty", "odd"])
def test_an_unknown_release_is_refused_with_what_can_be_had(b_over_a: Site, to: str):
    with b_over_a.untouched():
        ran = b_over_a.invoke("rollback", f"--to={to}", "--json").refused(2)
    assert ran.json["error"]["exit_code"] == 2
    assert b_over_a.commits["a"][:12] in ran.next_step
