"""The image registry: rights, push, what a tag names, and an image on this host by digest.

The engine moves the content, and the registry is asked by us what arrived. Content first,
names last: `latest` and versions move only once the registry has what was built.
"""

import time
from collections.abc import Callable, Sequence

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError, UsageError
from pipeline.image import local, manifests, space, transfer
from pipeline.image.about import config_of, same_content
from pipeline.image.commit import Commit
from pipeline.image.distribution import Repository, connect
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.manifests import Manifest
from pipeline.image.ref import Built, ImageRef, LocalImage, part_tag, tags
from pipeline.settings import Settings

__all__ = ["ensure_local", "login", "merge", "prove", "push", "remote_digest"]

Report = Callable[[str], None]

LOGIN_SECONDS = 20


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
            timeout=LOGIN_SECONDS,
            stdin=settings.registry_password,
            secrets=[settings.registry_password],
        )
    except CommandError as exc:
        said = exc.details or exc.message
        raise transfer.understood(said, f"a login as {user}", host) from exc
    report(f"Logged in to {host} as {user}.")


def prove(settings: Settings) -> None:
    """Make sure that we may pull and push, before anything is built for it.

    Raises:
        RegistryError: A right is missing, or the registry does not answer.
    """
    with connect(settings) as repository:
        repository.prove_pull()
        repository.prove_push()


def push(settings: Settings, commit: Commit, report: Report, *, part: str = "") -> Built:
    """Push the commit's image, see that it arrived, then give it its other names.

    Args:
        settings: Image name, login, deadlines.
        commit: Whose image.
        report: Told of what is done.
        part: Platform: push only the image of it, for `merge`, under a name of its own.

    Returns:
        What the registry has now, with its digest.

    Raises:
        EngineError: This host has no image of the commit.
        RegistryError: Refused; the commit's tag names other content; or a tag names
            something else afterwards.
    """
    started = time.monotonic()
    names = (part_tag(commit.sha, part),) if part else tags(commit.sha, commit.version)
    ref = ImageRef(name=settings.image, tag=names[0])
    image = local.inspect(ref)
    if image is None or image.revision != commit.sha:
        raise EngineError(
            f"This host has no image of commit {commit.sha[:12]}{f' for {part}' * bool(part)}.",
            hint=f"`invoke build --sha {commit.sha}` makes it.",
        )
    with connect(settings) as repository:
        there = repository.digest(ref.tag)
        if there is not None and not _is(image, repository, there) and not part:
            raise _moved(ref)
        if there is None or (part and there != image.digest):
            there = _push_content(settings, image, ref, repository=repository, report=report)
        else:
            report(f"{ref} is in the registry already.")
        manifest = _name(repository, there, settings.image, names[1:], report=report)
    return Built(
        sha=commit.sha,
        digest=there,
        tags=names,
        platforms=manifest.platforms or (image.platform,),
        size=image.size,
        seconds=round(time.monotonic() - started, 3),
    )


def merge(settings: Settings, commit: Commit, platforms: Sequence[str], report: Report) -> Built:
    """Make one image of the parts that were pushed for each of `platforms`.

    Raises:
        RegistryError: A part is missing or of another commit; the commit's tag names other
            content; refused; or a tag names something else afterwards.
        UsageError: Two parts are for the same platform.
    """
    started = time.monotonic()
    ref = ImageRef(name=settings.image, tag=commit.sha)
    with connect(settings) as repository:
        parts = [_part(repository, settings, commit, each) for each in platforms]
        merged = manifests.merge(parts)
        there = repository.digest(ref.tag)
        if there is None:
            repository.put(ref.tag, merged)
            report(f"{ref} names {', '.join(merged.platforms)}.")
        elif there != merged.digest and not _same_images(repository, there, merged):
            raise _moved(ref)
        else:
            report(f"{ref} is in the registry already.")
        there = there or merged.digest
        names = tags(commit.sha, commit.version)
        manifest = _name(repository, there, settings.image, names[1:], report=report)
        size = sum(_size(repository, child.digest) for child in manifest.images)
    return Built(
        sha=commit.sha,
        digest=there,
        tags=names,
        platforms=manifest.platforms,
        size=size,
        seconds=round(time.monotonic() - started, 3),
    )


def ensure_local(
    settings: Settings, sha: str, report: Report, *, reference: str = ""
) -> LocalImage:
    """Return the commit's image, by digest, pulling it where this host has not got it.

    Args:
        settings: Image name, login, deadlines.
        sha: The commit.
        report: Told of a pull.
        reference: `name@sha256:...` of an earlier release, which is then taken as it is;
            default: what the registry has under the commit's tag. Where no registry answers,
            the image that this host has under it.

    Raises:
        UsageError: `reference` is not one.
        EngineError: No engine answers, or the image may not fit on its disk.
        RegistryError: Unknown, unreachable, refused, or not an image of that commit.
    """
    if reference:
        wanted = ImageRef.parse(reference)
    else:
        tagged = ImageRef(name=settings.image, tag=sha)
        try:
            wanted = _published(settings, tagged)
        except (NoAnswerError, BusyError) as exc:
            here = local.inspect(tagged)
            if here is None or here.revision != sha:
                raise
            report(f"{exc.message} Taking the image that is here.")
            return here
    image = local.inspect(wanted)
    if image is None or image.revision != sha:
        image = _pull(wanted, settings, report)
    if image.revision != sha:
        raise RegistryError(
            f"{image.reference} is not an image of commit {sha[:12]}: "
            f"its label names {image.revision[:12] or 'none'}.",
            hint="Whoever pushed it did so by hand. Remove the tag in the registry, then "
            f"`invoke build --sha {sha}` and `invoke push --sha {sha}`.",
        )
    engine = local.unlike_engine(image)
    if engine and image.platform not in settings.platforms.split(","):  # else: emulated, and meant
        raise RegistryError(
            f"{image.reference} is for {image.platform}, and this engine is {engine}.",
            hint=f"`invoke inspect --sha {sha}` names the platforms of an image; "
            f"`invoke build --sha {sha} --platforms {engine} --push` makes one for this engine.",
        )
    if not reference:
        local.tag(image, sha)
    return image


def remote_digest(settings: Settings, tag: str) -> str | None:
    """Return what a tag names in the registry now; None where it has no such image.

    Raises:
        RegistryError: Unreachable or refused; a busy registry is asked again first.
    """
    with connect(settings) as repository:
        return repository.digest(tag)


def _push_content(
    settings: Settings,
    image: LocalImage,
    ref: ImageRef,
    *,
    repository: Repository,
    report: Report,
) -> str:
    """Push, and ask: a push that failed inside its stream, or was overtaken, is found here."""
    started = time.monotonic()
    report(f"Pushing {ref}")
    transfer.push(settings, ref, report)
    there = repository.digest(ref.tag)
    if there is None or there != image.digest:
        raise RegistryError(
            f"{ref} names {there or 'nothing'} after the push of {image.digest}.",
            hint="Somebody else may have pushed at the same time: push again.",
        )
    report(f"Pushed {image.digest} in {time.monotonic() - started:.1f} s")
    return there


def _name(
    repository: Repository, digest: str, image: str, names: Sequence[str], *, report: Report
) -> Manifest:
    """Give the content its other names; return its manifest."""
    manifest = repository.manifest(digest)
    if manifest is None:
        raise RegistryError(
            f"The registry no longer has {image}@{digest}.",
            hint="Somebody may have removed it meanwhile: push again.",
        )
    for name in names:
        if repository.digest(name) == digest:
            report(f"{image}:{name} is in the registry already.")
        else:
            repository.put(name, manifest)
            report(f"{image}:{name} names it now.")
    return manifest


def _is(image: LocalImage, repository: Repository, digest: str) -> bool:
    """Tell whether the registry's content is ours: a rebuilt image differs in its attestations."""
    if digest == image.digest:
        return True
    there = repository.manifest(digest)
    children = [child.digest for child in there.images] if there is not None else []
    return any(same_content(image, config_of(repository, child)) for child in children or [digest])


def _same_images(repository: Repository, digest: str, wanted: Manifest) -> bool:
    there = repository.manifest(digest)
    return there is not None and _digests(there) == _digests(wanted)


def _digests(manifest: Manifest) -> set[str]:
    return {child.digest for child in manifest.images}


def _part(repository: Repository, settings: Settings, commit: Commit, platform: str) -> Manifest:
    ref = ImageRef(name=settings.image, tag=part_tag(commit.sha, platform))
    found = repository.manifest(ref.tag)
    if found is None:
        raise RegistryError(
            f"The registry {settings.registry} has no image of commit {commit.sha[:12]} for "
            f"{platform}: {ref} is missing.",
            hint=f"`invoke build --sha {commit.sha} --platforms {platform} --push --part` "
            "puts it there, on a machine of that kind.",
        )
    for child in found.images:
        revision = config_of(repository, child.digest).revision
        if revision != commit.sha:
            raise RegistryError(
                f"{ref} is not an image of commit {commit.sha[:12]}: its label names "
                f"{revision[:12] or 'none'}.",
                hint="Remove that tag in the registry, then build and push the part again.",
            )
    return found


def _size(repository: Repository, digest: str) -> int:
    manifest = repository.manifest(digest)
    return sum(layer.size for layer in manifest.layers) if manifest is not None else 0


def _published(settings: Settings, ref: ImageRef) -> ImageRef:
    digest = remote_digest(settings, ref.tag)
    if digest is None:
        raise RegistryError(
            f"The registry {ref.registry} has no {ref}.",
            hint=f"`invoke push --sha {ref.tag}` puts it there, after `invoke build`.",
        )
    return ImageRef(name=ref.name, digest=digest)


def _pull(ref: ImageRef, settings: Settings, report: Report) -> LocalImage:
    with connect(settings) as repository:
        space.for_pull(repository, ref)
    report(f"Pulling {ref}")
    transfer.pull(settings, ref, report)
    image = local.inspect(ref)
    if image is None:
        raise RegistryError(f"The engine has no {ref} after its pull.", hint="Pull it by hand.")
    return image


def _moved(ref: ImageRef) -> RegistryError:
    return RegistryError(
        f"{ref} is in the registry already, with other content; a commit's tag never moves.",
        hint=f"`invoke deploy --sha {ref.tag}` takes the registry's; new content needs a commit.",
    )
