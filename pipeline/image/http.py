"""One question to a registry over HTTP, and what may go wrong with it.

Whatever the other side does (drips, redirects, sends gigabytes, says nothing), a question
ends within its deadline, and a login stays with the host that it is for.

RegistryError
├── NoAnswerError     refused, unknown name, not trusted, too slow
└── BusyError         429 or 5xx: worth another try
"""

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from socket import gaierror
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import RegistryError
from pipeline.image import address
from pipeline.settings import Settings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

__all__ = ["Answer", "BusyError", "NoAnswerError", "ask", "refusal", "session"]

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0  # seconds
DEADLINE = 20.0  # seconds for a question with all its redirects
REDIRECTS = 4
CHUNK = 65536  # bytes
LIMIT = 4 * 2**20  # bytes of an answer: what the specification lets a manifest have at most

_MOVED = {301, 302, 303, 307, 308}
_TOO_MANY, _BROKEN = 429, 500


class NoAnswerError(RegistryError):
    """Nobody answers there, or not in time, or not as who it should be."""


class BusyError(RegistryError):
    """The registry limits our rate or fails on its side: worth another try.

    Attributes:
        wait: Seconds that it asks for; None where it does not say.
    """

    wait: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: Looked up in any case.
        content: The whole body.
        url: Where it came from, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str


def session(settings: Settings) -> "Session":
    """Return a session that trusts `ca_bundle` where that file exists.

    Variables for proxies count, as they do for the engine; a loopback address needs none.
    """
    import requests

    class Staying(requests.Session):
        # else requests reads the body of a redirect to its end, whether it follows or not
        def get_redirect_target(self, resp: "Response") -> str | None:  # noqa: ARG002 - its name
            return None

    made = Staying()
    made.trust_env = not address.is_loopback(address.hostname(f"//{settings.registry}"))
    made.verify = str(settings.ca_bundle) if settings.ca_bundle.is_file() else True
    return made


def ask(
    session: "Session",
    method: str,
    url: str,
    *,
    what: str,
    headers: Mapping[str, str] | None = None,
    authorization: str = "",
    data: bytes | None = None,
    limit: int = LIMIT,
    deadline: float | None = None,
) -> Answer:
    """Ask once; a redirect of GET or HEAD is followed, without the login to another host.

    Args:
        session: From `session()`.
        method: HTTP method.
        url: Absolute.
        what: What is asked for, in a message: `an upload`.
        headers: Besides `Authorization`.
        authorization: That header's value.
        data: Body.
        limit: Bytes of the answer.
        deadline: Seconds for all of it; default: `DEADLINE`.

    Raises:
        NoAnswerError: No answer in time.
        BusyError: 429 or 5xx.
        RegistryError: It answers too much, or sends us where nothing of ours may go.
    """
    deadline = DEADLINE if deadline is None else deadline
    end, first = time.monotonic() + deadline, url
    for _ in range(REDIRECTS + 1):
        host = address.shown(url)
        sent = authorization if address.origin(url) == address.origin(first) else ""

        def work(url: str = url, sent: str = sent) -> Answer:
            return _exchange(
                session,
                method,
                url,
                headers=headers or {},
                authorization=sent,
                data=data,
                limit=limit,
                end=end,
            )

        try:
            answer = _within(end - time.monotonic(), work)
        except _TooMuchError as exc:
            raise RegistryError(
                f"The registry {host} answers with more than {limit} bytes for {what}.",
                hint="That is no answer of a registry: is the setting `registry` right?",
            ) from exc
        except _causes() as exc:
            raise NoAnswerError(
                f"The registry {host} could not be asked for {what}: {_cause(exc, deadline)}.",
                hint=f"Is it running, and is {host} what the setting `registry` should be?",
            ) from exc
        if answer.status == _TOO_MANY or answer.status >= _BROKEN:
            after = answer.headers.get("Retry-After", "")
            raise busy(host, f"HTTP status {answer.status}", after=after)
        if answer.status not in _MOVED or method not in {"GET", "HEAD"}:
            return answer
        url = address.joined(url, answer.headers.get("Location", ""))
        if not address.is_safe(url, first):
            break
    raise RegistryError(
        f"The registry {host} sends us round in circles, or to an unsafe address, for {what}.",
        hint="Only https addresses are followed. Is the setting `registry` right?",
    )


def refusal(host: str, what: str, details: str = "") -> RegistryError:
    """Return the error for 401 and 403."""
    return RegistryError(
        f"The registry {host} refused {what}.",
        hint="Set PIPELINE_REGISTRY_USER and PIPELINE_REGISTRY_PASSWORD to a user who has that "
        "right, then `invoke login`.",
        details=details,
    )


class _TooMuchError(Exception):
    pass


def _exchange(
    session: "Session",
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    authorization: str,
    data: bytes | None,
    limit: int,
    end: float,
) -> Answer:
    def sign(request: "PreparedRequest") -> "PreparedRequest":
        # given even where it does nothing: without one, requests looks into ~/.netrc
        if authorization:
            request.headers["Authorization"] = authorization
        return request

    with session.request(
        method,
        url,
        headers={"Accept-Encoding": "identity", **headers},
        data=data,
        auth=sign,
        timeout=(CONNECT_TIMEOUT, max(0.1, end - time.monotonic())),
        verify=session.verify,  # said here, or a variable would count for more
        allow_redirects=False,
        stream=True,
    ) as response:
        content = bytearray()
        for chunk in _chunks(response, end):
            content += chunk
            if len(content) > limit:
                raise _TooMuchError
        return Answer(
            status=response.status_code, headers=response.headers, content=bytes(content), url=url
        )


def _chunks(response: "Response", end: float) -> Iterator[bytes]:
    for chunk in response.iter_content(CHUNK):
        if time.monotonic() > end:
            raise TimeoutError  # what there is must not pass for the whole
        yield chunk


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; in a thread, because nothing else ends a name server's silence.

    The timeouts of a socket are for each read: a server that sends a byte now and then is never
    late. A thread that is given up ends with its connection, or with us.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised where the result is waited for
            future.set_exception(exc)

    Thread(target=run, daemon=True).start()
    return future.result(max(0.0, seconds))


def _causes() -> tuple[type[Exception], ...]:
    from http.client import HTTPException

    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return (RequestException, HTTPError, HTTPException, OSError, UnicodeError)


def _cause(exc: BaseException, deadline: float) -> str:
    from requests.exceptions import ConnectTimeout, ProxyError, Timeout

    chain = list(_chain(exc))
    causes: list[tuple[type[BaseException], str]] = [
        (ProxyError, "the proxy on the way there does not answer, or refuses"),
        (ConnectTimeout, f"no connection within {CONNECT_TIMEOUT:g} s"),
        (ConnectionRefusedError, "connection refused"),
        (gaierror, "its name is not known"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "it does not speak TLS as we do"),
        (Timeout, f"no answer within {deadline:g} s"),
        (TimeoutError, f"no answer within {deadline:g} s"),
    ]
    for kind, said in causes:
        if any(isinstance(each, kind) for each in chain):
            return said
    spoken = [each.strerror for each in chain if isinstance(each, OSError) and each.strerror]
    return spoken[-1].lower() if spoken else "the connection broke off"


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it wraps: requests and urllib3 put causes into arguments."""
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def busy(host: str, details: str, *, after: str = "") -> BusyError:
    """Return the error for 429 and 5xx; `after` is what the registry says of another try."""
    error = BusyError(
        f"The registry {host} is busy or out of order.",
        hint="Try again in a minute.",
        details=details,
    )
    error.wait = float(after) if re.fullmatch(r"[0-9]{1,6}", after.strip()) else None
    return error
