"""What one repository of a registry has, asked of the registry itself.

The engine and the builder move the content; names, digests and rights are asked for here,
where a status is a number and not a word in a line of output (decision 0013).
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import RegistryError
from pipeline.image import address, credentials, http
from pipeline.image.http import Answer, BusyError
from pipeline.image.manifests import DIGEST, MEDIA_TYPES, Manifest, digest_of, read
from pipeline.image.tokens import Keys
from pipeline.settings import Settings

__all__ = ["Repository", "connect", "patiently"]

T = TypeVar("T")

PAUSES = (1.0, 3.0)  # seconds before another try where the registry is busy
LONGEST_PAUSE = 30.0  # seconds, whatever the registry asks for
BLOB_LIMIT = 32 * 2**20  # bytes; configurations and SBOMs, never layers
DETAILS = 500  # characters of what a registry says beside its status
ACCEPT = {"Accept": ", ".join(MEDIA_TYPES)}

FINE, ACCEPTED, UNKNOWN = {200, 201, 202}, 202, 404
NO_LOGIN, REFUSED = 401, {401, 403}


def connect(settings: Settings) -> "Repository":
    """Return the repository that `settings.image` names, to be used in a `with` block.

    Nothing is asked yet, and no login is looked for before the registry wants one.
    """
    return Repository(settings)


def patiently(ask: Callable[[], T]) -> T:
    """Return what `ask` returns; a busy registry is asked again after a pause, twice.

    The pause is what the registry asks for (`Retry-After` in seconds) up to `LONGEST_PAUSE`.
    No other error is worth another try: what is refused or unknown stays so.

    Raises:
        RegistryError: As `ask` does.
    """
    for pause in PAUSES:
        try:
            return ask()
        except BusyError as exc:
            time.sleep(min(pause if exc.wait is None else exc.wait, LONGEST_PAUSE))
    return ask()


class Repository:
    """One repository of a registry. Its methods raise RegistryError.

    Attributes:
        image: Registry and repository, as in references.
    """

    def __init__(self, settings: Settings) -> None:
        self.image = settings.image
        self._host, self._name = settings.registry, settings.repository
        self._base = address.base(settings.registry)
        self._session = http.session(settings)
        self._keys = Keys(
            self._session,
            base=self._base,
            host=self._host,
            find_login=lambda: credentials.of(settings),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def digest(self, reference: str) -> str | None:
        """Return what a tag or digest names now; None where the registry has no such thing.

        Raises:
            RegistryError: Unreachable, refused or out of order; or other content than asked for.
        """
        answer = self._ask("HEAD", f"manifests/{reference}", self._ref(reference), headers=ACCEPT)
        if answer.status == UNKNOWN:
            return None
        self._expect_fine(answer, self._ref(reference))
        told = answer.headers.get("Docker-Content-Digest", "")
        if not DIGEST.fullmatch(told):  # it may send none
            manifest = self.manifest(reference)
            return None if manifest is None else manifest.digest
        self._expect(told, reference if _is_digest(reference) else told, self._ref(reference))
        return told

    def manifest(self, reference: str) -> Manifest | None:
        """Return what a tag or digest names, hashed; None where the registry has no such thing.

        Raises:
            RegistryError: Unreachable, refused or out of order; other content than asked for or
                than the registry says; or no manifest.
        """
        ref = self._ref(reference)
        answer = self._ask("GET", f"manifests/{reference}", ref, headers=ACCEPT)
        if answer.status == UNKNOWN:
            return None
        self._expect_fine(answer, ref)
        digest = digest_of(answer.content)
        for wanted in (reference, answer.headers.get("Docker-Content-Digest", "")):
            self._expect(digest, wanted if _is_digest(wanted) else digest, ref)
        return read(answer.content, answer.headers.get("Content-Type", ""))

    def blob(self, digest: str) -> bytes:
        """Return a small content (a configuration, an SBOM), hashed.

        Raises:
            RegistryError: Unreachable, refused, unknown, too large, or other content.
        """
        ref = self._ref(digest)
        answer = self._ask("GET", f"blobs/{digest}", ref, limit=BLOB_LIMIT)
        self._expect_fine(answer, ref)
        self._expect(digest_of(answer.content), digest, ref)
        return answer.content

    def put(self, tag: str, manifest: Manifest) -> None:
        """Make a tag name the manifest, whose content the registry must have, and look at it.

        Raises:
            RegistryError: Unreachable or refused, or the tag names something else afterwards.
        """
        ref = self._ref(tag)
        answer = self._ask(
            "PUT",
            f"manifests/{tag}",
            ref,
            push=True,
            headers={"Content-Type": manifest.media_type},
            data=manifest.content,
        )
        self._expect_fine(answer, ref)
        there = self.digest(tag)
        if there != manifest.digest:
            raise RegistryError(
                f"{ref} names {there or 'nothing'} after the push of {manifest.digest}.",
                hint="Somebody else may have pushed at the same time: push again.",
            )

    def prove_pull(self) -> None:
        """Ask for a tag, there or not: may we pull?

        Raises:
            RegistryError: Unreachable or refused.
        """
        self.digest("latest")

    def prove_push(self) -> None:
        """Begin an upload and take it back: may we push?

        Raises:
            RegistryError: Unreachable or refused.
        """
        what = f"a push to {self.image}"
        answer = self._ask("POST", "blobs/uploads/", what, push=True)
        if answer.status != ACCEPTED:
            raise self._problem(answer, what)
        where = urlsplit(address.joined(answer.url, answer.headers.get("Location", "")))
        _, found, upload = where.path.rpartition("/uploads/")
        if where.netloc != urlsplit(self._base).netloc or not (found and upload):
            return  # elsewhere our login has no business; an upload ends by itself
        scheme = urlsplit(self._base).scheme  # it may not know of the TLS in front of it
        with suppress(RegistryError):  # the right is proven; not every registry can take it back
            self._ask("DELETE", urlunsplit(where._replace(scheme=scheme)), what, push=True)

    def _ref(self, reference: str) -> str:
        return f"{self.image}{'@' if _is_digest(reference) else ':'}{reference}"

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        push: bool = False,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit: int = http.LIMIT,
    ) -> Answer:
        url = path if "://" in path else f"{self._base}/v2/{self._name}/{path}"
        scope = f"repository:{self._name}:{'pull,push' if push else 'pull'}"

        def once() -> Answer:
            return http.ask(
                self._session,
                method,
                url,
                what=what,
                headers=headers,
                authorization=self._keys.header(scope),
                data=data,
                limit=limit,
            )

        answer = patiently(once)
        if answer.status == NO_LOGIN and address.origin(answer.url) == address.origin(self._base):
            challenge = answer.headers.get("WWW-Authenticate", "")
            patiently(lambda: self._keys.open(challenge, scope, what))
            answer = patiently(once)
        if answer.status in REFUSED:
            raise http.refusal(self._host, what, self._said(answer))
        return answer

    def _expect_fine(self, answer: Answer, what: str) -> None:
        if answer.status not in FINE:
            raise self._problem(answer, what)

    def _problem(self, answer: Answer, what: str) -> RegistryError:
        if answer.status == UNKNOWN:
            return RegistryError(
                f"The registry {self._host} has no place for {what}, or not all of its content.",
                hint=f"Does {self.image} exist there? The settings registry and repository name "
                "it; `invoke push` puts the content there.",
                details=self._said(answer),
            )
        return RegistryError(
            f"The registry {self._host} answered HTTP status {answer.status} for {what}.",
            hint=f"Is {self._host} what the setting `registry` should be?",
            details=self._said(answer),
        )

    def _expect(self, found: str, wanted: str, ref: str) -> None:
        if found != wanted:
            raise RegistryError(
                f"The registry {self._host} has other content for {ref} than it should be: "
                f"{found} instead of {wanted}.",
                hint="Something on the way, or in the registry, changed it. Do not use it; "
                "tell whoever looks after the registry.",
            )

    def _said(self, answer: Answer) -> str:
        """Return the registry's own words, without control characters and what is secret."""
        try:
            errors = json.loads(answer.content)["errors"]
            said = "; ".join(f"{each['code']}: {each.get('message', '')}" for each in errors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return f"HTTP status {answer.status}"
        said = re.sub(r"[^\x20-\x7e]+", " ", said)
        return f"HTTP status {answer.status}: {self._keys.hide_in(said)[:DETAILS]}"


def _is_digest(reference: str) -> bool:
    return DIGEST.fullmatch(reference) is not None
