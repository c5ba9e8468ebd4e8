from types import SimpleNamespace

import pytest

from pipeline.errors import PipelineError
from pipeline.plan.plan import Plan, Step
from pipeline.release.ledger import Deployment
from pipeline.settings import Secret, Settings
from pipeline.view import terminal

SHA = "0123456789abcdef" * 2 + "01234567"


def deployment(**changes):
    return Deployment(kind="deploy", release="r", colour="blue", **changes)


def outcome(error=None, **changes):
    return SimpleNamespace(
        deployment=deployment(**{"outcome": "live", "seconds": 2.5, **changes}),
        release=SimpleNamespace(id="0123456-aa", sha=SHA),
        url="http://127.0.0.1:8000",
        error=error,
    )


@pytest.fixture
def shown(capsys):
    """Call one function; return what came on standard output and on standard error."""

    def show(function, *args, **options):
        function(*args, **options)
        return tuple(capsys.readouterr())

    return show


def test_progress_and_result_go_their_own_ways(shown):
    assert shown(terminal.progress, "pulling") == ("", "  pulling\n")
    assert shown(terminal.result, "pulled") == ("pulled\n", "")


def test_what_is_of_the_moment_is_for_terminals(shown, monkeypatch):
    assert shown(terminal.progress, "\rpush: 1 of 4 MB") == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert shown(terminal.progress, "\rpush: 1 of 4 MB") == ("", "\r\x1b[K  push: 1 of 4 MB")
    assert shown(terminal.progress, "pushed") == ("", "\r\x1b[K  pushed\n")


def test_an_image_in_one_screen(shown):
    packages = [{"kind": "pypi", "name": f"package-{n}", "version": "1.0"} for n in range(20)]
    found = {
        "sha": SHA,
        "reference": "registry.example/app@sha256:abc",
        "created": "2026-01-02",
        "version": "1.4.2",
        "source": "https://git.example/app",
        "platforms": [
            {
                "platform": "linux/amd64",
                "digest": "sha256:def",
                "size": 85_400_000,
                "layers": [{"size": 50_000, "made_by": "COPY\n   /srv/app app " + "x" * 99}],
                "attestations": ["https://spdx.dev/Document"],
                "packages": [{"kind": "deb", "name": "libc6", "version": "2"}, *packages],
            }
        ],
    }
    out, _ = shown(terminal.image, found)
    assert "version 1.4.2  https://git.example/app" in out
    assert "linux/amd64: 85.4 MB compressed, sha256:def" in out
    assert "0.05 MB  COPY /srv/app app xxx" in out
    assert "packages: 1 deb, 20 pypi" in out
    assert "package-19 1.0" in out
    assert "libc6" not in out
    assert max(map(len, out.splitlines())) <= 104

    found["platforms"][0] |= {"packages": [], "attestations": []}
    out, _ = shown(terminal.image, found)
    assert "attestations: none" in out
    assert "packages: none known" in out


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"a": None, "b": [1.5], "c": "two\nlines ☃"}, '"two\\nlines \\u2603"'),
        ([], "[]"),
        ({"password": Secret("sentinel")}, '"***"'),
    ],
)
def test_data_is_one_line(value, line, shown):
    out, err = shown(terminal.data, value)
    assert line in out
    assert out.count("\n") == 1
    assert err == ""


def test_a_failure_ends_with_cause_and_next_step(shown):
    error = PipelineError("It broke.", hint="Mend it.", details="one\ntwo")
    assert shown(terminal.fail, error) == (
        "",
        "  evidence:\n  | one\n  | two\nerror: It broke.\nnext:  Mend it.\n",
    )
    assert shown(terminal.fail, PipelineError("It broke.")) == ("", "error: It broke.\n")


def test_phases(shown):
    out, _ = shown(terminal.phases, {"pull": 0.123, "start": 12.0})
    assert out == "  pull           0.12 s\n  start         12.00 s\n"


def test_how_a_deployment_ended(shown):
    requests = {"sent": 30, "failed": 0, "p99_ms": 4.2}
    out, err = shown(terminal.outcome, outcome(phases={"pull": 0.5}, requests=requests))
    assert out.splitlines() == [
        "deploy           2.50 s",
        "  pull           0.50 s",
        "requests meanwhile: 30 sent, 0 failed, p99 4.2 ms",
        f"live: {SHA} (release 0123456-aa) at http://127.0.0.1:8000",
    ]
    assert err == ""


def test_how_up_ended(shown):
    up = {"build": 3.0, "deploy": 2.5, "verify": 0.25}
    out, _ = shown(terminal.outcome, outcome(phases={"pull": 0.5}, requests={"sent": 0}), up=up)
    assert [line.split()[0] for line in out.splitlines()] == [
        *("build", "deploy", "pull", "verify", "live:")
    ]


def test_how_a_deployment_failed(shown):
    failed = outcome(PipelineError("It broke."), outcome="failed", seconds=None)
    out, err = shown(terminal.outcome, failed)
    assert out.splitlines()[-1] == f"failed: {SHA} (release 0123456-aa)"
    assert err == "error: It broke.\n"


@pytest.mark.parametrize(("digest", "more"), [("", ""), ("sha256:d", "  digest: sha256:d\n")])
def test_an_image(digest, more, shown):
    built = SimpleNamespace(sha="abc", size=12_600_000, seconds=1.26, tags=("abc", "latest"))
    built.digest = digest
    out, _ = shown(terminal.built, built)
    assert out == f"image of abc: 13 MB, 1.3 s\n  tags: abc, latest\n{more}"


def test_a_plan(shown):
    out, _ = shown(terminal.plan, Plan(steps=[Step(kind="start", about="start 1 x abc as blue")]))
    assert out == "  1  start     start 1 x abc as blue\n"
    out, _ = shown(terminal.plan, Plan(steps=()))
    assert out == "nothing to do: it is live already\n"


def test_settings_show_their_source_and_no_secret(shown):
    given = Settings(
        port=80,
        registry_password=Secret("sentinel"),
        sources={"port": "PIPELINE_PORT", "registry_password": "PIPELINE_REGISTRY_PASSWORD"},
    )
    out, _ = shown(terminal.settings, given)
    port, password = out.splitlines()
    assert port.split() == ["port", "80", "PIPELINE_PORT"]
    assert password.split() == ["registry_password", "***", "PIPELINE_REGISTRY_PASSWORD"]


def check(status, name, remedy=""):
    return SimpleNamespace(status=status, name=name, message="seen", remedy=remedy)


def test_checks_name_what_mends_them_and_end_with_the_worst(shown):
    found = [
        check("fail", "disk", "./bin/invoke prune"),
        check("ok", "engine"),
        check("warn", "swap"),
        check("fail", "port", "docker stop it"),
    ]
    out, _ = shown(terminal.checks, found)
    assert out.splitlines() == [
        "ok    engine: seen",
        "warn  swap: seen",
        "fail  disk: seen",
        "      next: ./bin/invoke prune",
        "fail  port: seen",
        "      next: docker stop it",
        "2 fail, 1 warn, 1 ok; mend the first failure first",
    ]
    assert shown(terminal.checks, found[:1])[0].splitlines()[-1] == "1 fail"


def status(**changes):
    return {
        "app": "panager",
        "url": "http://127.0.0.1:8000",
        "healthy": True,
        "lock": None,
        "live": None,
        "standby": None,
        "interrupted": None,
        "drift": [],
        **changes,
    }


def test_status_of_nothing(shown):
    out, _ = shown(terminal.status, status(healthy=False))
    assert out == "panager: NOT healthy at http://127.0.0.1:8000\nlive: nothing\n"


def test_status_of_a_release_while_somebody_deploys(shown):
    live = {"sha": SHA, "release": "r", "colour": "blue", "replicas": 2, "since": "today"}
    out, _ = shown(terminal.status, status(live=live, lock={"command": "deploy", "pid": 7}))
    assert out.splitlines() == [
        "panager: healthy at http://127.0.0.1:8000",
        "live: 0123456789ab (release r) as blue, 2 replica(s), since today",
        "lock: `deploy`, process 7",
    ]


def test_status_of_a_host_that_needs_a_person(shown):
    standby = {"sha": SHA, "release": "r", "colour": "green", "replicas": 1, "since": "today"}
    interrupted = {"kind": "deploy", "sha": SHA, "since": "today"}
    drift = ["blue has 1 running replicas, not 2."]
    out, _ = shown(terminal.status, status(standby=standby, interrupted=interrupted, drift=drift))
    assert out.splitlines()[2:] == [
        "standby: 0123456789ab (release r) as green; `invoke rollback` sends requests to it",
        "interrupted: deploy of 0123456789ab; `invoke resume` ends it",
        "drift: blue has 1 running replicas, not 2.",
    ]


def row(**changes):
    return {
        "id": 1,
        "started": "2026-01-02T03:04:05+00:00",
        "kind": "deploy",
        "sha": SHA,
        "outcome": "live",
        "seconds": 2.54,
        "error": None,
        **changes,
    }


def test_history(shown):
    down = row(id=12, kind="down", sha=None, outcome="stopped", seconds=None)
    failed = row(outcome="failed", error={"message": "It broke."})
    out, _ = shown(terminal.deployments, [down, failed])
    first, second = out.splitlines()
    assert first.split() == ["12", down["started"], "down", "-", "stopped", "-"]
    assert second.split()[3:] == ["0123456789ab", "failed", "2.5", "s", "It", "broke."]


def test_no_history(shown):
    assert shown(terminal.deployments, []) == ("no deployments yet\n", "")
