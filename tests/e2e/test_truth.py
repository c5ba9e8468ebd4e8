"""Nothing is live because somebody said so: what was asked, seen and waited for."""

import json
import signal
import subprocess

import pytest

from tests.e2e.support.checkout import CRASHES_AFTER
from tests.e2e.support.site import KEPT, SENTINEL, Site, what


@pytest.mark.parametrize("strategy", ["blue-green", "rolling", "recreate"])
def test_a_release_that_crashes_while_it_is_watched_is_reverted(a_live: Site, strategy: str):
    before, ids = a_live.status()["live"], a_live.replicas()
    window = str(CRASHES_AFTER + 4)
    ran = a_live.deploy("crashes", "--strategy", strategy, PIPELINE_STABILITY_WINDOW=window)
    ran.refused(3)
    assert a_live.served() == "a"
    assert (a_live.replicas() == ids) == (strategy != "recreate")
    assert len(a_live.replicas()) == 1
    after = a_live.status()
    assert what(after["live"]) == what(before)
    assert after["drift"] == []
    assert after["interrupted"] is None

    answer = ran.json
    assert answer["outcome"] == "rolled-back"
    assert answer["sha"] == a_live.commits["crashes"]
    assert answer["error"]["exit_code"] == 3
    newest = a_live.history()[0]
    assert (newest["sha"], newest["outcome"]) == (answer["sha"], "rolled-back")
    assert "exit code 7" in ran.error
    assert "last probe of" in ran.stderr
    assert "lost ***" in ran.stderr, "its last words are shown, without what was secret in them"
    assert SENTINEL not in ran.text + json.dumps(newest)


def test_a_release_that_tells_people_another_commit_is_reverted(a_live: Site):
    with a_live.under_load(), a_live.untouched():
        ran = a_live.deploy("masked").refused(3)
    assert ran.json["outcome"] == "rolled-back"
    assert ran.json["requests"]["failed"] == 0
    assert a_live.history()[0]["outcome"] == "rolled-back"
    assert a_live.commits["masked"] in ran.error
    assert "0" * 40 in ran.error
    assert a_live.status()["drift"] == []


@pytest.mark.parametrize("wait", [[], ["--wait", "0"], ["--wait", "1"]], ids=" ".join)
def test_a_second_deployment_is_told_who_holds_the_lock(a_live: Site, wait: list[str]):
    with a_live.untouched(), a_live.deploying() as first:
        lock = a_live.status()["lock"]
        ran = a_live.deploy("b", *wait).refused(4)
        a_live.invoke("rollback", *wait).refused(4)
        assert first.poll() is None, "nobody hurt it"
    assert ran.seconds > float([0, *wait][-1])
    assert ran.json["error"]["exit_code"] == 4
    assert lock["pid"] == first.pid
    assert a_live.commits["unready"] in lock["command"]
    assert str(lock["pid"]) in ran.error
    assert lock["command"] in ran.error
    assert lock["since"] in ran.error


def test_a_deployment_that_waits_for_the_lock_gets_it(a_live: Site):
    with a_live.under_load():
        with a_live.deploying() as first:
            second = a_live.invoke.start("deploy", "--sha", a_live.commits["b"], "--wait", "60")
            try:
                assert any(f"process {first.pid}" in line for line in second.stderr), "it says so"
                first.send_signal(signal.SIGTERM)
                first.communicate(timeout=30)
                _, stderr = second.communicate(timeout=60)
            finally:
                second.kill()
        assert second.returncode == 0, stderr
        assert a_live.served() == "b"
    assert [row["outcome"] for row in a_live.history()[:2]] == ["live", "failed"]


def test_two_deployments_at_once_both_get_their_turn(a_live: Site):
    start, soon = a_live.invoke.having(PIPELINE_START_TIMEOUT="3").start, ("--wait", "60")
    both = {}
    for name in ("b", "unready"):
        both[name] = start("deploy", "--sha", a_live.commits[name], *soon)
    codes = {}
    for name, process in both.items():
        try:
            process.communicate(timeout=100)
        finally:
            process.kill()
        codes[name] = process.returncode
    assert codes == {"b": 0, "unready": 3}
    assert a_live.served() == "b"
    assert len(a_live.replicas()) == 1


@pytest.mark.parametrize(
    ("strategy", "number"), [("blue-green", signal.SIGTERM), ("recreate", signal.SIGINT)]
)
def test_a_cancelled_deployment_is_undone(b_over_a: Site, strategy: str, number: signal.Signals):
    site, before = b_over_a, b_over_a.status()["live"]
    with site.under_load(outage=strategy == "recreate"):
        with site.deploying("unready", "--strategy", strategy) as first:
            cancel(first, number)
        assert site.served() == "b"
    after = site.status()
    assert what(after["live"]) == what(before)
    named = [each["colour"] for each in (after["live"], after["standby"]) if each]
    assert set(site.colours()) == set(named), "the standby may be gone, but nothing else is there"
    assert after["interrupted"] is None
    assert after["lock"] is None
    assert after["drift"] == []
    assert site.history()[0]["outcome"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_deployment_cancelled_while_it_is_watched_is_undone(a_live: Site, number: signal.Signals):
    watched = a_live.deploying("b", PIPELINE_STABILITY_WINDOW="60", **KEPT)
    with a_live.under_load(), a_live.untouched(), watched as first:
        # A cancel within the cutover itself would be another story, in which it "failed".
        assert any("the public port answers the commit" in line for line in first.stderr or ())
        cancel(first, number)
    assert a_live.status()["drift"] == []
    assert a_live.history()[0]["outcome"] == "rolled-back"


def cancel(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Cancel a command, which has to say so and end with 1."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "error: Cancelled" in stderr
    assert "Traceback" not in stderr
