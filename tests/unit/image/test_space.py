"""Free space before a pull or a build, on an engine and a disk that are not there."""

import json
import socket
from types import SimpleNamespace

import pytest

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError
from pipeline.image import local, registry, space
from pipeline.image.build import build
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.manifests import OCI_INDEX, OCI_MANIFEST, Manifest, digest_of
from pipeline.image.ref import ImageRef, LocalImage

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
MB = 10**6
STORE = [["driver-type", "io.containerd.snapshotter.v1"]]


def descriptor(digest, size=1, platform=None):
    made = {"mediaType": OCI_MANIFEST, "digest": digest, "size": size}
    if platform:
        system, _, architecture = platform.partition("/")
        made["platform"] = {"os": system, "architecture": architecture}
    return made


def image(*sizes):
    """Return a manifest whose layers have these sizes."""
    layers = [descriptor(digest_of(bytes([number])), size) for number, size in enumerate(sizes)]
    document = {"config": descriptor(digest_of(b"config")), "layers": layers}
    return Manifest(media_type=OCI_MANIFEST, content=json.dumps(document).encode())


def index(**platforms):
    """Return an index, and all manifests by digest."""
    children = [
        descriptor(each.digest, platform=f"linux/{platform}")
        for platform, each in platforms.items()
    ]
    content = json.dumps({"manifests": children}).encode()
    made = Manifest(media_type=OCI_INDEX, content=content)
    return made, {each.digest: each for each in (made, *platforms.values())}


class Registry:
    def __init__(self, manifests):
        self.manifests = manifests

    def manifest(self, reference):
        return self.manifests.get(reference)


class Silent:
    def manifest(self, reference):
        raise AssertionError("nobody planned a question")


class Troubled:
    def __init__(self, error):
        self.error = error

    def manifest(self, reference):
        raise self.error


@pytest.fixture
def engine(monkeypatch):
    """What the engine says of itself: by default one of this machine."""
    said = {
        "Name": socket.gethostname(),
        "DockerRootDir": "/data",
        "Architecture": "x86_64",
        "DriverStatus": [],
    }

    def run(argv, *, timeout, **how):
        assert argv == ["docker", "info", "--format", "{{json .}}"]
        if not said:
            raise CommandError("docker failed", code=1)
        return SimpleNamespace(stdout=json.dumps(said))

    monkeypatch.setattr(shell, "run", run)
    return said


@pytest.fixture
def disk(monkeypatch):
    """Free bytes by folder; any other folder does not exist."""
    free = {"/data": 100 * MB}

    def usage(folder):
        if folder not in free:
            raise FileNotFoundError(folder)
        return SimpleNamespace(free=free[folder])

    monkeypatch.setattr(space.shutil, "disk_usage", usage)
    return free


@pytest.fixture
def last(monkeypatch):
    """Call it with the size of what was built here last."""

    def be(size):
        here = LocalImage(
            id="i", name=NAME, digests=(), revision="", migrations="", platform="", size=size
        )
        asked = []
        found = {f"{NAME}:latest": here if size else None}
        monkeypatch.setattr(local, "inspect", lambda ref: asked.append(ref) or found[str(ref)])

    return be


def reference(manifest):
    return ImageRef(name=NAME, digest=manifest.digest)


class TestPull:
    def test_twice_what_it_takes_packed_and_unpacked_has_to_be_free(self, engine, disk):
        manifest = image(10 * MB, 2 * MB)
        registry = Registry({manifest.digest: manifest})

        disk["/data"] = 2 * 4 * 12 * MB
        space.for_pull(registry, reference(manifest))

        disk["/data"] -= 1
        with pytest.raises(EngineError) as caught:
            space.for_pull(registry, reference(manifest))
        assert "95 MB free, 96 MB are needed" in caught.value.message
        assert f"{NAME}@{manifest.digest}" in caught.value.message
        assert "`invoke prune`" in caught.value.hint
        assert caught.value.exit_code == 1

    def test_of_several_platforms_the_engine_s_own_counts(self, engine, disk):
        made, manifests = index(amd64=image(MB), arm64=image(1000 * MB))
        space.for_pull(Registry(manifests), reference(made))

        engine["Architecture"] = "aarch64"
        with pytest.raises(EngineError):
            space.for_pull(Registry(manifests), reference(made))

    def test_where_none_is_the_engine_s_own_the_largest_counts(self, engine, disk):
        made, manifests = index(amd64=image(MB), arm64=image(1000 * MB))
        engine["Architecture"] = "riscv64"
        with pytest.raises(EngineError):
            space.for_pull(Registry(manifests), reference(made))

    def test_no_registry_is_asked_where_there_is_plenty(self, engine, disk):
        disk["/data"] = space.PLENTY
        space.for_pull(Silent(), reference(image(MB)))

    def test_what_the_registry_has_not_is_left_to_the_pull(self, engine, disk):
        space.for_pull(Registry({}), reference(image(1000 * MB)))

    @pytest.mark.parametrize("error", [NoAnswerError("silent"), BusyError("busy")])
    def test_a_registry_that_does_not_answer_need_not_be_asked_by_the_engine(
        self, error, engine, disk
    ):
        with pytest.raises(type(error)):
            space.for_pull(Troubled(error), reference(image(MB)))

    def test_any_other_trouble_is_left_to_the_pull(self, engine, disk):
        space.for_pull(Troubled(RegistryError("refused")), reference(image(MB)))


class TestBuild:
    def test_twice_the_last_one_has_to_be_free(self, engine, disk, last):
        last(50 * MB)
        space.for_build(NAME)
        last(51 * MB)
        with pytest.raises(EngineError, match=r"100 MB free, 102 MB are needed"):
            space.for_build(NAME)

    def test_an_engine_that_keeps_images_packed_needs_more(self, engine, disk, last):
        engine["DriverStatus"] = STORE
        last(12 * MB)
        space.for_build(NAME)
        last(13 * MB)
        with pytest.raises(EngineError, match=r"104 MB are needed"):
            space.for_build(NAME)

    def test_of_an_image_that_nobody_knows_a_gigabyte_is_thought(self, engine, disk, last):
        last(None)
        disk["/data"] = 2 * 10**9
        space.for_build(NAME)
        disk["/data"] -= 1
        with pytest.raises(EngineError, match=r"2000 MB are needed"):
            space.for_build(NAME)


class TestWhereNothingCanBeSeen:
    @pytest.fixture(autouse=True)
    def _full(self, disk, last):
        disk["/data"] = 0
        last(MB)

    def checks(self):
        try:
            space.for_build(NAME)
        except EngineError:
            return True
        return False

    def test_it_is_an_engine_of_this_machine_that_is_looked_at(self, engine):
        assert self.checks()

    @pytest.mark.parametrize("name", ["docker-desktop", ""])
    def test_another_machine_s_is_not(self, name, engine):
        engine["Name"] = name
        assert not self.checks()

    def test_a_folder_that_is_another_user_s_is_not(self, engine, disk):
        del disk["/data"]
        assert not self.checks()

    def test_an_engine_that_does_not_answer_is_not(self, engine):
        engine.clear()
        assert not self.checks()


def test_the_fullest_of_the_engine_s_disks_counts(engine, disk, last):
    last(10 * MB)
    disk[space.CONTAINERD] = MB
    space.for_build(NAME)  # such a folder is of no use to this engine

    engine["DriverStatus"] = STORE
    with pytest.raises(EngineError, match=r"1 MB free"):
        space.for_build(NAME)


class TestNothingIsBegun:
    @pytest.fixture(autouse=True)
    def _full(self, monkeypatch):
        def refuse(*_):
            raise EngineError("too little space")

        monkeypatch.setattr(space, "for_pull", refuse)
        monkeypatch.setattr(space, "for_build", refuse)

    def test_no_pull(self, docker, settings, lines):
        docker.remote[f"{NAME}:{SHA}"] = f"{SHA} pushed"
        with pytest.raises(EngineError, match="too little space"):
            registry.ensure_local(settings, SHA, lines.append)
        assert docker.ran == []

    def test_no_build(self, docker, settings, commit, lines):
        with pytest.raises(EngineError, match="too little space"):
            build(settings, commit, report=lines.append)
        assert docker.ran == []

    def test_what_is_here_needs_no_space(self, docker, settings, lines):
        docker.images[f"{NAME}:{SHA}"] = docker.remote[f"{NAME}:{SHA}"] = f"{SHA} pushed"
        assert registry.ensure_local(settings, SHA, lines.append).revision == SHA
