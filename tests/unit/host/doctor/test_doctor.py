"""The whole: all checks at once, none that raises, hangs or hides another; what it comes to."""

import shlex
import threading
import time

import pytest

from pipeline.errors import EngineError, RegistryError
from pipeline.host import doctor
from pipeline.host.doctor import check, machine, network
from pipeline.host.doctor.check import Check, typed

NAMES = [
    "engine", "compose", "buildx", "live-restore", "image store", "log limits", "boot", "platforms",
    "base images", "disk", "memory", "clock", "state folder", "port", "DNS", "registry",
    "registry certificate", "public URL", "env file", "containers", "service", "drift",
]  # fmt: skip
OF_THE_ENGINE = {
    "live-restore", "image store", "log limits", "platforms", "base images", "containers",
    "service", "drift",
}  # fmt: skip


def test_a_healthy_machine_is_all_ok(look):
    found = look.checks()
    assert [each.name for each in found] == NAMES
    assert [each for each in found if each.status != "ok"] == []
    assert {each.remedy for each in found} == {""}
    assert "sentinel" not in repr(found)


def test_without_an_engine_there_is_one_cause_and_the_rest_is_still_looked_at(look, no_engine):
    found = {each.name: each for each in look.checks()}
    assert list(found) == NAMES
    assert {name for name, each in found.items() if each.status == "fail"} == {"engine"}
    assert {name for name, each in found.items() if each.status == "warn"} == OF_THE_ENGINE
    for name in OF_THE_ENGINE:
        assert found[name].message == "not known while no engine answers"
        assert found[name].remedy == found["engine"].remedy == "./bin/invoke host --yes"


def test_what_hangs_is_left_behind_and_holds_nobody_up(look, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(doctor, "SECONDS", 0.2)
    began = time.monotonic()
    found = {
        each.name: each
        for each in look.checks(prove=release.wait, status=lambda: release.wait() or {})
    }
    seconds = time.monotonic() - began
    release.set()
    late = {name: each.status for name, each in found.items() if "did not answer" in each.message}
    assert late == {"registry": "warn", "service": "fail", "drift": "warn"}
    assert found["service"].remedy.startswith("./bin/invoke status")
    assert seconds < 0.7


def test_a_look_that_fails_hides_no_other(look, monkeypatch):
    monkeypatch.setattr(machine, "MEMORY", machine.MEMORY.with_name("nothing"))
    found = {each.name: each for each in look.checks()}
    assert found["memory"].status == "warn"
    assert found["memory"].message.startswith("could not be looked at: FileNotFoundError")
    assert {each.status for name, each in found.items() if name != "memory"} == {"ok"}


def test_an_error_is_a_check_with_its_next_step(look, monkeypatch):
    def refuse(host, port):
        raise EngineError("The engine refused.", hint="`invoke host --yes` makes sure of one.")

    monkeypatch.setattr(network, "port_trouble", refuse)
    found = look("port")
    assert (found.status, found.message) == ("fail", "The engine refused")
    assert found.remedy == "./bin/invoke host --yes  # `invoke host --yes` makes sure of one."


def test_without_anybody_to_ask_that_is_not_looked_at(look):
    found = [each.name for each in doctor.checks(look.settings)]
    assert found == [name for name in NAMES if name not in {"service", "drift"}]


def test_what_does_not_apply_is_left_out(look):
    look.set(registry="127.0.0.1:5000", public_url="")
    assert [each.name for each in look.checks()] == [
        name for name in NAMES if name not in {"registry certificate", "public URL"}
    ]


@pytest.mark.parametrize(
    ("statuses", "worst", "code"),
    [
        ([], "ok", 0),
        (["ok", "ok"], "ok", 0),
        (["warn", "ok"], "warn", 6),
        (["ok", "fail", "warn"], "fail", 1),
    ],
)
def test_the_worst_is_the_exit_code(statuses, worst, code):
    found = [Check(name="x", status=status, message="m") for status in statuses]
    assert (doctor.worst(found), doctor.exit_code(found)) == (worst, code)


def ill(look, monkeypatch):
    """Make everything wrong at once that one machine can have wrong."""
    monkeypatch.setattr(network, "port_trouble", lambda host, port: "Address already in use")
    monkeypatch.setattr(network, "listener", lambda host, port: None)
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    look.engine.about |= {"LiveRestoreEnabled": False, "DriverStatus": None}
    look.settings.env_file.write_text("nonsense")
    look.prove = lambda: (_ for _ in ()).throw(RegistryError("Refused.", hint="Ask `latest`."))
    look.status |= {"healthy": False, "drift": ["blue is gone."]}
    look.containers.pop()


def test_every_remedy_is_a_line_for_a_shell(look, monkeypatch):
    ill(look, monkeypatch)
    bad = [each for each in look.checks() if each.status != "ok"]
    assert len(bad) > 7
    for each in bad:
        assert "\n" not in each.remedy
        words = shlex.split(each.remedy, comments=True)
        assert words or each.remedy.startswith("# "), each


@pytest.mark.parametrize(
    ("hint", "line"),
    [
        ("", ""),
        ("`docker start it`", "docker start it"),
        ("`invoke resume` ends it.", "./bin/invoke resume  # `invoke resume` ends it."),
        (
            "Is the setting `registry` right?\nThen `sudo reboot`.",
            "sudo reboot  # Is the setting `registry` right? Then `sudo reboot`.",
        ),
        ("Is the setting `registry` right?", "# Is the setting `registry` right?"),
    ],
)
def test_a_hint_becomes_a_line_for_a_shell(hint, line):
    assert typed(hint) == line


@pytest.mark.parametrize(
    ("uid", "remedy"),
    [
        (1000, "sudo systemctl enable docker.service"),
        (0, "systemctl enable docker.service"),  # where there is only root, there may be no sudo
    ],
)
def test_root_is_told_what_root_types(look, commands, monkeypatch, uid, remedy):
    monkeypatch.setattr("os.geteuid", lambda: uid)
    commands.plan("systemctl is-enabled docker.service", "disabled", code=1)
    assert look("boot").remedy == remedy


def test_a_user_without_a_name_has_a_number(look, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1001)
    assert check.user() == "1001"
