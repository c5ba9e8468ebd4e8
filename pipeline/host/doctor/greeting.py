"""One question to a web server: whether it answers, its certificate, its clock."""

import base64
import http.client
import ipaddress
import socket
import ssl
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.host.probes import within

__all__ = ["SECONDS", "Greeting", "greet", "is_address", "is_loopback", "proxy_for"]

SECONDS = 1.0  # for name, connection, TLS and answer
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """What came of it.

    Attributes:
        trouble: Why there was no answer; "" where there was one.
        distrusted: That is because of its certificate.
        status: HTTP status; 0 without an answer.
        expires: When its certificate does; None without TLS.
        date: Its clock, to the second; None where it does not say.
        skew: How far ours is ahead of it, in seconds; 0 within what the road takes.
    """

    trouble: str = ""
    distrusted: bool = False
    status: int = 0
    expires: datetime | None = None
    date: datetime | None = None
    skew: float = 0.0


def greet(url: str, *, trust: Path) -> Greeting:
    """Ask `url` for its head, through the environment's proxy where one is set.

    Args:
        url: http or https.
        trust: Certificates of authorities, where the file exists; else the system's.
    """
    late = Greeting(trouble=f"no answer within {SECONDS:g} s")
    return within(SECONDS, lambda: _greet(url, trust), late)


def _greet(url: str, trust: Path) -> Greeting:
    try:
        connection, path = _connection(url, trust)
    except (ValueError, OSError) as exc:
        return Greeting(trouble=f"it cannot be asked: {exc}")
    try:
        connection.connect()
        expires = _expiry(connection.sock)
        before = datetime.now(UTC)
        connection.request("HEAD", path)
        answer = connection.getresponse()
        date = _date(answer.getheader("Date", ""))
        skew = _skew(date, before, datetime.now(UTC)) if date else 0.0
        return Greeting(status=answer.status, expires=expires, date=date, skew=skew)
    except ssl.SSLCertVerificationError as exc:
        why = exc.verify_message or "it is not trusted"
        return Greeting(trouble=f"its certificate is refused: {why}", distrusted=True)
    except (OSError, http.client.HTTPException, UnicodeError) as exc:
        return Greeting(trouble=_words(exc))
    finally:
        connection.close()


def _connection(url: str, trust: Path) -> tuple[http.client.HTTPConnection, str]:
    there = urlsplit(url)
    host, port = there.hostname or "", there.port or _PORTS[there.scheme]
    path = there.path or "/"
    proxy = proxy_for(url)
    via = urlsplit(proxy)
    headers = {}
    if via.username:
        login = f"{unquote(via.username)}:{unquote(via.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    if there.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=SECONDS), path
    context = ssl.create_default_context(cafile=str(trust) if trust.is_file() else None)
    if not proxy:
        return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context), path
    made = http.client.HTTPSConnection(
        via.hostname or "", via.port or _PORTS["http"], timeout=SECONDS, context=context
    )
    made.set_tunnel(host, port, headers)
    return made, path


def proxy_for(url: str) -> str:
    """Return the proxy that https to there goes through; "" where it goes directly."""
    there = urlsplit(url)
    host = there.hostname or ""
    if there.scheme != "https" or is_loopback(host) or urllib.request.proxy_bypass(host):
        return ""
    proxy = urllib.request.getproxies().get("https", "")
    return proxy if "//" in proxy or not proxy else f"http://{proxy}"


def is_address(host: str) -> bool:
    """Tell whether no name server has to be asked for `host`."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _expiry(line: socket.socket) -> datetime | None:
    if not isinstance(line, ssl.SSLSocket):
        return None
    end = (line.getpeercert() or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(end)), UTC) if end else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _skew(date: datetime, before: datetime, after: datetime) -> float:
    """Return how far we are ahead: it wrote `date`, cut to the second, between the two."""
    ahead = (before - date).total_seconds() - 1
    behind = (date - after).total_seconds()
    return max(ahead, 0.0) or min(-behind, 0.0)


def _words(exc: Exception) -> str:
    if isinstance(exc, socket.gaierror):
        return f"its name is not known: {exc.strerror}"
    if isinstance(exc, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    words = exc.strerror if isinstance(exc, OSError) else None
    return (words or str(exc) or type(exc).__name__).lower()
