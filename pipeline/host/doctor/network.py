"""What is outside, and the port that the outside comes in by."""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pipeline.errors import PipelineError
from pipeline.host.client import connect
from pipeline.host.doctor.check import Check, Status, begin, failed, fine, refused, warned
from pipeline.host.doctor.facts import PROJECT, SECONDS, Facts, is_here, registry_url
from pipeline.host.doctor.greeting import Greeting, greet, is_address, is_loopback, proxy_for
from pipeline.host.doctor.listeners import Listener, listener
from pipeline.host.probes import port_trouble, within

__all__ = ["names", "port", "public_url", "registry", "registry_certificate"]

DAYS_WARN = 21
BROKEN = 500  # HTTP statuses from here on are the other side's trouble


def port(facts: Facts) -> Check:
    """Look whether the public port is this service's, or can be."""
    address, number = facts.settings.bind_address, facts.settings.port
    where = f"{address}:{number}"
    if not is_here():
        return fine("port", f"{where} is on the engine's machine")
    trouble = port_trouble(address, number)
    if not trouble:
        return fine("port", f"{where} is free")
    if trouble.startswith("Cannot assign"):
        message = f"{address} is no address of this machine"
        remedy = "export PIPELINE_BIND_ADDRESS=127.0.0.1  # `ip -brief address` shows the others"
        return failed("port", message, remedy)
    there: Mapping[str, str] = {}
    with suppress(PipelineError):  # the engine has a check of its own
        there = _publishers(number)
    if facts.settings.app in there.values():
        return fine("port", f"{where} is this service's")
    if there:
        name = next(iter(there))
        return failed("port", f"{where} is taken by container {name}", f"docker stop {name}")
    return _taken(where, listener(address, number), trouble)


def _taken(where: str, seen: Listener | None, trouble: str) -> Check:
    if seen is None and trouble == "Permission denied":
        return fine("port", f"{where} is free")  # it is for root only, which the engine is
    if seen is None or seen.pid is None:
        number = where.rpartition(":")[2]
        remedy = f"sudo ss -ltnp 'sport = :{number}'  # names who has it; or set PIPELINE_PORT"
        return failed("port", f"{where} cannot be had: {trouble}", remedy)
    message = f"{where} is taken by {seen.program} (process {seen.pid})"
    end = f"sudo systemctl stop {seen.unit}" if seen.unit else f"sudo kill {seen.pid}"
    return failed("port", message, f"{end}  # or set PIPELINE_PORT to another port")


def _publishers(number: int) -> dict[str, str]:
    """Return the containers that the engine publishes a port for, each with its project."""
    with connect(seconds=SECONDS) as client:
        found = client.api.containers(filters={"publish": f"{number}/tcp"})
    return {
        (each.get("Names") or [each["Id"]])[0].removeprefix("/"): (each.get("Labels") or {}).get(
            PROJECT, ""
        )
        for each in found
    }


def names(facts: Facts) -> Check:
    """Ask the name servers for the registry, or the proxy that it is reached through."""
    url = registry_url(facts.settings)
    asked = urlsplit(proxy_for(url) or url).hostname or ""
    if is_address(asked):
        return fine("DNS", f"{asked} needs no name server")
    trouble = within(SECONDS, lambda: _unknown(asked), f"no answer within {SECONDS} s")
    if not trouble:
        return fine("DNS", f"{asked} is known")
    remedy = f"getent ahosts {asked}  # must answer; /etc/resolv.conf names the name servers"
    return _serious(facts)("DNS", f"{asked} is not known: {trouble}", remedy)


def registry(facts: Facts) -> Check:
    """Look whether the registry answers, and lets us pull and push."""
    prove, name = facts.service.prove, facts.settings.registry
    proof = begin(prove) if prove else None  # beside the other question: both take their time
    seen = facts.registry()
    if seen.trouble:
        message = f"{name} cannot be reached: {seen.trouble}"
        return _serious(facts)("registry", message, _reach(facts))
    if seen.status >= BROKEN:
        message = f"{name} answers with HTTP status {seen.status}"
        return _serious(facts)("registry", message, _reach(facts))
    if proof is None:
        return fine("registry", f"{name} can be reached")
    try:
        proof.result()
    except PipelineError as exc:
        status: Status = "fail" if facts.named_registry() else "warn"
        return refused("registry", exc, status, "./bin/invoke login")
    return fine("registry", f"{name}: pull and push are allowed")


def registry_certificate(facts: Facts) -> Check:
    """Look how long the registry's certificate is good for."""
    made = failed if facts.named_registry() else warned
    return _certificate(
        "registry certificate", registry_url(facts.settings), facts.registry(), made
    )


def public_url(facts: Facts) -> Check:
    """Look at what users see from outside, if it can be seen from here."""
    url = facts.settings.public_url
    seen = greet(url, trust=facts.settings.ca_bundle)
    if seen.trouble and not seen.distrusted:
        message = f"{url} cannot be reached from here: {seen.trouble}"
        return warned("public URL", message, f"curl --head {url}  # here, and from outside")
    if seen.status >= BROKEN:
        message = f"{url} answers with HTTP status {seen.status}"
        return failed("public URL", message, "./bin/invoke logs")
    if url.startswith("http:"):
        return fine("public URL", f"{url} answers; plain HTTP has no certificate")
    return _certificate("public URL", url, seen, failed)


def _certificate(
    name: str, url: str, seen: Greeting, made: Callable[[str, str, str], Check]
) -> Check:
    there = urlsplit(url)
    host, number = there.hostname or "", there.port or 443
    show = (
        f"openssl s_client -connect {host}:{number} -servername {host} </dev/null"
        " | openssl x509 -noout -issuer -dates"
    )
    if seen.distrusted:
        remedy = f"{show}  # an authority of your own belongs in PIPELINE_CA_BUNDLE"
        return made(name, f"{host}: {seen.trouble}", remedy)
    if seen.expires is None:
        return fine(name, f"{host}: not seen, as there was no answer")
    days = (seen.expires - datetime.now(UTC)).days
    message = f"{host}: good for {days} days, until {seen.expires:%F}"
    if days < DAYS_WARN:
        return warned(name, message, f"{show}  # it must be renewed where {host} is served")
    return fine(name, message)


def _unknown(host: str) -> str:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return getattr(exc, "strerror", None) or str(exc)
    return ""


def _serious(facts: Facts) -> Callable[[str, str, str], Check]:
    # As `up` sees it: a registry that nobody named is not the one that it pushes to.
    return failed if facts.named_registry() else warned


def _reach(facts: Facts) -> str:
    """Return what to type for a registry that does not answer."""
    url = registry_url(facts.settings)
    there = urlsplit(url)
    if is_loopback(there.hostname or ""):
        stopped = within(SECONDS, lambda: _stopped(there.port or 80), "")
        if stopped:
            return f"docker start {stopped}"
        return "./bin/invoke up  # starts one here, unless PIPELINE_REGISTRY names another"
    return f"curl --head {url}  # from here; PIPELINE_REGISTRY names another registry"


def _stopped(number: int) -> str:
    """Return the name of a container that would publish that port if it ran."""
    with suppress(PipelineError), connect(seconds=SECONDS) as client:
        for each in client.api.containers(all=True, filters={"status": ["exited", "created"]}):
            about = client.api.inspect_container(each["Id"])
            published = about["HostConfig"].get("PortBindings") or {}
            ports = {bound["HostPort"] for bindings in published.values() for bound in bindings}
            if str(number) in ports:
                return str(about["Name"]).removeprefix("/")
    return ""
