"""How a registry's 401 is answered: Basic, or a token from the service that it names.

https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/ describe it. The
scope we ask for is our own, never the one in the challenge: no registry gets a token for
more than what is asked of it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pipeline.errors import RegistryError
from pipeline.image import address, http
from pipeline.image.credentials import Login
from pipeline.settings import Secret

if TYPE_CHECKING:
    from requests import Session

__all__ = ["Challenge", "Keys", "challenges"]

OK, REFUSED = 200, {400, 401, 403}
LIMIT = 65536  # bytes; a token has a few thousand
CLIENT = "pipeline"

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*(?:,|$)')
_SCHEME = re.compile(rf"\s*,*\s*({_WORD})(?:\s+|\s*(?=,|$))")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """One way in that a registry offers.

    Attributes:
        scheme: In lower case: `basic`, `bearer`.
        realm: For `bearer`, the address of the token service.
        service: What that service calls the registry.
    """

    scheme: str
    realm: str = ""
    service: str = ""


def challenges(header: str) -> list[Challenge]:
    """Read `WWW-Authenticate`; what cannot be read ends the list."""
    found: list[Challenge] = []
    position = 0
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        said: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, bare = parameter.groups()
            said[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare
        found.append(
            Challenge(
                scheme=scheme[1].lower(),
                realm=said.get("realm", ""),
                service=said.get("service", ""),
            )
        )
    return found


class Keys:
    """What opens one registry, for the length of a connection.

    Args:
        session: To ask the token service with.
        base: Scheme and host of the registry.
        host: What the registry is called in messages.
        find_login: Asked at the first 401, and once: a registry that lets everybody in
            needs no credential helper.
    """

    def __init__(
        self, session: "Session", *, base: str, host: str, find_login: Callable[[], Login | None]
    ) -> None:
        self._session, self._base, self._host = session, base, host
        self._find_login = find_login
        self._kept: dict[str, Secret] = {}
        self._asked = False

    def header(self, scope: str) -> str:
        """Return `Authorization` for a question of that scope; "" while none is known."""
        kept = self._kept.get(scope) or self._kept.get("")
        return kept.reveal() if kept else ""

    def open(self, challenge: str, scope: str, what: str) -> None:
        """Answer a 401; `header()` has the answer afterwards.

        Args:
            challenge: The registry's `WWW-Authenticate`.
            scope: Such as `repository:team/app:pull`.
            what: What we were refused, for messages.

        Raises:
            RegistryError: There is no login, the token service refuses it, offers nothing that
                we can use, or is where a password must not go.
        """
        offered = {each.scheme: each for each in reversed(challenges(challenge))}
        if bearer := offered.get("bearer"):
            self._kept[scope] = Secret(f"Bearer {self._token(bearer, scope, what).reveal()}")
            return
        if "basic" in offered and self._login and self._login.user:
            self._kept[""] = Secret(f"Basic {self._login.basic().reveal()}")
            return
        raise http.refusal(self._host, what)

    def hide_in(self, text: str) -> str:
        """Return `text` without any secret that we sent."""
        for kept in self._kept.values():
            text = Secret(kept.reveal().partition(" ")[2]).hide_in(text)
        return self._login.hide_in(text) if self._asked and self._login else text

    @cached_property
    def _login(self) -> Login | None:
        self._asked = True
        return self._find_login()

    def _token(self, challenge: Challenge, scope: str, what: str) -> Secret:
        if not address.is_safe(challenge.realm, self._base):
            raise RegistryError(
                f"The registry {self._host} wants the login sent to {challenge.realm!r}, "
                "where others could read it.",
                hint="Its token service (`realm`) needs an https address: tell its administrator.",
            )
        login = self._login
        asked = {"service": challenge.service, "scope": scope}
        if login is not None and login.identity_token:
            answer = self._ask_with_identity(challenge.realm, asked, login)
        else:
            answer = self._ask_with_password(challenge.realm, asked, login)
        if answer.status in REFUSED:
            raise http.refusal(self._host, what, f"{address.shown(challenge.realm)} gave no token.")
        token = _read(answer) if answer.status == OK else ""
        if not token:
            raise RegistryError(
                f"The token service {address.shown(challenge.realm)} of the registry {self._host} "
                f"gave no token: HTTP status {answer.status}.",
                hint=f"Is {self._host} what the setting `registry` should be?",
            )
        return Secret(token)

    def _ask_with_password(
        self, realm: str, asked: dict[str, str], login: Login | None
    ) -> http.Answer:
        query = urlencode({name: value for name, value in asked.items() if value})
        return http.ask(
            self._session,
            "GET",
            f"{realm}{'&' if '?' in realm else '?'}{query}",
            what="a token",
            authorization=f"Basic {login.basic().reveal()}" if login else "",
            limit=LIMIT,
        )

    def _ask_with_identity(self, realm: str, asked: dict[str, str], login: Login) -> http.Answer:
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT,
            "refresh_token": login.identity_token.reveal(),
            **asked,
        }
        return http.ask(
            self._session,
            "POST",
            realm,
            what="a token",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            data=urlencode(form).encode(),
            limit=LIMIT,
        )


def _read(answer: http.Answer) -> str:
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        return ""
    token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else ""
