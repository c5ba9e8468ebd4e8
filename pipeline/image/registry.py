"""The image registry: login, push, the digest behind a tag, pull by digest.

The engine speaks to the registry, not we: what is asked has the same address,
login, proxy and certificates as the pull that follows. A commit's tag never
moves, so an image that is here under it needs no registry.
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError, UsageError
from pipeline.image import local
from pipeline.image.commit import Commit
from pipeline.image.ref import Built, ImageRef, LocalImage, tags
from pipeline.settings import Settings

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["ensure_local", "login", "push", "remote_digest"]

Report = Callable[[str], None]
T = TypeVar("T")

ANSWER_TIMEOUT = 20  # seconds for a question that a healthy registry answers at once
PAUSES = (1.0, 3.0)  # seconds before another try where the registry is busy


class _BusyError(RegistryError):
    """The registry limits our rate or fails on its side: worth another try."""


def login(settings: Settings, report: Report) -> None:
    """Log in to the registry; the engine's configuration keeps the login.

    Raises:
        UsageError: No user or no password is set.
        RegistryError: Refused, or the registry does not answer.
    """
    host, user = settings.registry, settings.registry_user
    if not (user and settings.registry_password):
        raise UsageError(
            f"A login to {host} needs a user and a password.",
            hint="Set PIPELINE_REGISTRY_USER and PIPELINE_REGISTRY_PASSWORD.",
        )
    try:
        shell.run(
            ["docker", "login", "--username", user, "--password-stdin", host],
            timeout=ANSWER_TIMEOUT,
            stdin=settings.registry_password,
            secrets=[settings.registry_password],
        )
    except CommandError as exc:
        raise _refusal(exc, f"a login as {user}", host) from exc
    report(f"Logged in to {host} as {user}.")


def push(settings: Settings, commit: Commit, report: Report) -> Built:
    """Push the commit's image under all its tags, and read back what they name.

    Returns:
        What was pushed, with its digest.

    Raises:
        EngineError: This host has no image of the commit.
        RegistryError: Refused; the commit's tag names other content; or a tag names
            something else afterwards.
    """
    started = time.monotonic()
    ref = ImageRef(name=settings.image, tag=commit.sha)
    image = local.inspect(ref)
    if image is None or image.revision != commit.sha:
        raise EngineError(
            f"This host has no image of commit {commit.sha[:12]}.",
            hint=f"`invoke build --sha {commit.sha}` makes it.",
        )
    names = tags(commit.sha, commit.version)
    for name in names:
        _push_tag(settings, image, name, report)
    pushed = local.inspect(ref) or image
    _compare(pushed, names)
    return Built(
        sha=commit.sha,
        digest=pushed.digest,
        tags=names,
        platforms=(pushed.platform,),
        size=pushed.size,
        seconds=round(time.monotonic() - started, 3),
    )


def ensure_local(
    settings: Settings, sha: str, report: Report, *, reference: str = ""
) -> LocalImage:
    """Return the commit's image, by digest, pulling it where this host has not got it.

    Args:
        settings: Image name and deadline.
        sha: The commit.
        report: Told of a pull.
        reference: `name@sha256:...` of an earlier release, which is then taken as it is;
            default: what the registry has under the commit's tag.

    Raises:
        UsageError: `reference` is not one.
        EngineError: No engine answers.
        RegistryError: Unknown, unreachable, refused, or not an image of that commit.
    """
    tagged = ImageRef(name=settings.image, tag=sha)
    wanted = ImageRef.parse(reference) if reference else tagged
    image = local.inspect(wanted)
    if image is None or not image.digest or image.revision != sha:
        image = _pull(wanted if wanted.digest else _published(tagged), settings, report)
    if image.revision != sha:
        raise RegistryError(
            f"{image.reference} is not an image of commit {sha[:12]}: "
            f"its label names {image.revision[:12] or 'none'}.",
            hint="Whoever pushed it did so by hand. Remove the tag in the registry, then "
            f"`invoke build --sha {sha}` and `invoke push --sha {sha}`.",
        )
    if not wanted.digest:
        local.tag(image, sha)
    return image


def remote_digest(ref: ImageRef) -> str | None:
    """Return what `ref` names in its registry now; None where the registry has no such image.

    Raises:
        EngineError: No engine answers.
        RegistryError: Unreachable or refused; a busy registry is asked again first.
    """
    return _patiently(lambda: _ask(ref))


def _push_tag(settings: Settings, image: LocalImage, name: str, report: Report) -> None:
    ref = ImageRef(name=image.name, tag=name)
    there = remote_digest(ref)
    if there in image.digests:
        report(f"{ref} is in the registry already.")
        return
    if there is not None and name == image.revision:
        raise RegistryError(
            f"{ref} is in the registry already, with other content; a commit's tag never moves.",
            hint=f"`invoke deploy --sha {name}` takes the registry's; new content needs a commit.",
        )
    local.tag(image, name)
    report(f"Pushing {ref}")
    try:  # the engine itself tries again where the registry is busy
        shell.run(["docker", "push", str(ref)], timeout=settings.push_timeout, on_line=report)
    except CommandError as exc:
        raise _refusal(exc, str(ref), ref.registry) from exc


def _compare(image: LocalImage, names: tuple[str, ...]) -> None:
    """Ask for every tag: a push that failed inside its stream is found here."""
    for name in names:
        ref = ImageRef(name=image.name, tag=name)
        there = remote_digest(ref)
        if there not in image.digests:
            raise RegistryError(
                f"{ref} names {there or 'nothing'} after the push of {image.digest or image.id}.",
                hint="Somebody else may have pushed at the same time: push again.",
            )


def _published(ref: ImageRef) -> ImageRef:
    digest = remote_digest(ref)
    if digest is None:
        raise RegistryError(
            f"The registry {ref.registry} has no {ref}.",
            hint=f"`invoke push --sha {ref.tag}` puts it there, after `invoke build`.",
        )
    return ImageRef(name=ref.name, digest=digest)


def _pull(ref: ImageRef, settings: Settings, report: Report) -> LocalImage:
    report(f"Pulling {ref}")

    def pull() -> None:
        try:
            shell.run(["docker", "pull", "--quiet", str(ref)], timeout=settings.push_timeout)
        except CommandError as exc:
            raise _refusal(exc, str(ref), ref.registry) from exc

    _patiently(pull)
    image = local.inspect(ref)
    if image is None:
        raise RegistryError(f"The engine has no {ref} after its pull.", hint="Pull it by hand.")
    return image


def _patiently(ask: Callable[[], T]) -> T:
    for pause in PAUSES:
        try:
            return ask()
        except _BusyError:
            time.sleep(pause)
    return ask()


def _ask(ref: ImageRef) -> str | None:
    from docker.errors import APIError, NotFound
    from requests.exceptions import RequestException

    client = _client()
    try:
        return client.images.get_registry_data(str(ref)).id
    except NotFound:
        return None
    except (APIError, RequestException) as exc:
        raise _refusal(exc, str(ref), ref.registry) from exc
    finally:
        client.close()


def _client() -> "DockerClient":
    import docker
    from docker.errors import DockerException

    try:
        return docker.from_env(timeout=ANSWER_TIMEOUT)
    except DockerException as exc:
        raise EngineError(
            "No Docker Engine answers.",
            hint="`invoke host` finds out why, and installs or starts one.",
            details=str(exc),
        ) from exc


# The engine (26 and older) answers 500 whatever the registry said, so the words are all there
# is: the error codes of the distribution specification, and Go's status lines. They choose
# between hints and whether to try again, nothing else.
_BUSY = re.compile(r"toomanyrequests|too many requests|HTTP status: (?:429|5\d\d)", re.IGNORECASE)
_LOGIN = re.compile(r"unauthorized|no basic auth credentials|denied|forbidden", re.IGNORECASE)


def _refusal(exc: Exception, what: str, host: str) -> RegistryError:
    said = exc.details or exc.message if isinstance(exc, CommandError) else _said(exc)
    last = (said.splitlines() or [""])[-1]
    if _BUSY.search(said):
        return _BusyError(
            f"The registry {host} is busy or out of order.",
            hint="Try again in a minute.",
            details=said,
        )
    if _LOGIN.search(said):
        return RegistryError(
            f"The registry {host} refused {what}.",
            hint="Set PIPELINE_REGISTRY_USER and PIPELINE_REGISTRY_PASSWORD to a user who has that "
            "right, then `invoke login`.",
            details=said,
        )
    return RegistryError(
        f"The registry {host} could not be asked for {what}: {last}",
        hint=f"Is it running, and is {host} what the setting `registry` should be?",
    )


def _said(exc: Exception) -> str:
    return str(getattr(exc, "explanation", None) or exc)
