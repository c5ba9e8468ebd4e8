"""One message, in Slack's JSON, of how a deployment ended; it never fails one.

The address of a webhook is a secret: whoever knows it can write there. It is in no message, and
what other libraries say, which may name it, is not shown.
"""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import UndoFailedError
from pipeline.image import address
from pipeline.outcome import Report
from pipeline.settings import Secret, Settings

__all__ = ["message", "send"]

DEADLINE = 10.0  # seconds for all tries
CONNECT, READ = 3.0, 5.0  # seconds of one try
TRIES = 3
PAUSE = 0.25  # seconds before the second try; twice as many before each further one
LONGEST_PAUSE = 4  # seconds, whatever Retry-After says: the next try has to have its time
BUSY = (429, 500, 502, 503, 504)
LONGEST_CAUSE = 500  # characters


def message(
    app: str, about: Mapping[str, Any], *, host: str, secrets: Sequence[Secret] = ()
) -> str:
    """Return what is said of a deployment; Slack takes nothing in it for markup.

    Args:
        app: Its app.
        about: How it ended: kind, sha, outcome, seconds, error.
        host: Where.
        secrets: Values to hide.
    """
    what, error = about["kind"] + _commit(about), about.get("error")
    seconds = f"after {about['seconds']:.1f} s"
    if about["outcome"] == "live":
        text = f"{app}: {what} is live on {host} {seconds}"
    else:
        ended = "was rolled back" if about["outcome"] == "rolled-back" else "failed"
        text = f"{app}: {what} {ended} on {host} {seconds}"
    if error:
        text += f": {error['message'][:LONGEST_CAUSE]}"
        if error["exit_code"] == UndoFailedError.exit_code:
            text += " A person is needed."
    for secret in secrets:
        text = secret.hide_in(text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def send(
    settings: Settings, about: Mapping[str, Any], *, report: Report, secrets: Sequence[Secret] = ()
) -> None:
    """Send the message; where that cannot be done within 10 s, say so and go on.

    Args:
        settings: Has the address.
        about: How it ended: kind, sha, outcome, seconds, error.
        report: Gets one warning.
        secrets: Values to hide.
    """
    text = message(settings.app, about, host=socket.gethostname(), secrets=secrets)
    # What is logged of a try has the address in it, and `invoke --debug` shows what is logged.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    # In a thread: a server that drips, and a name server that is silent, know no deadline.
    failed = _within(DEADLINE, lambda: _post(settings, text))
    if failed:
        report(f"warning: the webhook (webhook_url) did not get its message: {failed}")


def _commit(about: Mapping[str, Any]) -> str:
    return f" of {about['sha'][:12]}" if about.get("sha") else ""


def _post(settings: Settings, text: str) -> str:
    """Send it; return why that failed, "" where it did not."""
    retry = Retry(
        total=TRIES - 1,
        read=False,  # what may have arrived is not said twice
        status_forcelist=BUSY,
        allowed_methods=None,  # POST, too
        backoff_factor=PAUSE,
        retry_after_max=LONGEST_PAUSE,
        raise_on_status=False,
    )
    url, trusted = settings.webhook_url.reveal(), settings.ca_bundle
    try:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.mount("https://", HTTPAdapter(max_retries=retry))
            session.trust_env = not address.is_loopback(address.hostname(url))
            login = requests.utils.get_auth_from_url(url)
            with session.post(
                url,
                json={"text": text},
                auth=login if any(login) else _nobody,
                timeout=(CONNECT, READ),
                verify=str(trusted) if trusted.is_file() else True,
                allow_redirects=False,
                stream=True,  # of the answer, only its status counts
            ) as response:
                ok = response.ok and not response.is_redirect
                return "" if ok else f"it answers HTTP status {response.status_code}"
    except Exception as exc:  # noqa: BLE001 - its traceback would show the address
        return _cause(exc)


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Sign with nobody's name: else one from ~/.netrc would be sent along."""
    return request


def _cause(exc: Exception) -> str:
    if isinstance(exc, requests.Timeout):
        return "no answer in time"
    if isinstance(exc, requests.exceptions.SSLError):
        return "no trusted TLS connection"
    if isinstance(exc, requests.ConnectionError):
        return "no connection"
    return type(exc).__name__  # its words may have the address in them


def _within(seconds: float, work: Callable[[], str]) -> str:
    done: list[str] = []
    thread = Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return done[0] if done else f"no answer within {seconds:g} s"
