"""What starts with the machine."""

import pytest

from pipeline.errors import CommandError, EngineError
from pipeline.host import boot


@pytest.fixture
def units(machine):
    """Let systemd say of each unit what is planned; everything is enabled."""

    def plan(**words):
        for unit in boot.UNITS:
            word = words.get(unit.partition(".")[0], "enabled")
            code = 0 if word in {"enabled", "static", "indirect"} else 1
            machine.commands.plan(f"systemctl is-enabled {unit}", f"{word}\n", code=code)

    plan()
    return plan


def test_without_systemd_nobody_is_asked(machine):
    assert boot.look(systemd=False) == boot.Boot(systemd=False)
    assert machine.commands.ran == []


@pytest.mark.parametrize("word", ["enabled", "static", "indirect"])
def test_what_starts_with_the_machine_needs_nothing(units, word):
    units(containerd=word)
    assert boot.look(systemd=True) == boot.Boot(systemd=True)


@pytest.mark.parametrize("word", ["disabled", "enabled-runtime"])
def test_what_does_not_start_with_the_machine_is_seen(units, word):
    units(docker=word)
    assert boot.look(systemd=True).off == ("docker.service",)
    units(docker=word, containerd=word)
    assert boot.look(systemd=True).off == ("containerd.service", "docker.service")


def test_an_engine_with_a_containerd_of_its_own_is_fine(units, machine):
    units(containerd="not-found")
    assert boot.look(systemd=True) == boot.Boot(systemd=True)


def test_an_engine_that_systemd_does_not_know_is_seen(units, machine):
    units(docker="not-found", containerd="not-found")
    assert boot.look(systemd=True) == boot.Boot(systemd=True, unknown=True)
    machine.commands.plan("systemctl is-enabled", CommandError("did not finish"))
    units(docker="")
    assert boot.look(systemd=True).unknown


def test_a_masked_unit_is_somebodys_choice(units):
    units(docker="masked")
    seen = boot.look(systemd=True)
    assert (seen.off, seen.masked) == ((), ("docker.service",))


def test_enabling_starts_and_stops_nothing(machine, said):
    machine.commands.plan("systemctl enable")
    step = boot.Enable(units=boot.UNITS)
    step.do(said.append)
    assert machine.commands.ran == ["systemctl enable containerd.service docker.service"]
    assert str(step).endswith(machine.commands.ran[0])
    assert "--now" not in str(step)


def test_what_systemd_refuses_is_shown(machine, said):
    machine.commands.plan("systemctl enable", "Failed to enable unit: read-only\n", code=1)
    with pytest.raises(EngineError, match=r"docker\.service cannot be started") as caught:
        boot.Enable(units=("docker.service",)).do(said.append)
    assert "read-only" in caught.value.details
