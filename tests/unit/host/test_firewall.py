"""Hints about firewalls that Docker's published ports bypass; nothing is changed."""

import pytest

from pipeline.host import firewall


@pytest.fixture
def ufw(machine, monkeypatch):
    path = machine.path / "ufw.conf"
    monkeypatch.setattr(firewall, "UFW", path)
    machine.commands.plan("systemctl is-active", "inactive\n", code=3)
    return path


def look(bind="0.0.0.0", *, systemd=True):
    return firewall.look(bind, 8000, systemd=systemd)


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.1.2.3"])
def test_loopback_needs_no_firewall(ufw, machine, bind):
    ufw.write_text("ENABLED=yes\n")
    seen = look(bind)
    assert seen.safe
    assert "only this machine reaches" in seen.message
    assert machine.commands.ran == []


@pytest.mark.parametrize("text", ["ENABLED=yes\n", '# x\n ENABLED = "yes"\nLOGLEVEL=low\n'])
def test_docker_bypasses_ufw(ufw, text):
    ufw.write_text(text)
    seen = look(systemd=False)
    assert not seen.safe
    assert "ports that Docker publishes bypass ufw" in seen.message
    assert "DOCKER-USER -p tcp -m conntrack --ctorigdstport 8000" in seen.message


@pytest.mark.parametrize("text", ["ENABLED=no\n", "#ENABLED=yes\n", "", None])
def test_a_firewall_that_is_off_is_none(ufw, text):
    if text is not None:
        ufw.write_text(text)
    seen = look("192.168.1.7")
    assert not seen.safe
    assert "published on 192.168.1.7:8000, and no firewall was found" in seen.message


def test_firewalld_and_nftables_are_seen(ufw, machine):
    machine.commands.plan("systemctl is-active firewalld.service", "active\n")
    machine.commands.plan("systemctl is-active nftables.service", "active\n")
    seen = look()
    assert "bypass firewalld and nftables" in seen.message
    assert "`systemctl restart docker`" in seen.message


def test_without_systemd_no_service_is_asked_for(ufw, machine):
    look(systemd=False)
    assert machine.commands.ran == []


def test_only_looks(ufw, machine):
    ufw.write_text("ENABLED=yes\n")
    look()
    assert all(line.startswith("systemctl is-active") for line in machine.commands.ran)
