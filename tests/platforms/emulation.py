"""Programs of another platform on this machine: an emulator, and a base image that has both.

What is found here is used as it is. What is missing is made of Debian's packages, in the way of
`invoke host`; it takes root, or sudo without a password.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.host import apt, bases
from tests.e2e.support import machine
from tests.e2e.support.registry import Registry

NATIVE, FOREIGN = "linux/amd64", "linux/arm64"
PLATFORMS = (NATIVE, FOREIGN)
MACHINES = {NATIVE: "x86_64", FOREIGN: "aarch64"}  # what their kernels are called

OFFICIAL = "python:3.11-slim"
STAND_IN = "pipeline/python:3.11-arm64"  # what stands in for it where no image registry answers
FOUNDATION = f"{bases.FOUNDATION}-arm64"

HANDLERS = Path("/proc/sys/fs/binfmt_misc")
PACKAGE = "qemu-user-static"
RECIPE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")  # the package's: how to know such a program
ARM64 = "7f454c460201010000000000000000000200b700"  # how each of its programs begins
PROBE = "arch-test"  # mmdebstrap asks it whether it can run what it unpacks

UNPACK_SECONDS = 1200.0  # dpkg emulated, on a busy machine


@contextmanager
def emulated() -> Iterator[None]:
    """Have the kernel run arm64 programs while the `with` block runs; in containers, too.

    A package that it takes stays installed.
    """
    assert platform.machine() == MACHINES[NATIVE], f"{FOREIGN} is emulated on {NATIVE} only"
    with ExitStack() as stack:
        if not (HANDLERS / "register").exists():
            stack.enter_context(_mounted())
        if not _handled():
            _installed(PACKAGE, there=RECIPE.exists())
        if not _handled():  # where systemd runs, the package has seen to it
            stack.enter_context(_registered())
        # The builder looks anew when it is asked what it can do, and at no other time.
        found = machine.docker("buildx", "inspect")
        assert FOREIGN in found, f"the builder does not see the emulator:\n{found}"
        yield


def base_image(registry: Registry, config: Path) -> str:
    """Return a reference of Python's image that the builder finds both platforms under.

    That is the official image where an image registry answers. Otherwise stand-ins are put
    together in `registry`; the one for arm64 stays on this engine for the next time.

    Args:
        registry: Gets the stand-ins.
        config: A Docker configuration that has a login for it.
    """
    if bases._registry_answers():
        return OFFICIAL
    if not machine.docker("images", "--quiet", STAND_IN):
        _make_stand_in()
    env = os.environ | {"DOCKER_CONFIG": str(config)}
    name = f"{registry.host}/base/python"
    parts = {f"{name}:amd64": OFFICIAL, f"{name}:arm64": STAND_IN}
    for part, image in parts.items():
        machine.docker("tag", image, part)
        try:
            machine.docker("push", "--quiet", part, timeout=300, env=env)
        finally:
            machine.docker("rmi", part)
    machine.docker("buildx", "imagetools", "create", "--tag", f"{name}:3.11", *parts, env=env)
    return f"{name}:3.11"


def _handled() -> bool:
    # F: the emulator is open already, so that containers need not have it.
    files = [path for path in HANDLERS.iterdir() if path.name not in {"register", "status"}]
    handlers = [path.read_text(encoding="utf-8") for path in files]
    return any(
        text.startswith("enabled")
        and ARM64 in text
        and re.search(r"^flags:.*F", text, re.MULTILINE)
        for text in handlers
    )


@contextmanager
def _mounted() -> Iterator[None]:
    _privileged("mount", "-t", "binfmt_misc", "binfmt_misc", str(HANDLERS))
    try:
        yield
    finally:
        _privileged("umount", str(HANDLERS))


@contextmanager
def _registered() -> Iterator[None]:
    (line,) = RECIPE.read_text(encoding="ascii").split()
    name, flags = line.split(":")[1], line.rpartition(":")[2]
    _privileged("tee", str(HANDLERS / "register"), given=line + ("" if "F" in flags else "F"))
    try:
        yield
    finally:
        _privileged("tee", str(HANDLERS / name), given="-1")


def _make_stand_in() -> None:
    """Make the arm64 image as `invoke host` makes the one of this machine's platform."""
    _installed(bases.TOOL, there=bool(shutil.which(bases.TOOL)))
    _installed(PROBE, there=bool(shutil.which(PROBE)))
    sources = apt.mirror_lines(apt.mirrors(), apt.this_distro(), bases.CODENAME)
    assert sources, "apt knows no archive of Debian, so no stand-in can be made"
    with tempfile.TemporaryDirectory(prefix="platforms-") as folder:
        options, tar = Path(folder) / "apt.conf", Path(folder) / "rootfs.tar"
        ours = apt.run_apt(["apt-config", "dump", "--no-empty", "Acquire"], timeout=30)
        options.write_text(ours, encoding="utf-8")
        tool, *arguments = bases.rootfs_argv(tar, options, sources)
        _privileged(tool, "--architectures=arm64", *arguments)
        label = f"--change=LABEL {bases.STAND_IN}=true"
        machine.docker(
            *("import", "--platform", FOREIGN, label, str(tar), FOUNDATION), timeout=UNPACK_SECONDS
        )
        try:
            _build_stand_in(bases._secrets(options))
        finally:
            machine.docker("rmi", FOUNDATION)


def _build_stand_in(secrets: dict[str, Path]) -> None:
    docker, *argv = bases.build_argv(STAND_IN, bases.BASES[OFFICIAL], secrets)
    assert docker == "docker"
    native = f"--build-arg=BASE={bases.FOUNDATION}"
    assert native in argv
    argv[argv.index(native)] = f"--build-arg=BASE={FOUNDATION}"
    argv.insert(-1, f"--platform={FOREIGN}")
    plain = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    machine.docker(*argv, timeout=UNPACK_SECONDS, env=plain)


def _installed(package: str, *, there: bool) -> None:
    if not there:
        quiet = ("env", "DEBIAN_FRONTEND=noninteractive")
        _privileged(*quiet, "apt-get", "update", "-q")
        _privileged(*quiet, *apt.install_argv([package]))


def _privileged(*argv: str, given: str = "") -> None:
    sudo = () if os.geteuid() == 0 else ("sudo", "--non-interactive")
    ran = subprocess.run(
        [*sudo, *argv],
        input=given,
        capture_output=True,
        text=True,
        timeout=UNPACK_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, (
        f"{' '.join(argv)}: {ran.stderr.strip()}. It takes root: run this as root, or as"
        " somebody who may use sudo without a password."
    )
