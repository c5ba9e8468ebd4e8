"""build -> push -> deploy -> rollback, with users on the line."""

from tests.e2e.support import load, machine
from tests.e2e.support.command import Ran
from tests.e2e.support.site import Site

Shipped = dict[str, dict[str, Ran]]
STEPS = [
    *("services", "clear", "start", "healthy", "verify"),
    *("cutover", "confirm", "watch", "record"),
]
PHASES = ["pull", *STEPS]


def test_build_and_push_say_what_they_made(site: Site, shipped: Shipped):
    sha = site.commits["a"]
    built, pushed = shipped["a"]["build"].json, shipped["a"]["push"].json
    for answer in (built, pushed):
        assert set(answer) == {"sha", "digest", "tags", "platforms", "size", "seconds"}
        assert answer["sha"] == sha
        assert {sha, "latest"} <= set(answer["tags"])
        assert answer["platforms"] == [
            machine.docker("version", "-f", "{{.Server.Os}}/{{.Server.Arch}}")
        ]
        assert answer["size"] > 0
        assert answer["seconds"] >= 0
    assert pushed["digest"].startswith("sha256:")


def test_building_and_pushing_again_does_no_work_twice(site: Site, shipped: Shipped):
    sha = site.commits["a"]
    reference = f"{site.repository}:{sha}"
    before = machine.inspect(reference)["Id"]
    assert "already" in site.invoke("build", "--sha", sha).ok().stderr
    assert "already" in site.invoke("push", "--sha", sha).ok().stderr
    assert machine.inspect(reference)["Id"] == before


def test_deploy_under_load_loses_nothing(a_live: Site, shipped: Shipped):
    with a_live.under_load():
        ran = a_live.deploy("b").ok()
        assert a_live.served() == "b"
    answer = ran.json
    assert set(answer) >= {
        *("outcome", "release", "sha", "digest", "strategy", "seconds", "live_seconds"),
        *("phases", "requests", "error"),
    }
    assert answer["outcome"] == "live"
    assert answer["sha"] == a_live.commits["b"]
    assert answer["digest"] == shipped["b"]["push"].json["digest"]
    assert answer["error"] is None
    assert 0 < answer["live_seconds"] <= answer["seconds"]
    assert [name for name in answer["phases"] if name in PHASES] == PHASES
    assert answer["requests"]["sent"] > 0
    assert answer["requests"]["failed"] == 0
    assert " · B</footer>" in load.get(a_live.address, "/")[1]
    assert len(a_live.colours()) == 1


def test_rollback_under_load_loses_nothing(a_live: Site):
    a_live.deploy("b").ok()
    with a_live.under_load():
        ran = a_live.invoke("rollback", "--json").ok()
        assert a_live.served() == "a"
    assert ran.json["outcome"] == "live"
    assert ran.json["sha"] == a_live.commits["a"]
    assert ran.json["requests"]["failed"] == 0


def test_rollback_to_a_named_commit(a_live: Site):
    a_live.deploy("b").ok()
    a_live.deploy("a").ok()
    a_live.invoke("rollback", "--to", a_live.commits["b"][:12]).ok()
    assert a_live.served() == "b"


def test_rollback_to_what_never_was_live_changes_nothing(a_live: Site):
    with a_live.untouched():
        ran = a_live.invoke("rollback", "--to", "0123456789abcdef", "--json").refused(2)
    assert ran.json["error"]["exit_code"] == 2
    assert a_live.commits["a"][:12] in ran.stderr


def test_deploying_what_is_live_does_nothing(a_live: Site):
    with a_live.untouched():
        ran = a_live.deploy("a").ok()
    assert ran.json["outcome"] == "live"
    assert "already" in ran.stderr


def test_replicas(a_live: Site):
    with a_live.under_load():
        a_live.deploy("b", "--replicas", "2").ok()
    (replicas,) = a_live.colours().values()
    assert len(replicas) == 2
    assert a_live.status()["live"]["replicas"] == 2


def test_an_env_change_alone_is_a_new_release(a_live: Site, tmp_path):
    before = a_live.deploy("b").ok().json
    env = tmp_path / "env"
    env.write_text((a_live.folder / "env").read_text() + "LOG_LEVEL=debug\n")
    after = a_live.deploy("b", "--env-file", str(env)).ok().json
    assert after["digest"] == before["digest"]
    assert after["release"] != before["release"]
    (colour,) = a_live.colours()
    assert "LOG_LEVEL=debug" in a_live.container(colour)["Config"]["Env"]


def test_a_dry_run_prints_the_plan_and_touches_nothing(a_live: Site):
    history, releases = a_live.history(), sorted(a_live.state.glob("releases/*"))
    with a_live.untouched():
        ran = a_live.deploy("b", "--dry-run").ok()
    assert a_live.history() == history
    assert sorted(a_live.state.glob("releases/*")) == releases
    steps, finish = ([step["kind"] for step in ran.json[name]] for name in ("steps", "finish"))
    assert steps == STEPS
    assert finish == ["drain", "stop"]


def test_status_names_what_is_live(a_live: Site):
    answer = a_live.status()
    assert answer["app"] == a_live.app
    assert answer["url"] == f"http://{a_live.address}"
    assert answer["healthy"] is True
    assert answer["lock"] is None
    assert answer["standby"] is None
    assert answer["interrupted"] is None
    assert answer["drift"] == []
    live = answer["live"]
    assert live["sha"] == a_live.commits["a"]
    assert live["colour"] in a_live.colours()
    assert {"release", "digest", "replicas", "since"} <= set(live)
    a_live.invoke("status", "--expect", a_live.commits["a"]).ok()
    a_live.invoke("status", "--expect", a_live.commits["b"]).refused(3)


def test_status_before_the_first_deploy(spare_site: Site):
    answer = spare_site.status()
    assert answer["live"] is None
    assert answer["drift"] == []
    assert answer["healthy"] is False
    assert spare_site.history() == []


def test_history_lists_deployments_newest_first(a_live: Site):
    deployed = a_live.deploy("b").ok().json
    newest, *_ = rows = a_live.history()
    assert newest["sha"] == a_live.commits["b"]
    assert newest["digest"] == deployed["digest"]
    assert newest["outcome"] == "live"
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids, reverse=True)


def test_logs_are_those_of_what_is_live(a_live: Site):
    load.get(a_live.address, "/?from=the-test")
    assert "request" in a_live.invoke("logs").ok().stdout
