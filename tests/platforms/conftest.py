"""What these tests share: an emulator, a base image for both platforms, one commit, two sites.

Nothing is skipped: where no engine answers, or nothing can be emulated, every test here is an
error.
"""

import json
import subprocess
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.support import registry as registries
from tests.e2e.support.checkout import Checkout
from tests.e2e.support.command import Ran
from tests.e2e.support.registry import Registry
from tests.e2e.support.site import Site, docker_config
from tests.platforms import emulation
from tests.platforms.emulation import FOREIGN, NATIVE, OFFICIAL, PLATFORMS
from tests.platforms.listing import Listing, exists

BUILD_SECONDS = 1500.0  # emulated, from nothing, on a busy machine
TOOK = pytest.StashKey[dict[str, float]]()


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An image that was built for both platforms at once.

    Attributes:
        built: What `invoke build --push` did.
        listing: What the registry had afterwards.
    """

    built: Ran
    listing: Listing


@dataclass(frozen=True, kw_only=True)
class Merged:
    """An image that was put together of two, each built by itself and from nothing.

    Attributes:
        early: What `invoke manifest` did when there was but one of the two.
        tagged_early: Whether the registry had the commit's tag after that.
        merged: What it did when there were both.
        listing: What the registry had afterwards.
    """

    early: Ran
    tagged_early: bool
    merged: Ran
    listing: Listing


@pytest.fixture(scope="session")
def took(pytestconfig: pytest.Config) -> Callable[[str, float], None]:
    """Note that something took some seconds; shown at the end."""
    return pytestconfig.stash.setdefault(TOOK, {}).__setitem__


@pytest.fixture(scope="session", autouse=True)
def emulator(took: Callable[[str, float], None]) -> Iterator[None]:
    """An engine that runs programs of either platform."""
    began = time.monotonic()
    with emulation.emulated():
        took("emulator", time.monotonic() - began)
        yield


@pytest.fixture(scope="session")
def registry(emulator: None) -> Iterator[Registry]:
    with registries.running() as running:
        yield running


@pytest.fixture(scope="session")
def config(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Docker configuration for the tests' own look at the registry."""
    folder = docker_config(tmp_path_factory.mktemp("looker") / "docker")
    login = b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
    return folder


@pytest.fixture(scope="session")
def base(registry: Registry, config: Path, took: Callable[[str, float], None]) -> str:
    """The base image's name; the builder finds both platforms under it."""
    began = time.monotonic()
    name = emulation.base_image(registry, config)
    took("base image", time.monotonic() - began)
    return name


@pytest.fixture(scope="session")
def checkout(base: str, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clean clone of HEAD; where the base image is not the official one, a commit says so."""
    clone = Checkout.clone(tmp_path_factory.mktemp("checkout") / "clone")
    if base == OFFICIAL:
        return clone
    dockerfile = clone.root / "Dockerfile"
    line = f"ARG BASE_IMAGE={OFFICIAL}\n"
    text = dockerfile.read_text(encoding="utf-8")
    assert text.count(line) == 1
    dockerfile.write_text(text.replace(line, f"ARG BASE_IMAGE={base}\n"), encoding="utf-8")
    sha = _commit(clone.root, "Another base image")
    return Checkout(root=clone.root, commits={"a": sha})


@pytest.fixture(scope="session")
def sha(checkout: Checkout) -> str:
    return checkout.commits["a"]


@pytest.fixture(scope="session")
def sites(
    checkout: Checkout, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Site]]:
    """Two apps, of which images are built only; each has a repository of its own."""
    run_id = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        found = {}
        for name in ("whole", "parts"):
            app = f"platforms-{run_id}-{name}"
            found[name] = Site.make(
                checkout, registry, app=app, folder=tmp_path_factory.mktemp(name)
            )
            stack.callback(found[name].remove)
        yield found


@pytest.fixture(scope="session")
def whole(
    sites: dict[str, Site], sha: str, config: Path, took: Callable[[str, float], None]
) -> Whole:
    """Both platforms in one build, pushed."""
    site = sites["whole"]
    built = _build(site, sha, *PLATFORMS)
    took("both platforms", built.seconds)
    return Whole(built=built, listing=Listing.read(site.repository, sha, config=config))


@pytest.fixture(scope="session")
def merged(
    whole: Whole,
    sites: dict[str, Site],
    sha: str,
    config: Path,
    took: Callable[[str, float], None],
) -> Merged:
    """Each platform from nothing and by itself, pushed; merged then, and too early before.

    After `whole`, which may come from the cache: the other way round, it would come from this.
    """
    site = sites["parts"]
    manifest = ("manifest", "--sha", sha, "--platforms", ",".join(PLATFORMS), "--json")
    took(f"{NATIVE} alone", _build(site, sha, NATIVE, "--part", "--no-cache").seconds)
    early = site.invoke(*manifest)
    tagged_early = exists(site.repository, sha, config=config)
    took(f"{FOREIGN} alone", _build(site, sha, FOREIGN, "--part", "--no-cache").seconds)
    made = site.invoke(*manifest).ok()
    took("merge", made.seconds)
    return Merged(
        early=early,
        tagged_early=tagged_early,
        merged=made,
        listing=Listing.read(site.repository, sha, config=config),
    )


@pytest.fixture(params=["whole", "merged"])
def listing(request: pytest.FixtureRequest) -> Listing:
    """What the registry has, either way."""
    made: Whole | Merged = request.getfixturevalue(request.param)
    return made.listing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seconds")
    for name, seconds in terminalreporter.config.stash.get(TOOK, {}).items():
        terminalreporter.line(f"{name}: {seconds:.1f}")


def _build(site: Site, sha: str, *words: str) -> Ran:
    platforms = ",".join(word for word in words if word in PLATFORMS)
    flags = [word for word in words if word not in PLATFORMS]
    argv = ("build", "--sha", sha, "--platforms", platforms, "--push", *flags, "--json")
    return site.invoke(*argv, timeout=BUILD_SECONDS).ok()


def _commit(root: Path, message: str) -> str:
    identity = ("-c", "user.name=platforms", "-c", "user.email=platforms@example.org")
    for argv in (("commit", "--quiet", "--all", "--message", message), ("rev-parse", "HEAD")):
        ran = subprocess.run(
            ["git", *identity, *argv],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return ran.stdout.strip()
