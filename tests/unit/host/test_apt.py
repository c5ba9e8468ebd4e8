import hashlib

import pytest

from pipeline.errors import CommandError, EngineError
from pipeline.host import apt

BOOKWORM = apt.Distro(id="debian", codename="bookworm")
ENGINE = ("docker.io", "ca-certificates", "docker-cli", "docker-compose", "docker-buildx")
KEY = b"a key"


def mirror(codename, *, source, uri="http://mirror.example/debian/", component="main"):
    return apt.Mirror(uri=uri, codename=codename, component=component, source=source)


def install(packages, said, *, distro=BOOKWORM, key=None):
    apt.install(packages, distro=distro, key=key, report=said.append)


@pytest.mark.parametrize(
    ("text", "distro"),
    [
        ('ID=debian\nVERSION_CODENAME=trixie\nPRETTY_NAME="x=y"\n', ("debian", "trixie")),
        ('ID="ubuntu"\nVERSION_CODENAME=noble\n# comment\n', ("ubuntu", "noble")),
        ("", ("", "")),
    ],
)
def test_the_distribution_is_what_os_release_says(machine, text, distro):
    (machine.path / "os-release").write_text(text)
    assert apt.this_distro() == apt.Distro(id=distro[0], codename=distro[1])


def test_no_os_release_no_distribution(machine):
    (machine.path / "os-release").unlink()
    assert apt.distribution(apt.this_distro()) is None


def test_an_installation_asks_nothing_and_takes_no_extras():
    argv = apt.install_argv(["docker.io"])
    assert argv[:5] == ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    assert argv[-1] == "docker.io"
    assert "DPkg::Lock::Timeout=120" in argv


def test_debian_12_borrows_the_engine_and_nothing_else(machine, said):
    machine.commands.plan("apt-get install", lambda argv: None)
    install(ENGINE, said)
    assert (machine.etc / "sources.list.d/pipeline-docker.sources").read_text() == (
        "Types: deb\nURIs: http://mirror.example/debian/\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/own.gpg\n"
    )
    assert (machine.etc / "preferences.d/pipeline-docker").read_text() == (
        "Package: *\nPin: release n=trixie\nPin-Priority: -1\n\n"
        "Package: docker.io docker-cli docker-compose docker-buildx\n"
        "Pin: release n=trixie\nPin-Priority: 500\n"
    )
    updates = [line for line in machine.commands.ran if line.startswith("apt-get update")]
    assert len(updates) == 2
    assert "Dir::Etc::sourceparts=-" in updates[1], "the second reads the lender's lists only"
    assert "APT::Get::List-Cleanup=0" in updates[1], "and keeps the others"
    assert machine.commands.ran[-1].endswith(" ".join(ENGINE))
    assert all(e["DEBIAN_FRONTEND"] == "noninteractive" for e in machine.commands.environments)


def test_what_was_borrowed_before_stays_borrowed(machine, said):
    machine.commands.plan("apt-get install")
    install(["docker-compose"], said)
    install(["docker-buildx"], said)
    text = (machine.etc / "preferences.d/pipeline-docker").read_text()
    assert "Package: docker-compose docker-buildx\n" in text
    assert "docker.io" not in text, "an engine that is there is not upgraded"


def test_where_the_owner_has_the_lender_already_only_our_pin_is_added(machine, said):
    machine.commands.plan(
        "apt-get indextargets",
        f"http://mirror.example/debian/|bookworm|main|{machine.etc}/a.list:1\n"
        f"http://mirror.example/debian/|trixie|main|{machine.etc}/a.list:2\n",
    )
    machine.commands.plan("apt-get install")
    install(ENGINE, said)
    assert not (machine.etc / "sources.list.d/pipeline-docker.sources").exists()
    assert "Package: *" not in (machine.etc / "preferences.d/pipeline-docker").read_text()


def test_a_machine_without_a_main_archive_gets_apts_own_answer(machine, said):
    machine.commands.plan("apt-get indextargets", "http://x.example/|bookworm|contrib|/a.list:1\n")
    machine.commands.plan("apt-get install", "E: Unable to locate package docker-buildx", code=100)
    with pytest.raises(EngineError) as caught:
        install(ENGINE, said)
    assert "Unable to locate" in caught.value.details
    assert not (machine.etc / "sources.list.d/pipeline-docker.sources").exists()


def test_later_releases_borrow_nothing(machine, said):
    machine.commands.plan("apt-get install")
    install(ENGINE, said, distro=apt.Distro(id="debian", codename="trixie"))
    assert list((machine.etc / "preferences.d").iterdir()) == []
    assert said[0] == "apt: reading the package lists"


def test_other_packages_borrow_nothing(machine, said):
    machine.commands.plan("apt-get install")
    install(["mmdebstrap"], said)
    assert list((machine.etc / "preferences.d").iterdir()) == []


def test_dockers_own_repository_is_added_with_its_key(machine, said):
    machine.commands.plan("apt-get install")
    install(["docker-ce"], said, key=KEY)
    keyfile = machine.etc / "keyrings/pipeline-docker.asc"
    assert keyfile.read_bytes() == KEY
    assert keyfile.stat().st_mode & 0o777 == 0o644
    stanza = (machine.etc / "sources.list.d/pipeline-docker.sources").read_text()
    assert "Suites: bookworm\nComponents: stable\n" in stanza
    assert f"Signed-By: {keyfile}\n" in stanza


def test_the_key_is_taken_only_where_it_is_the_one_we_know(monkeypatch):
    monkeypatch.setattr(
        apt, "http_answers", lambda url: url.endswith("debian/dists/bookworm/Release")
    )
    monkeypatch.setattr(apt, "http_body", lambda url: KEY)
    assert apt.docker_key(BOOKWORM) is None
    monkeypatch.setattr(apt, "DOCKER_KEY_SHA256", hashlib.sha256(KEY).hexdigest())
    assert apt.docker_key(BOOKWORM) == KEY
    assert apt.docker_key(apt.Distro(id="debian", codename="sid")) is None
    assert apt.docker_key(apt.Distro(id="fedora", codename="bookworm")) is None


def test_a_broken_third_party_archive_does_not_stop_an_installation(machine, said):
    machine.commands.plan("apt-get update", "E: no Release file", code=100)
    machine.commands.plan("apt-get install")
    install(["mmdebstrap"], said)


def test_a_failed_installation_shows_what_apt_said(machine, said):
    machine.commands.plan("apt-get update", CommandError("ended", details="E: no network"))
    machine.commands.plan("apt-get install", "E: Unable to fetch", code=100)
    with pytest.raises(EngineError, match="apt could not install mmdebstrap") as caught:
        install(["mmdebstrap"], said)
    assert caught.value.details == "E: no network\nE: Unable to fetch"
    assert not (machine.path / "policy-rc.d").exists()


def test_services_stay_down_while_packages_are_installed(machine, said):
    policy = machine.path / "policy-rc.d"

    def installing(_):
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
        assert policy.stat().st_mode & 0o111

    machine.commands.plan("apt-get install", installing)
    install(["mmdebstrap"], said)
    assert not policy.exists()


def test_the_owners_policy_and_systemd_are_left_alone(machine, said):
    policy = machine.path / "policy-rc.d"
    machine.commands.plan("apt-get install")
    policy.write_text("own")
    install(["mmdebstrap"], said)
    assert policy.read_text() == "own"
    policy.unlink()
    (machine.path / "systemd").mkdir()
    machine.commands.plan("apt-get install", lambda _: policy.exists() and pytest.fail("policy"))
    install(["mmdebstrap"], said)


def test_mirrors_are_read_after_an_update_where_apt_has_no_lists(machine):
    answers = iter(["", f"http://m.example/|bookworm|main|{machine.etc}/a.list:3\n"])
    machine.commands.plan("apt-get indextargets", lambda _: next(answers))
    (found,) = apt.mirrors()
    assert found.uri == "http://m.example/"
    assert any(line.startswith("apt-get update") for line in machine.commands.ran)


def test_what_we_added_is_not_the_machines_own(machine):
    ours = machine.etc / "sources.list.d/pipeline-docker.sources"
    machine.commands.plan("apt-get indextargets", f"http://m.example/|trixie|main|{ours}:1\n")
    assert apt.mirrors() == ()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("deb [arch=amd64 signed-by=/k.gpg] http://m.example bookworm main\n", "/k.gpg"),
        ("Types: deb\nSigned-By: /d.asc\n", "/d.asc"),
        ("Types: deb\nSigned-By:\n -----BEGIN PGP\n", apt.DEBIAN_KEYRING),
        ("deb http://m.example bookworm main\n", apt.DEBIAN_KEYRING),
        (None, apt.DEBIAN_KEYRING),
    ],
)
def test_the_key_of_an_archive_is_the_one_its_entry_names(tmp_path, text, key):
    source = tmp_path / "entry"
    if text is not None:
        source.write_text(text)
    assert mirror("bookworm", source=source).signed_by == key


def test_stand_ins_come_from_where_the_machine_comes_from(tmp_path):
    source = tmp_path / "none"
    known = [
        mirror("trixie", source=source),
        mirror("trixie", source=source, component="contrib"),
        mirror("trixie-security", source=source, uri="http://mirror.example/security/"),
        mirror("nodistro", source=source, uri="http://other.example/"),
    ]
    lines = apt.mirror_lines(known, apt.Distro(id="debian", codename="trixie"), "bookworm")
    signed = f"deb [signed-by={apt.DEBIAN_KEYRING}]"
    assert lines == (
        f"{signed} http://mirror.example/debian/ bookworm main",
        f"{signed} http://mirror.example/security/ bookworm-security main",
    )
    assert apt.mirror_lines(known, apt.Distro(id="ubuntu", codename="trixie"), "bookworm") == ()
