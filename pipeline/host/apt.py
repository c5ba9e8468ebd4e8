"""Packages: where they come from, and their installation by apt.

Debian 12 has an engine but neither Compose v2 nor buildx; the next release has
both, and its builds run on Debian 12's C library. So `borrow()` adds that
release from the machine's own mirror, with pins that let exactly these packages
through: nothing else on the machine can be upgraded from it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.host.consent import Report
from pipeline.host.probes import http_answers, http_body

__all__ = [
    "DEBIAN_KEYRING",
    "DOCKER",
    "Distro",
    "Mirror",
    "Vendor",
    "distribution",
    "docker_key",
    "install",
    "mirror_lines",
    "mirrors",
    "origin",
    "run_apt",
    "this_distro",
]

OS_RELEASE = Path("/etc/os-release")
ETC = Path("/etc/apt")
KEYS = Path("/etc/apt/keyrings")
POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEMD = Path("/run/systemd/system")  # there exactly where systemd is PID 1
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
UPDATE_SECONDS = 300.0
INSTALL_SECONDS = 900.0

DOCKER_URL = "https://download.docker.com/linux"
# Docker Release (CE deb), fingerprint 9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88. The whole
# file is pinned, which takes no gpg: a key that was replaced means the distribution's packages.
DOCKER_KEY_SHA256 = "1500c1f56fa9e26b9b8f42452a553675796ade0807cdce11975eb98170b3a570"

LENDER = {"bookworm": "trixie"}  # releases without Compose v2 and buildx: who lends them
LENT = ("docker.io", "docker-cli", "docker-compose", "docker-buildx")


@dataclass(frozen=True, kw_only=True)
class Distro:
    """The system as /etc/os-release names it: `debian` and `bookworm`, for example."""

    id: str
    codename: str


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """Somebody whose packages make an engine.

    Attributes:
        name: For sentences.
        packages: By part: engine, client, compose, buildx.
    """

    name: str
    packages: Mapping[str, tuple[str, ...]]

    def needed(self, parts: Sequence[str]) -> tuple[str, ...]:
        """Return the packages that make `parts`, each once."""
        return tuple(dict.fromkeys(name for part in parts for name in self.packages[part]))


DOCKER = Vendor(
    name="Docker's own repository",
    packages={
        "engine": ("docker-ce", "containerd.io"),
        "client": ("docker-ce-cli",),
        "compose": ("docker-compose-plugin",),
        "buildx": ("docker-buildx-plugin",),
    },
)
DEBIAN = Vendor(
    name="Debian",
    packages={
        "engine": ("docker.io", "ca-certificates"),
        "client": ("docker-cli",),
        "compose": ("docker-compose",),
        "buildx": ("docker-buildx",),
    },
)
UBUNTU = Vendor(
    name="Ubuntu",
    packages={
        "engine": ("docker.io", "ca-certificates"),
        "client": ("docker.io",),
        "compose": ("docker-compose-v2",),
        "buildx": ("docker-buildx",),
    },
)


def this_distro() -> Distro:
    """Return what /etc/os-release says of this machine; empty where it says nothing."""
    text = OS_RELEASE.read_text(encoding="utf-8") if OS_RELEASE.exists() else ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    fields = {name: value.strip("\"'") for name, value in pairs}
    return Distro(id=fields.get("ID", ""), codename=fields.get("VERSION_CODENAME", ""))


def distribution(distro: Distro) -> Vendor | None:
    """Return whose packages this distribution installs; None where we know none."""
    return {"debian": DEBIAN, "ubuntu": UBUNTU}.get(distro.id)


def origin(vendor: Vendor, distro: Distro) -> str:
    """Return in words where `install()` takes the packages of `vendor` from."""
    lender = LENDER.get(distro.codename) if vendor is DEBIAN else None
    return f"{vendor.name} (docker's from {lender}, nothing else)" if lender else vendor.name


def docker_key(distro: Distro) -> bytes | None:
    """Return the key of Docker's repository, or None.

    None where it has nothing for `distro`, cannot be reached, or shows another key than ours.
    """
    url = f"{DOCKER_URL}/{distro.id}"
    if distribution(distro) is None or not http_answers(f"{url}/dists/{distro.codename}/Release"):
        return None
    key = http_body(f"{url}/gpg")
    return key if hashlib.sha256(key).hexdigest() == DOCKER_KEY_SHA256 else None


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One archive that apt is set up with, and the file that says so."""

    uri: str
    codename: str
    component: str
    source: Path

    @property
    def signed_by(self) -> str:
        """Return the key file that its entry names; Debian's own where it names none."""
        try:
            text = self.source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
        found = re.search(r"signed-by\s*[:=]\s*(/[^\s\]]+)", text, re.IGNORECASE)
        return found.group(1) if found else DEBIAN_KEYRING


def mirrors() -> tuple[Mirror, ...]:
    """Return the archives that apt is set up with, ours left out."""
    fields = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(SOURCESENTRY)"
    argv = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    listing = run_apt(argv, timeout=30.0)
    if not listing.strip():  # apt shows none before its first update
        _update()
        listing = run_apt(argv, timeout=30.0)
    rows = (line.split("|") for line in listing.splitlines())
    found = (
        Mirror(uri=uri, codename=codename, component=component, source=_file(entry))
        for uri, codename, component, entry in rows
    )
    return tuple(mirror for mirror in found if mirror.source != _sources())


def _file(entry: str) -> Path:
    return Path(entry.rpartition(":")[0])  # file:line


def mirror_lines(known: Sequence[Mirror], distro: Distro, codename: str) -> tuple[str, ...]:
    """Return one-line sources that give Debian `codename` from where `distro` itself comes from."""
    lines = (
        f"deb [signed-by={mirror.signed_by}] {mirror.uri} "
        f"{mirror.codename.replace(distro.codename, codename)} main"
        for mirror in known
        if mirror.component == "main" and mirror.codename.startswith(distro.codename)
    )
    return tuple(dict.fromkeys(lines)) if distro.id == "debian" else ()


def pins(lender: str, packages: Sequence[str], *, alone: bool) -> str:
    """Return apt preferences that take `packages`, and nothing else, from `lender`.

    Args:
        lender: Codename.
        packages: What may come from it.
        alone: The release is there for us only; where the machine has it anyway, its
            owner's own rules for all other packages stay.
    """
    shut = f"Package: *\nPin: release n={lender}\nPin-Priority: -1\n\n" if alone else ""
    return f"{shut}Package: {' '.join(packages)}\nPin: release n={lender}\nPin-Priority: 500\n"


def install(packages: Sequence[str], *, distro: Distro, key: bytes | None, report: Report) -> None:
    """Install `packages`.

    Args:
        packages: Names, of any vendor.
        distro: This machine's.
        key: Of Docker's repository, which is added where it is given.
        report: Gets one line for each thing done.

    Raises:
        EngineError: apt refused; with its last lines.
    """
    if key is not None:
        _add_docker(distro, key)
    report("apt: reading the package lists")
    trouble = _update()
    lent = [name for name in LENT if name in packages]
    if distro.codename in LENDER and lent:
        _borrow(lent, distro)
    report(f"apt: installing {' '.join(packages)}")
    try:
        with _services_stay_down():
            run_apt(install_argv(packages), timeout=INSTALL_SECONDS)
    except CommandError as exc:
        raise EngineError(
            f"apt could not install {' '.join(packages)}.",
            hint="Its own message is below; `apt-get update` must work on this machine.",
            details="\n".join(filter(None, [trouble, exc.details])),
        ) from exc


def install_argv(packages: Sequence[str]) -> list[str]:
    """Return the argv that installs `packages`: no questions, 2 minutes for a busy apt."""
    options = [
        "DPkg::Lock::Timeout=120",
        "Dpkg::Options::=--force-confdef",
        "Dpkg::Options::=--force-confold",
    ]
    flags = [word for option in options for word in ("-o", option)]
    return ["apt-get", "install", "-y", "-q", "--no-install-recommends", *flags, *packages]


def run_apt(argv: Sequence[str], *, timeout: float) -> str:
    """Run an apt command that asks nothing; return its standard output."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return shell.run(argv, timeout=timeout, env=quiet).stdout


def _sources() -> Path:
    return ETC / "sources.list.d/pipeline-docker.sources"


def _update(*options: str) -> str:
    # One broken third-party archive must not stop us: the installation itself decides.
    try:
        run_apt(
            ["apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=120", *options],
            timeout=UPDATE_SECONDS,
        )
    except CommandError as exc:
        return exc.details or exc.message
    return ""


def _borrow(packages: Sequence[str], distro: Distro) -> None:
    lender, known = LENDER[distro.codename], mirrors()
    theirs = any(mirror.codename == lender for mirror in known)
    pinning = ETC / "preferences.d/pipeline-docker"
    before = pinning.read_text(encoding="utf-8").split() if pinning.exists() else []
    lent = [name for name in LENT if name in packages or name in before]
    pinning.write_text(pins(lender, lent, alone=not theirs), encoding="utf-8")
    main = [m for m in known if (m.codename, m.component) == (distro.codename, "main")]
    if theirs or not main:
        return
    _sources().write_text(_stanza(main[0].uri, lender, "main", main[0].signed_by), encoding="utf-8")
    only = {"Dir::Etc::sourcelist": _sources(), "Dir::Etc::sourceparts": "-"}
    _update(
        "-o", "APT::Get::List-Cleanup=0", *(f"-o{name}={value}" for name, value in only.items())
    )


def _add_docker(distro: Distro, key: bytes) -> None:
    KEYS.mkdir(mode=0o755, parents=True, exist_ok=True)
    keyfile = KEYS / "pipeline-docker.asc"
    keyfile.write_bytes(key)
    keyfile.chmod(0o644)  # apt reads it as its own user
    stanza = _stanza(f"{DOCKER_URL}/{distro.id}", distro.codename, "stable", str(keyfile))
    _sources().write_text(stanza, encoding="utf-8")


def _stanza(uri: str, suite: str, component: str, signed_by: str) -> str:
    return (
        f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {component}\n"
        f"Signed-By: {signed_by}\n"
    )


@contextmanager
def _services_stay_down() -> Iterator[None]:
    # Without systemd a package's init script would start the engine half-way through the
    # installation, and its failure there would fail apt. We start it ourselves, afterwards.
    if POLICY.exists() or SYSTEMD.is_dir():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
