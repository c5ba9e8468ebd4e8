"""What a firewall does not keep from the ports that Docker publishes: hints only.

Docker's own rules send a packet for a published port to its container before the rules of ufw,
or of a zone of firewalld, see it. Nothing here changes a rule: who may reach a server is its
owner's to say, and a wrong rule locks that owner out.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from pipeline.host.probes import says

__all__ = ["Exposure", "look"]

UFW = Path("/etc/ufw/ufw.conf")
NFTABLES = "nftables.service"
FIREWALLD = "firewalld.service"


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Whom the service's port is open to, as far as this machine tells.

    Attributes:
        safe: Nobody but this machine reaches it.
        message: What was seen, and what could be done.
    """

    safe: bool
    message: str


def look(bind_address: str, port: int, *, systemd: bool) -> Exposure:
    """Look at what stands between the network and the published port; changes nothing.

    Args:
        bind_address: IPv4 address that the proxy is published on.
        port: Its port.
        systemd: systemd is PID 1, and can be asked for services.
    """
    if IPv4Address(bind_address).is_loopback:
        return Exposure(
            safe=True,
            message=f"published on {bind_address}:{port}, which only this machine reaches",
        )
    active = _active(systemd=systemd)
    where = f"published on {bind_address}:{port}"
    if not active:
        return Exposure(
            safe=False,
            message=f"{where}, and no firewall was found here: whoever reaches this machine reaches"
            " the port. Let a firewall in front of it, or PIPELINE_BIND_ADDRESS, say who may",
        )
    rule = (
        f"iptables -I DOCKER-USER -p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL"
        " ! -s ALLOWED/24 -j DROP"
    )
    advice = f"a rule of one's own belongs in the chain DOCKER-USER, for example: {rule}"
    if "nftables" in active:
        advice += "; a restart of nftables removes Docker's rules: `systemctl restart docker` then"
    return Exposure(
        safe=False,
        message=f"{where}: ports that Docker publishes bypass {' and '.join(active)}; {advice}",
    )


def _active(*, systemd: bool) -> tuple[str, ...]:
    """Return the firewalls that are in force here."""
    found = []
    try:
        conf = UFW.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        conf = ""
    if re.search(r"^\s*ENABLED\s*=\s*\"?yes", conf, re.IGNORECASE | re.MULTILINE):
        found.append("ufw")
    if systemd:
        named = {"firewalld": FIREWALLD, "nftables": NFTABLES}
        found += [name for name, unit in named.items() if says(["systemctl", "is-active", unit])]
    return tuple(found)
