"""The base images: pulled, or built as stand-ins where no image registry answers.

A stand-in has the official image's name and behaves as it does in what this
project uses (docs/host.md lists the limits). It is made of Debian packages by the
recipes in images/, and labelled `pipeline.stand-in=true`. Only the scanner's program
is a wheel: pip's way to an index, where this machine has one of its own, goes along.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, EngineError, UnavailableError, UsageError
from pipeline.host import apt, packages, pip, sudo
from pipeline.host.client import connect
from pipeline.host.consent import Confirm, Report, agree
from pipeline.host.probes import http_answers
from pipeline.settings import Settings

__all__ = ["BASES", "ensure_bases", "missing_bases"]

# Image: its recipe in images/.
BASES: Mapping[str, str] = {
    "python:3.11-slim": "python",
    "postgres:15": "postgres",
    "haproxy:2.6": "haproxy",
    "registry:2": "registry",
    "docker/buildkit-syft-scanner:stable-1": "sbom",  # what a build makes its SBOM with
}
IMAGE_REGISTRY = "https://registry-1.docker.io/v2/"
STAND_IN = "pipeline.stand-in"
CODENAME = "bookworm"  # has Python 3.11, PostgreSQL 15 and HAProxy 2.6
FOUNDATION = f"pipeline/debian:{CODENAME}"  # what all stand-ins are built on
RECIPES = Settings.root / "images"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
TOOL = "mmdebstrap"
PULL_SECONDS = 300.0
BUILD_SECONDS = 600.0


def missing_bases() -> tuple[str, ...]:
    """Return the base images that the engine does not have.

    Raises:
        EngineError: The engine does not answer.
    """
    import docker.errors

    def there(name: str) -> bool:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
        return True

    with connect() as client:
        return tuple(name for name in BASES if not there(name))


def ensure_bases(*, yes: bool, interactive: bool, confirm: Confirm, report: Report) -> None:
    """Make sure that the engine has every base image; do nothing where it has.

    Args:
        yes: Pull, install and build without asking.
        interactive: Somebody is at a terminal.
        confirm: Asks that person.
        report: Gets one line for each thing done.

    Raises:
        UsageError: Something is missing and nobody agreed to it.
        UnavailableError: It could be neither pulled nor built.
    """
    missing = missing_bases()
    if not missing:
        report("Base images are all here")
        return
    pullable = _registry_answers()
    names = ", ".join(missing)
    steps = [f"base images {names}: pull them (where that fails: stand-ins of Debian packages)"]
    by_sudo = False
    if not pullable:
        steps = [
            f"base images {names}: no image registry answers, build stand-ins under these names"
        ]
        steps += [] if shutil.which(TOOL) else [f"{TOOL}, which makes them: install it with apt"]
        by_sudo = len(steps) > 1 and sudo.works(yes=yes)
        if len(steps) > 1 and os.geteuid() != 0 and not by_sudo:
            raise UsageError(
                f"Only root can set this machine up. It lacks: {'; '.join(steps)}.",
                hint="sudo ./bin/invoke host --yes",
            )
    agree(steps, yes=yes, interactive=interactive, confirm=confirm, report=report)
    if by_sudo:
        sudo.host(report=report)
        return
    if pullable:
        missing = tuple(name for name in missing if not _pull(name, report))
    if missing:
        _build(missing, report)


def build_argv(name: str, recipe: str, secrets: Mapping[str, Path]) -> list[str]:
    """Return the argv that builds the stand-in `name` from images/<recipe>.

    The network is the machine's own: what reaches the package mirror here reaches it there.
    """
    given = [f"--secret=id={key},src={path}" for key, path in secrets.items()]
    return [
        "docker", "buildx", "build", "--progress=plain", "--load", "--network=host", *given,
        f"--build-arg=BASE={FOUNDATION}", f"--label={STAND_IN}=true", f"--tag={name}",
        str(RECIPES / recipe),
    ]  # fmt: skip


def rootfs_argv(target: Path, options: Path, sources: Sequence[str]) -> list[str]:
    """Return the argv that makes Debian's smallest root file system, as the tar file `target`.

    The machine's own apt options (proxies, expiry) are for this run only, not for the image.
    """
    return [
        TOOL, "--variant=minbase", "--quiet", f"--aptopt={options}", "--dpkgopt=force-unsafe-io",
        '--customize-hook=rm "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        f"--customize-hook={RECIPES / 'base/slim'}", CODENAME, str(target), *sources,
    ]  # fmt: skip


def _registry_answers() -> bool:
    # An engine with a mirror or a proxy of its own may reach what we do not.
    with connect() as client:
        info = client.info()
    own_way = info.get("HttpsProxy") or info.get("RegistryConfig", {}).get("Mirrors")
    return bool(own_way) or http_answers(IMAGE_REGISTRY, any_status=True)


def _pull(name: str, report: Report) -> bool:
    began = time.monotonic()
    try:
        shell.run(["docker", "pull", "--quiet", name], timeout=PULL_SECONDS)
    except CommandError as exc:
        report(f"{name}: not pulled ({exc.details.rpartition(chr(10))[2] or exc.message})")
        return False
    report(f"{name}: pulled in {time.monotonic() - began:.1f} s")
    return True


def _build(names: Sequence[str], report: Report) -> None:
    distro = apt.this_distro()
    if distro.id != "debian":
        raise UnavailableError(
            f"{', '.join(names)}: cannot be pulled, and stand-ins are built on Debian only.",
            hint="Give the engine an image registry that it can reach (a mirror, a proxy).",
        )
    if not shutil.which(TOOL):
        try:
            apt.install([TOOL], distro=distro, key=None, report=report)
        except EngineError as exc:
            raise packages.explained(exc) from exc
    sources = apt.mirror_lines(apt.mirrors(), distro, CODENAME)
    if not sources:
        raise UnavailableError(
            f"apt knows no archive of Debian {distro.codename}, so stand-ins cannot be built.",
            hint="`apt-get update` must work on this machine.",
        )
    with tempfile.TemporaryDirectory(prefix="pipeline-bases-") as folder:
        options = Path(folder) / "apt.conf"
        ours = apt.run_apt(["apt-config", "dump", "--no-empty", "Acquire"], timeout=30.0)
        options.write_text(ours, encoding="utf-8")
        _found(Path(folder) / "rootfs.tar", options, sources, report)
        secrets = _secrets(options)
        with ThreadPoolExecutor(len(names)) as pool:
            for line in pool.map(lambda name: _stand_in(name, secrets), names):
                report(line)


def _secrets(options: Path) -> dict[str, Path]:
    # BuildKit secrets: options of apt and pip may hold passwords, and none belongs in an image.
    given = {"apt": options}
    if (index := pip.config(options.with_name("pip.conf"))) is not None:
        given["pip"] = index
    if CA_BUNDLE.exists():
        inside = options.with_name("inside.conf")
        trust = 'Acquire::https::CAInfo "/run/secrets/ca";\n'
        inside.write_text(options.read_text(encoding="utf-8") + trust, encoding="utf-8")
        given |= {"apt": inside, "ca": CA_BUNDLE}
    return given


def _found(tar: Path, options: Path, sources: Sequence[str], report: Report) -> None:
    began = time.monotonic()
    try:
        shell.run(rootfs_argv(tar, options, sources), timeout=BUILD_SECONDS)
        shell.run(
            ["docker", "import", f"--change=LABEL {STAND_IN}=true", str(tar), FOUNDATION],
            timeout=BUILD_SECONDS,
        )
    except CommandError as exc:
        raise UnavailableError(
            f"Debian {CODENAME} could not be unpacked for the stand-ins: {exc.message}",
            hint="The package mirror of this machine must be reachable.",
            details=exc.details,
        ) from exc
    report(f"{FOUNDATION}: made in {time.monotonic() - began:.1f} s")


def _stand_in(name: str, secrets: Mapping[str, Path]) -> str:
    began = time.monotonic()
    try:
        shell.run(build_argv(name, BASES[name], secrets), timeout=BUILD_SECONDS)
    except CommandError as exc:
        raise EngineError(
            f"The stand-in for {name} could not be built.",
            hint="Its build's last lines are below.",
            details=exc.details or exc.message,
        ) from exc
    return f"{name}: stand-in built in {time.monotonic() - began:.1f} s (not the official image)"
