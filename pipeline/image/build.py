"""From one commit, and never from the working tree, to an image on this host."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError, UsageError
from pipeline.image import credentials, local, registry, space
from pipeline.image.commit import Commit, export
from pipeline.image.ref import Built, ImageRef, LocalImage, part_tag, tags
from pipeline.image.turn import turn
from pipeline.settings import Settings

__all__ = ["build", "build_argv", "build_files", "part_of"]

Report = Callable[[str], None]


def build(
    settings: Settings,
    commit: Commit,
    *,
    no_cache: bool = False,
    part: str = "",
    report: Report,
) -> Built:
    """Make sure that this host has the image of `commit`, tagged.

    An image that is here already is kept, and one that the registry has is pulled: a
    commit's tag never moves, so a second image of the same commit could not be pushed.
    Where platforms are named, the builder itself knows what it has of them.

    Args:
        settings: Image name, platforms, secrets, cache, login, deadline.
        commit: What to build.
        no_cache: Build whatever is there, and from nothing.
        part: The one platform whose image `registry.merge` is to get; tagged for that only.
        report: Told each line of the builder.

    Raises:
        UsageError: A configured file is missing.
        EngineError: No engine, no buildx, no space for it, or the build failed.
    """
    started = time.monotonic()
    names = (part_tag(commit.sha, part),) if part else tags(commit.sha, commit.version)
    image = None
    if not (no_cache or settings.platforms):
        image = _existing(settings, commit, report)
    if image is None:
        image = _build(settings, commit, tag=names[0], no_cache=no_cache, report=report)
    for name in names[1:]:
        local.tag(image, name)
    return _built(settings, image, names, started)


def build_files(
    settings: Settings, commit: Commit, tree: str, *, no_cache: bool = False, report: Report
) -> Built:
    """Build the files as they are, for a look at them; nothing of it can be pushed as a commit.

    Args:
        settings: As `build`.
        commit: What the files began as.
        tree: Git's hash of them.
        no_cache: Build from nothing.
        report: Told each line of the builder.

    Raises:
        UsageError: A configured file is missing.
        EngineError: No engine, no buildx, no space for it, or the build failed.
    """
    started = time.monotonic()
    changed = replace(commit, sha=f"{commit.sha}-dirty", version="")
    name = f"dirty-{tree[:12]}"
    image = _build(settings, changed, tag=name, tree=tree, no_cache=no_cache, report=report)
    return _built(settings, image, (name,), started)


def part_of(settings: Settings) -> str:
    """Return the one platform that a part is for.

    Raises:
        UsageError: None is named, or several.
    """
    if not settings.platforms or "," in settings.platforms:
        raise UsageError(
            f"A part is the image of one platform, not of {settings.platforms or 'none'!r}.",
            hint="Name it: `invoke build --platforms linux/arm64 --push --part`.",
        )
    return settings.platforms


def build_argv(
    settings: Settings,
    commit: Commit,
    context: Path,
    *,
    tag: str = "",
    no_cache: bool = False,
    secrets: Mapping[str, Path] | None = None,
) -> list[str]:
    """Return the builder's command line.

    Args:
        settings: Image name, platforms, cache.
        commit: What the labels say.
        context: The commit's files.
        tag: Name of the image; default: the commit.
        no_cache: Build from nothing.
        secrets: Files to mount during the build, by BuildKit's secret id; no layer has them.
    """
    arguments = {
        "REVISION": commit.sha,
        "CREATED": commit.committed_at,
        "VERSION": commit.version,
        "SOURCE": commit.source,
        "MIGRATIONS": commit.migrations,
        # BuildKit's own: the image's dates are the commit's, not those of the machine.
        "SOURCE_DATE_EPOCH": str(int(datetime.fromisoformat(commit.committed_at).timestamp())),
    }
    argv = ["docker", "buildx", "build", "--progress=plain"]
    # How it was made, and of what: kept beside the image in its manifest list.
    argv += ["--attest=type=provenance,mode=max", "--attest=type=sbom"]
    argv += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    argv += [f"--secret=id={name},src={path}" for name, path in (secrets or {}).items()]
    argv += [f"--platform={settings.platforms}"] if settings.platforms else []
    if settings.build_cache:
        where = f"type=registry,ref={settings.build_cache}"
        argv += [f"--cache-from={where}", f"--cache-to={where},mode=max"]
    argv += ["--no-cache"] if no_cache else []
    argv += [f"--tag={ImageRef(name=settings.image, tag=tag or commit.sha)}", str(context)]
    return argv


def _existing(settings: Settings, commit: Commit, report: Report) -> LocalImage | None:
    ref = ImageRef(name=settings.image, tag=commit.sha)
    image = local.inspect(ref)
    if image is not None and image.revision == commit.sha:
        report(f"{ref} is here already; nothing to build.")
        return image
    try:
        return registry.ensure_local(settings, commit.sha, report)
    except RegistryError as exc:  # a build needs no registry
        report(f"{exc.message} Building here.")
        return None


def _build(
    settings: Settings,
    commit: Commit,
    *,
    tag: str,
    tree: str = "",
    no_cache: bool,
    report: Report,
) -> LocalImage:
    secrets = _secrets(settings)
    space.for_build(settings.image)
    ref = ImageRef(name=settings.image, tag=tag)
    report(f"Building {ref}")
    with (
        tempfile.TemporaryDirectory(prefix=f"{settings.app}-build-") as folder,
        credentials.lent(settings) as login,
        turn(wait=settings.build_timeout, report=report),
    ):
        context = export(tree or commit.sha, Path(folder), root=settings.root)
        argv = build_argv(settings, commit, context, tag=tag, no_cache=no_cache, secrets=secrets)
        try:
            shell.run(
                argv,
                timeout=settings.build_timeout,
                env=login,
                on_line=lambda line: report(line) if line else None,
                secrets=[settings.registry_password],
            )
        except CommandError as exc:
            raise _failed(exc, commit) from exc
    image = local.inspect(ref)
    if image is None or image.revision != commit.sha:
        raise EngineError(
            f"The build left no image that is labelled with commit {commit.sha[:12]}.",
            hint=f"The Dockerfile must set the label {local.REVISION} to its argument REVISION.",
        )
    return image


def _failed(exc: CommandError, commit: Commit) -> EngineError:
    if not local.attests():
        return EngineError(
            "The engine's image store keeps neither attestations nor several platforms.",
            hint="`invoke host --yes` (as root) turns on the one that does: the containerd image "
            "store.",
            details=exc.details,
        )
    cause = exc.message if exc.code is None else f"the builder ended with {exc.code}."
    return EngineError(
        f"The image of commit {commit.sha[:12]} could not be built: {cause}",
        hint="The builder's last lines name the step; `invoke host` makes sure of buildx "
        "and the base images.",
        details=exc.details,
    )


def _built(settings: Settings, image: LocalImage, names: tuple[str, ...], started: float) -> Built:
    return Built(
        sha=image.revision,
        digest=image.digest,
        tags=names,
        platforms=tuple(settings.platforms.split(",")) if settings.platforms else (image.platform,),
        size=image.size,
        seconds=round(time.monotonic() - started, 3),
    )


def _secrets(settings: Settings) -> dict[str, Path]:
    """Return the files to mount: optional by default, required where somebody named them."""
    found = {}
    for name, path, default in (
        ("ca", settings.ca_bundle, Settings.ca_bundle),
        ("pip", settings.pip_config, Settings.pip_config),
    ):
        if path.is_file():
            found[name] = path
        elif path not in {default, Path()}:
            raise UsageError(
                f"The file {path} for the build does not exist.",
                hint="`invoke doctor` shows where the settings ca_bundle and pip_config come from.",
            )
    return found
