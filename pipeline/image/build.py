"""From one commit, and never from the working tree, to an image on this host."""

import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError, UsageError
from pipeline.image import local, registry
from pipeline.image.commit import Commit, export
from pipeline.image.ref import Built, ImageRef, LocalImage, tags
from pipeline.settings import Settings

__all__ = ["build", "build_argv"]

Report = Callable[[str], None]


def build(settings: Settings, commit: Commit, *, no_cache: bool = False, report: Report) -> Built:
    """Make sure that this host has the image of `commit`, tagged.

    An image that is here already is kept, and one that the registry has is pulled: a
    commit's tag never moves, so a second image of the same commit could not be pushed.

    Args:
        settings: Image name, platforms, secrets, deadline.
        commit: What to build.
        no_cache: Build whatever is there, and from nothing.
        report: Told each line of the builder.

    Raises:
        UsageError: A configured file is missing.
        EngineError: No engine, no buildx, or the build failed.
    """
    started = time.monotonic()
    image = None if no_cache else _existing(settings, commit, report)
    if image is None:
        image = _build(settings, commit, no_cache=no_cache, report=report)
    names = tags(commit.sha, commit.version)
    for name in names:
        local.tag(image, name)
    return Built(
        sha=commit.sha,
        digest=image.digest,
        tags=names,
        platforms=(image.platform,),
        size=image.size,
        seconds=round(time.monotonic() - started, 3),
    )


def build_argv(
    settings: Settings,
    commit: Commit,
    context: Path,
    *,
    no_cache: bool = False,
    secrets: Mapping[str, Path] | None = None,
) -> list[str]:
    """Return the builder's command line.

    Args:
        settings: Image name and platforms.
        commit: What the labels say.
        context: The commit's files.
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
    argv = ["docker", "buildx", "build", "--load", "--progress=plain"]
    argv += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    argv += [f"--secret=id={name},src={path}" for name, path in (secrets or {}).items()]
    argv += [f"--platform={settings.platforms}"] if settings.platforms else []
    argv += ["--no-cache"] if no_cache else []
    argv += [f"--tag={ImageRef(name=settings.image, tag=commit.sha)}", str(context)]
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


def _build(settings: Settings, commit: Commit, *, no_cache: bool, report: Report) -> LocalImage:
    secrets = _secrets(settings)
    ref = ImageRef(name=settings.image, tag=commit.sha)
    report(f"Building {ref}")
    with tempfile.TemporaryDirectory(prefix=f"{settings.app}-build-") as folder:
        context = export(commit.sha, Path(folder), root=settings.root)
        argv = build_argv(settings, commit, context, no_cache=no_cache, secrets=secrets)
        try:
            shell.run(
                argv,
                timeout=settings.build_timeout,
                on_line=lambda line: report(line) if line else None,
            )
        except CommandError as exc:
            cause = exc.message if exc.code is None else f"the builder ended with {exc.code}."
            raise EngineError(
                f"The image of commit {commit.sha[:12]} could not be built: {cause}",
                hint="The builder's last lines name the step; `invoke host` makes sure of buildx "
                "and the base images.",
                details=exc.details,
            ) from exc
    image = local.inspect(ref)
    if image is None or image.revision != commit.sha:
        raise EngineError(
            f"The build left no image that is labelled with commit {commit.sha[:12]}.",
            hint=f"The Dockerfile must set the label {local.REVISION} to its argument REVISION.",
        )
    return image


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
