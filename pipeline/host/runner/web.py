"""Questions over HTTP whose every failure is said in words; no login is ever sent."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

__all__ = ["NoAnswerError", "asked"]

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0


class NoAnswerError(Exception):
    """What went wrong on the way, in a few words."""


@contextmanager
def asked(url: str, *, ca_bundle: Path, accept: str = "*/*") -> "Iterator[Response]":
    """Give the answer to a GET of `url`, whose body is yet to be read.

    Variables for proxies count. The body has to be read in the `with` block, as it may break off.

    Args:
        url: Absolute.
        ca_bundle: What is trusted, where that file exists.
        accept: The kind of answer.

    Raises:
        NoAnswerError: Nobody answers, or the answer breaks off.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with requests.get(
            url,
            headers={"Accept": accept, "Accept-Encoding": "identity"},
            auth=_nobody,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            verify=str(ca_bundle) if ca_bundle.is_file() else True,
            stream=True,
        ) as response:
            yield response
    except (requests.RequestException, HTTPError) as exc:
        raise NoAnswerError(_cause(exc)) from exc


def _nobody(request: "PreparedRequest") -> "PreparedRequest":
    return request  # given, because without one requests looks into ~/.netrc


def _cause(exc: BaseException) -> str:
    from requests.exceptions import ProxyError, SSLError, Timeout

    causes: list[tuple[type[BaseException], str]] = [
        (ProxyError, "the proxy on the way there does not answer, or refuses"),
        (gaierror, "its name is not known"),
        (ConnectionRefusedError, "connection refused"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (SSLError, "it does not speak TLS as we do"),
        (Timeout, "no answer in time"),
    ]
    chain = list(_chain(exc))
    for kind, said in causes:
        if any(isinstance(each, kind) for each in chain):
            return said
    return "the connection broke off"


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
