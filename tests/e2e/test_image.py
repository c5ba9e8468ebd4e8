"""What is inside the service's image: the locked packages, the code, and nothing else."""

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from tests.e2e.support import machine
from tests.e2e.support.checkout import REPOSITORY
from tests.e2e.support.command import Ran
from tests.e2e.support.site import SENTINEL, Site

Files = Mapping[PurePosixPath, tarfile.TarInfo]
Shipped = Mapping[str, Mapping[str, Ran]]

BASE = "python:3.11-slim"
ABOVE_BASE = 70e6  # bytes
LIBRARY = 10e6  # what of that goes into the standard library's bytecode, where the base has none
NEW_LAYERS = 300e3  # bytes, compressed, of a release that changes code only
PACKAGES = PurePosixPath("opt/venv")
CODE = PurePosixPath("srv/app")
COMPILERS = {"as", "c++", "cargo", "cc", "clang", "g++", "gcc", "go", "ld", "make", "rustc"}
INSTALLERS = {"ensurepip", "pip", "pip3", "pipx", "poetry", "setuptools", "uv", "wheel"}
LOOK = """
import importlib.util, json, os, sys
os.environ["DATABASE_URL"] = "postgresql://nobody@localhost/nothing"
import app.main, app.migrate, sqlalchemy.dialects.postgresql.psycopg, uvloop
try:
    open("/srv/app/written", "w")
    writable = True
except OSError:
    writable = False
modules = [module for module in sys.modules.values() if getattr(module, "__cached__", None)]
json.dump({
    "uid": os.getuid(),
    "gid": os.getgid(),
    "writable": writable,
    "found": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    "without_bytecode": [each.__name__ for each in modules if not os.path.exists(each.__cached__)],
}, sys.stdout)
"""


def files(image: str) -> Files:
    """Return all that a container of an image finds, by path."""
    container = machine.docker("create", "--network", "none", image)
    try:
        with (
            subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            return {PurePosixPath(member.name): member for member in archive}
    finally:
        machine.docker("rm", "--force", container)


def locked(*groups: str) -> tuple[set[str], set[str]]:
    """Return what poetry.lock has for groups: everywhere, and on some machines only."""
    argv = [sys.executable, str(REPOSITORY / "bin/lock"), *groups]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    some = {line.partition("==")[0] for line in lines if " ; " in line}
    return {line.partition("==")[0] for line in lines} - some, some


def distribution(path: PurePosixPath) -> str:
    return re.sub(r"[-_.]+", "-", path.name.removesuffix(".dist-info").partition("-")[0]).lower()


@pytest.fixture(scope="module")
def image(site: Site, shipped: Shipped) -> str:
    return f"{site.repository}:{site.commits['a']}"


@pytest.fixture(scope="module")
def base() -> Files:
    return files(BASE)


@pytest.fixture(scope="module")
def inside(image: str) -> Files:
    return files(image)


@pytest.fixture(scope="module")
def ours(inside: Files, base: Files) -> Files:
    """What the base has not, or not like that."""

    def told(member: tarfile.TarInfo | None) -> tuple[object, ...]:
        return (member.type, member.mode, member.uid, member.size) if member else ()

    return {path: each for path, each in inside.items() if told(each) != told(base.get(path))}


@pytest.fixture(scope="module")
def seen(image: str) -> dict[str, Any]:
    """What the image's own user sees, without a network and on a read-only root."""
    tools = set.union(*locked("ops", "test", "lint", "types")) - set.union(*locked("main"))
    modules = {name.replace("-", "_") for name in tools | INSTALLERS}
    argv = ("run", "--rm", "--read-only", "--network", "none", image, "python", "-c", LOOK)
    return dict(json.loads(machine.docker(*argv, *sorted(modules))))


def test_it_is_small(ours: Files, base: Files, figures: dict[str, object]) -> None:
    above = sum(each.size for each in ours.values())  # what it takes away, the base still weighs
    figures["image above base [MB]"] = round(above / 1e6, 1)
    has_bytecode = any("/asyncio/__pycache__/" in str(path) for path in base)
    assert 0 < above < ABOVE_BASE - (LIBRARY if has_bytecode else 0)


def test_a_change_of_code_is_a_small_layer(
    site: Site, shipped: Shipped, figures: dict[str, object]
) -> None:
    def layers(name: str) -> list[tuple[str, int]]:
        sha = site.commits[name]
        (platform,) = site.invoke("inspect", "--sha", sha, "--json").ok().json["platforms"]
        contents = machine.inspect(f"{site.repository}:{sha}")["RootFS"]["Layers"]
        sizes = [layer["size"] for layer in platform["layers"]]
        return list(zip(contents, sizes, strict=True))

    new = dict(set(layers("b")) - set(layers("a")))
    figures["code-only change: new layers [KB]"] = round(sum(new.values()) / 1e3, 1)
    assert len(new) == 1
    assert sum(new.values()) < NEW_LAYERS


def test_it_holds_packages_code_and_bytecode_only(ours: Files) -> None:
    strangers = [
        path
        for path, member in ours.items()
        if not member.isdir()
        and not {PACKAGES, CODE} & {*path.parents}
        and not ("__pycache__" in path.parts and path.suffix == ".pyc")
    ]
    assert strangers == []


def test_its_packages_are_the_locked_ones(inside: Files) -> None:
    always, some = locked("main")
    found = {distribution(path) for path in inside if path.suffix == ".dist-info"}
    assert always <= found <= always | some


def test_neither_installer_nor_compiler_nor_tools_are_there(
    inside: Files, seen: dict[str, Any]
) -> None:
    programs = {path.name for path in inside if path.parent.name in {"bin", "sbin"}}
    assert programs & (COMPILERS | INSTALLERS) == set()
    assert "python3" in programs
    assert seen["found"] == []
    assert [path for path in inside if path.suffix == ".whl"] == []
    assert [path for path in inside if ".cache" in path.parts] == []


def test_nothing_of_the_repository_but_the_service(ours: Files) -> None:
    unwanted = re.compile(
        r"\.git.*|\.env.*|env|tests?|testing|conftest\.py|test_.*\.py|Dockerfile.*|.*\.lock"
        r"|pyproject\.toml|pip\.conf|.*\.pem|\.dockerignore"
    )
    assert [path for path in ours if any(map(unwanted.fullmatch, path.parts))] == []
    assert CODE / "main.py" in ours


def test_nothing_is_anybodys_to_change(ours: Files) -> None:
    added = {path: each for path, each in ours.items() if {PACKAGES, CODE} & {path, *path.parents}}
    assert {each.uid for each in added.values()} == {0}
    assert [path for path, each in ours.items() if each.mode & 0o6000] == []
    writable = [path for path, each in added.items() if each.mode & 0o022 and not each.issym()]
    assert writable == []
    assert {each.mtime for each in added.values()} == {0}


def test_it_runs_as_nobody_on_a_read_only_root(image: str, seen: dict[str, Any]) -> None:
    user = machine.inspect(image)["Config"]["User"]
    assert user == f"{seen['uid']}:{seen['gid']}"
    assert 0 not in {seen["uid"], seen["gid"]}
    assert not seen["writable"]


def test_nothing_is_compiled_at_the_start(seen: dict[str, Any]) -> None:
    assert seen["without_bytecode"] == []


def test_no_secret_is_in_its_description(image: str) -> None:
    described = json.dumps(machine.inspect(image)) + machine.docker("history", "--no-trunc", image)
    assert SENTINEL not in described
