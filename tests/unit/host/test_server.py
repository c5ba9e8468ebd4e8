"""A server: all of it named first, done once, and then only looked at."""

from dataclasses import replace

import pytest

from pipeline.errors import EngineError, UnavailableError, UsageError
from pipeline.host import docker, firewall, server
from pipeline.host.server import Line, checks, prepare
from pipeline.settings import Settings
from pipeline.up import Consent, host
from tests.unit.host.conftest import READY, STORE, SURVIVE, info, no

SETTINGS = Settings(sources={"state_dir": "default"})
DEPLOY = replace(SETTINGS, deploy_user="deploy")
MADE = [
    "useradd --create-home --user-group --shell /bin/bash deploy",
    "gpasswd --add deploy docker",
    "runuser --user deploy -- mkdir --parents --mode=0700 -- deploy/.ssh",
    "runuser --user deploy -- chmod 0700 -- deploy/.ssh",
    "runuser --user deploy -- mkdir --parents --mode=0700 -- deploy/.local/state/panager",
    "runuser --user deploy -- chmod 0700 -- deploy/.local/state/panager",
]


@pytest.fixture
def ready(clients, people, engine, monkeypatch):
    """Have an engine that lacks nothing, and users."""
    monkeypatch.setattr(firewall, "UFW", clients.path / "ufw.conf")
    clients.programs["dockerd"] = "/usr/sbin/dockerd"
    return clients


@pytest.fixture
def systemd(ready):
    (ready.path / "systemd").mkdir()
    ready.commands.plan("systemctl is-enabled", "enabled\n")
    ready.commands.plan("systemctl is-active", "inactive\n", code=3)
    return ready


def make(settings, said, *, yes=True, interactive=False, confirm=no):
    prepare(settings, yes=yes, interactive=interactive, confirm=confirm, report=said.append)


def seen(settings=SETTINGS, **flags):
    return {line.name: line for line in checks(settings, **flags)}


def statuses(settings=SETTINGS):
    return {name: line.status for name, line in seen(settings).items()}


def test_all_is_named_before_anything_is_done_and_a_second_run_does_nothing(ready, people, said):
    make(DEPLOY, said)
    assert people.did == MADE
    named = said[:4]
    assert [line.split(":")[0] for line in named] == [
        "the user deploy, without a password",
        "deploy in the group docker (whoever is in it is as good as root here)",
        "folder of keys ~deploy/.ssh, deploy's alone",
        "state folder ~deploy/.local/state/panager, deploy's alone",
    ]
    assert any("user deploy made" in line for line in said[4:])
    again = []
    make(DEPLOY, again, yes=False)
    assert people.did == MADE
    assert again[0] == f"{READY}; {SURVIVE}; {STORE}"
    assert [line.split()[0] for line in again[1:]] == ["hint", "ok", "ok", "ok"]


def test_without_agreement_nothing_is_done(ready, people, said):
    with pytest.raises(UsageError, match="nobody can be asked here") as caught:
        make(DEPLOY, said, yes=False)
    assert "the user deploy" in caught.value.message
    assert caught.value.hint == "`./bin/invoke host --yes --user deploy` does all of this."
    assert people.did == []
    asked = []
    with pytest.raises(UsageError, match="the answer was no"):
        make(DEPLOY, said, yes=False, interactive=True, confirm=asked.append)
    assert len(asked) == 1, "once for everything"
    assert people.did == []


def test_a_user_that_is_there_is_only_added_to(ready, people, said):
    people.add("deploy", groups=["sudo"])
    make(DEPLOY, said)
    assert people.did == MADE[1:]
    assert "deploy" in people.groups["sudo"]


def test_the_state_folder_is_the_one_that_is_set(ready, people, said):
    people.ready("deploy")
    folder = ready.path / "srv/state"
    given = replace(DEPLOY, state_dir=folder, sources={"state_dir": "pyproject.toml"})
    make(given, said)
    (line,) = people.did
    assert line.startswith("install --directory --mode=0700 --owner=deploy")
    assert folder.is_dir()


def test_a_state_folder_of_somebody_else_stops_everything(ready, people, said):
    state = ready.path / "state"
    state.mkdir()
    (state / "ledger.db").touch()
    people.add("deploy")
    people.owner = 0
    given = replace(DEPLOY, state_dir=state, sources={"state_dir": "PIPELINE_STATE_DIR"})
    with pytest.raises(UsageError, match=r"state cannot be deploy's"):
        make(given, said)
    assert people.did == []
    line = seen(given)["folders"]
    assert line.status == "fail"
    assert "chown -R deploy:" in line.message


@pytest.mark.parametrize("act", [make, lambda settings, _: checks(settings)])
def test_who_cannot_deploy_is_refused_before_anything_is_looked_at(ready, people, said, act):
    with pytest.raises(UsageError, match="'root' cannot be used"):
        act(replace(SETTINGS, deploy_user="root"), said)
    assert ready.commands.ran == []


def test_without_a_deploy_user_none_is_made(ready, people, said):
    make(SETTINGS, said)
    assert people.did == []
    assert seen()["user"].status == "ok"


def test_the_engines_group_is_made_where_no_package_has(ready, people, said):
    del people.groups["docker"]
    make(DEPLOY, said)
    assert people.did == ["groupadd --system docker", *MADE]


def test_a_group_that_the_packages_bring_is_not_made(stopped, people, monkeypatch):
    del people.groups["docker"]
    stopped.programs.pop("dockerd")
    assert not any("groupadd" in line.message for line in checks(DEPLOY))


def test_what_is_refused_half_way_ends_it(ready, people, said):
    ready.commands.plan("gpasswd", "gpasswd: cannot lock /etc/group\n", code=1)
    with pytest.raises(UnavailableError, match="users could not be changed"):
        make(DEPLOY, said)
    assert people.did == MADE[:2]


def test_what_is_lacking_still_is_an_error(ready, people, said):
    ready.commands.plan("gpasswd")
    with pytest.raises(EngineError, match="still missing: deploy in the group docker"):
        make(DEPLOY, said)


def test_the_engine_starts_with_the_machine(systemd, people, said):
    systemd.commands.plan("systemctl is-enabled docker", "disabled\n", code=1)
    systemd.commands.plan(
        "systemctl enable docker.service",
        lambda _: systemd.commands.plan("systemctl is-enabled docker", "enabled\n"),
    )
    assert seen()["boot"].status == "would"
    make(SETTINGS, said)
    assert "systemctl enable docker.service" in said[0]
    assert said[1] == "docker.service will start with the machine"
    assert said[3].startswith("ok    boot: the engine starts with the machine")


def test_an_engine_that_is_to_be_started_is_enabled_by_that(systemd, monkeypatch):
    systemd.commands.plan("docker version", "", code=1)
    systemd.commands.plan("systemctl is-enabled", "disabled\n", code=1)
    found = seen()
    assert found["engine"].status == "would"
    assert "enable --now docker" in found["engine"].message
    assert found["boot"].message.endswith("systemctl enable containerd.service")
    assert found["base images"].status == "would"


@pytest.mark.parametrize(
    ("word", "status", "text"),
    [
        ("masked", "fail", "`systemctl unmask containerd.service docker.service`"),
        ("not-found", "hint", "systemd has no docker.service"),
        ("enabled", "ok", "its containers with it"),
    ],
)
def test_what_systemd_has_in_mind_is_said(systemd, word, status, text):
    systemd.commands.plan("systemctl is-enabled", f"{word}\n", code=0 if word == "enabled" else 1)
    line = seen()["boot"]
    assert line.status == status
    assert text in line.message


def test_a_server_that_lacks_nothing(systemd, people, said):
    people.ready("deploy")
    looked_at = ["packages", "settings", "engine", "boot", "user", "folders", "firewall"]
    assert statuses(DEPLOY) == dict.fromkeys([*looked_at, "base images"], "ok")
    assert "base images" not in seen(DEPLOY, engine_only=True)


def test_a_machine_with_nothing_would_get_everything(machine, people, monkeypatch):
    monkeypatch.setattr(firewall, "UFW", machine.path / "ufw.conf")
    found = checks(replace(DEPLOY, bind_address="0.0.0.0"))  # nobody listens
    assert [(line.name, line.status) for line in found] == [
        ("packages", "would"),
        ("settings", "would"),
        ("engine", "would"),
        ("boot", "hint"),
        ("user", "would"),
        ("user", "would"),
        ("folders", "would"),
        ("folders", "would"),
        ("firewall", "hint"),
        ("base images", "would"),
    ]
    assert people.did == []
    changing = ("apt-get", "systemctl enable", "systemctl restart", "docker pull")
    assert not any(line.startswith(changing) for line in machine.commands.ran)


def test_what_is_not_ours_to_mend_is_a_line_with_its_next_step(ready, people, monkeypatch):
    ready.commands.plan("docker version", "", code=1)
    ready.commands.plan("docker context show", "far\n")
    found = seen()
    assert found["engine"].status == "fail"
    assert "docker context far" in found["engine"].message
    assert "boot" not in found, "the engine is another machine's"


def test_base_images_that_are_missing_or_not_to_be_seen(ready, people, engine, monkeypatch):
    engine.local_images.discard("postgres:15")
    line = seen()["base images"]
    assert line.status == "would"
    assert line.message.startswith("postgres:15: pull")

    def refuse():
        raise EngineError("refused.", hint="Do it.")

    monkeypatch.setattr(server.bases, "missing_bases", refuse)
    assert seen()["base images"] == Line(
        name="base images", status="fail", message="refused. Do it."
    )


def test_who_may_not_talk_to_the_engine_sees_the_rest(machine, people, monkeypatch):
    monkeypatch.setattr(firewall, "UFW", machine.path / "ufw.conf")
    (machine.path / "docker.sock").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    found = seen()
    assert "usermod -aG docker" in found["engine"].message
    assert (found["engine"].status, found["base images"].status) == ("fail", "hint")
    assert found["firewall"].status == "ok"


def test_a_user_without_a_shell_is_a_hint(ready, people):
    people.ready("deploy", shell="/usr/sbin/nologin")
    lines = [line for line in checks(DEPLOY) if line.name == "user"]
    assert [line.status for line in lines] == ["ok", "hint"]
    assert "usermod --shell /bin/bash deploy" in lines[1].message


def test_limits_that_are_younger_than_dockerd_are_said_to_wait(ready, file, monkeypatch):
    monkeypatch.setattr("pipeline.host.machine.daemon.running", lambda: 4711)
    assert "count from" not in seen()["settings"].message
    monkeypatch.setattr(server.daemon, "file_is_younger", lambda: True)
    assert "count from dockerd's next start" in seen()["settings"].message


def test_by_sudo_root_gets_the_user_too(ready, people, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    def set_up(argv):
        if argv[-1] == "deploy":
            people.ready("deploy")

    ready.commands.plan("sudo", set_up)
    make(DEPLOY, said)
    (line,) = [line for line in ready.commands.ran if "tasks.py" in line]
    assert line.endswith("host --yes --engine --user deploy")
    assert said[0].startswith("the user deploy")


def test_without_sudo_only_root_can(ready, people, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UsageError, match=r"Only root can set .* It lacks: the user") as caught:
        make(DEPLOY, said)
    assert caught.value.hint == "sudo ./bin/invoke host --yes --user deploy"


def test_the_line_of_a_swarm_and_of_flags_is_honest(ready, people, monkeypatch):
    ready.commands.plan("docker info", info(live_restore=False))
    line = seen()["settings"]
    assert line.status == "ok"
    assert "only looked at" in line.message
    assert "without live-restore" in seen()["engine"].message


def test_the_command_of_a_server_does_it_in_its_first_phase(ready, people, said):
    consent = Consent(yes=True, interactive=False, confirm=no)
    phases = host(consent=consent, report=said.append, engine_only=True, server=DEPLOY)
    assert list(phases) == ["engine"]
    assert people.did == MADE


def test_up_needs_no_server(ready, people, said):
    docker.ensure_engine(yes=True, interactive=False, confirm=no, report=said.append)
    assert said == [f"{READY}; {SURVIVE}; {STORE}"]
