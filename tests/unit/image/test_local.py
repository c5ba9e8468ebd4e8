from types import SimpleNamespace

import pytest

from pipeline.errors import EngineError
from pipeline.image import local
from pipeline.image.ref import ImageRef

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
REF = f"{NAME}:{SHA}"


def test_no_engine(docker):
    docker.down = True

    with pytest.raises(EngineError, match="No Docker Engine answers") as told:
        local.inspect(ImageRef.parse(REF))

    assert told.value.details == "no daemon"


def test_no_docker_command(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineError, match="`docker` is not installed") as told:
        local.inspect(ImageRef.parse(REF))

    assert "invoke host" in told.value.hint


@pytest.mark.parametrize("attests", [True, False])
def test_the_store_that_keeps_attestations(attests, docker):
    docker.attests = attests

    assert local.attests() is attests


def test_the_store_of_no_engine(docker):
    docker.down = True

    with pytest.raises(EngineError, match="No Docker Engine answers"):
        local.attests()


def test_a_tag_that_is_refused(docker):
    docker.images[REF] = f"{SHA} x"
    image = local.inspect(ImageRef.parse(REF))
    docker.refuse["docker image tag"] = "no such image"

    with pytest.raises(EngineError, match="could not tag"):
        local.tag(image, "latest")


@pytest.mark.parametrize(
    ("machine", "engine", "found"),
    [
        ("x86_64", None, ""),  # nobody is asked
        ("aarch64", "linux/amd64", ""),  # an engine elsewhere
        ("aarch64", "linux/arm64", "linux/arm64"),
        ("riscv64", "linux/riscv64", "linux/riscv64"),
    ],
)
def test_an_image_for_another_processor(machine, engine, found, docker, monkeypatch):
    docker.images[REF] = f"{SHA} x"
    image = local.inspect(ImageRef.parse(REF))
    assert image.platform == "linux/amd64"
    monkeypatch.setattr(local.platform, "machine", lambda: machine)
    answer = SimpleNamespace(code=0 if engine else 1, stdout=f"{engine}\n")
    monkeypatch.setattr(local, "_docker", lambda _: answer)
    assert local.unlike_engine(image) == found
