"""Asks GitHub for an identity token: a short-lived proof of which workflow we are."""

import json
import re
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pipeline.errors import UnavailableError
from pipeline.settings import Secret

__all__ = ["fetch"]

TIMEOUT = 10.0  # seconds of silence, of each attempt
PAUSES = (1.0, 3.0)  # seconds before the second and the third attempt
LIMIT = 65536  # bytes of an answer; a token has about 2000

_TOKEN = re.compile(r"[A-Za-z0-9_.=-]+")


def fetch(url: str, key: Secret, audience: str) -> Secret:
    """Return a token for `audience`, from GitHub's address for that, opened with its key.

    Raises:
        UnavailableError: Silence, nonsense, a refusal, or an error of the server's own three
            times.
    """
    url += ("&" if "?" in url else "?") + urlencode({"audience": audience})
    try:
        for pause in (*PAUSES, None):
            status, body = _get(url, key)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR or pause is None:
                break
            time.sleep(pause)
        if status == HTTPStatus.OK:
            return Secret(_token(json.loads(body)))
        problem = f"it answered {status}"
    except ValueError:  # whose text may show what was sent
        problem = "its address, key or answer is malformed"
    except (OSError, HTTPException) as exc:
        problem = str(exc) or type(exc).__name__
    raise UnavailableError(
        f"GitHub gave no identity token: {problem}.",
        hint="Run the job again, or take `id-token: write` from the job's permissions.",
    )


class _Stay(HTTPRedirectHandler):
    """Goes nowhere else: the key is for one address only."""

    def redirect_request(self, *_args: Any, **_options: Any) -> None:  # noqa: ANN401 - urllib's
        """Make a redirect an answer like any other."""


def _get(url: str, key: Secret) -> tuple[int, bytes]:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(url)
    headers = {"Authorization": f"Bearer {key.reveal()}", "Accept": "application/json"}
    request = Request(url, headers=headers)  # noqa: S310 - just looked at
    try:
        with build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read(LIMIT)
    except HTTPError as exc:
        with exc:
            return exc.code, b""


def _token(answer: Any) -> str:  # noqa: ANN401 - JSON
    token = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError(token)
    return token
