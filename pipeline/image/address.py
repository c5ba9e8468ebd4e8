"""Where a registry is, and where a login for it may go. Pure."""

import ipaddress
from urllib.parse import urljoin, urlsplit

__all__ = ["base", "hostname", "is_loopback", "is_safe", "joined", "origin", "shown"]

_PORTS = {"http": 80, "https": 443}


def base(registry: str) -> str:
    """Return scheme and host of a registry: plain HTTP for this machine's own, as the engine does.

    Docker Hub's registry has another name than its images have.
    """
    if registry in {"docker.io", "index.docker.io"}:
        registry = "registry-1.docker.io"
    return f"{'http' if is_loopback(hostname(f'//{registry}')) else 'https'}://{registry}"


def is_loopback(host: str) -> bool:
    """Whether `host` (no port) is this machine, whatever a name server says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str, beside: str) -> bool:
    """Whether a login for the registry at `beside` may go to `url`: nobody reads it on the way."""
    try:
        there = urlsplit(url)
        if not there.hostname or "@" in there.netloc or there.port == 0:
            return False
    except ValueError:
        return False
    if there.scheme == "http":
        return is_loopback(there.hostname) and is_loopback(hostname(beside))
    return there.scheme == "https"


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port; a port that is none is 0."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", url, 0


def joined(url: str, location: str) -> str:
    """Return where the header Location, in an answer from `url`, leads; "" where nowhere."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def hostname(url: str) -> str:
    """Return the host without port; "" where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown(url: str) -> str:
    """Return host and port, for messages."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
