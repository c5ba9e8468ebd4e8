import base64
import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline.image import credentials

HOST = "registry.example"
PAIR = base64.b64encode(b"ci:hunter2").decode()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class TestLent:
    def test_the_builder_finds_the_login(self, settings, theirs, temporary):
        theirs()

        with credentials.lent(settings) as variables:
            folder = Path(variables["DOCKER_CONFIG"])
            config = folder / "config.json"

            assert set(variables) == {"DOCKER_CONFIG"}
            assert folder.parent == temporary
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(config.stat().st_mode) == 0o600
            assert json.loads(config.read_text())["auths"] == {HOST: {"auth": PAIR}}
        assert list(temporary.iterdir()) == []

    def test_what_else_the_user_has_stays(self, settings, theirs, temporary):
        folder = theirs(
            currentContext="there",
            credsStore="desktop",
            credHelpers={HOST: "wrong", "cloud.example": "cloud"},
            auths={
                f"https://{HOST}/v1/": {"auth": "wrong"},
                "other.example": {"auth": "theirs"},
            },
        )
        (folder / "contexts").mkdir()
        (folder / "contexts" / "meta").write_text("there")

        with credentials.lent(settings) as variables:
            lent = Path(variables["DOCKER_CONFIG"])
            (lent / "contexts" / "new").write_text("new")
            config = json.loads((lent / "config.json").read_text())

        assert config == {
            "currentContext": "there",
            "credsStore": "desktop",
            "credHelpers": {"cloud.example": "cloud", HOST: ""},  # the file counts, for ours
            "auths": {"other.example": {"auth": "theirs"}, HOST: {"auth": PAIR}},
        }
        assert (folder / "contexts" / "meta").read_text() == "there"
        assert (folder / "contexts" / "new").read_text() == "new"
        assert "hunter2" not in (folder / "config.json").read_text()

    @pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"auths": 1, "credHelpers": []}'])
    def test_a_broken_configuration(self, content, settings, theirs, temporary):
        (theirs() / "config.json").write_text(content)

        with credentials.lent(settings) as variables:
            config = json.loads((Path(variables["DOCKER_CONFIG"]) / "config.json").read_text())

        assert config["auths"] == {HOST: {"auth": PAIR}}

    def test_without_a_docker_configuration(self, settings, tmp_path, temporary, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "nosuch"))

        with credentials.lent(settings) as variables:
            (config,) = Path(variables["DOCKER_CONFIG"]).iterdir()
            assert config.name == "config.json"

    def test_an_error_leaves_nothing_behind(self, settings, theirs, temporary):
        theirs()

        with pytest.raises(KeyboardInterrupt), credentials.lent(settings):
            raise KeyboardInterrupt

        assert list(temporary.iterdir()) == []

    def test_what_cannot_be_written_leaves_nothing_behind(
        self, settings, theirs, temporary, monkeypatch
    ):
        theirs()

        def full(*args, **how):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(credentials.json, "dump", full)

        with pytest.raises(OSError, match="No space"), credentials.lent(settings):
            pytest.fail("It was lent.")

        assert list(temporary.iterdir()) == []

    def test_nothing_of_our_own_to_lend(self, nobody, theirs, temporary):
        theirs(auths={HOST: {"auth": PAIR}})

        with credentials.lent(nobody) as variables:
            assert variables == {}
            assert list(temporary.iterdir()) == []


class TestSweep:
    @pytest.fixture
    def dead(self):
        child = subprocess.Popen(["true"])
        child.wait()
        return child.pid

    def test_what_the_dead_left_goes(self, dead, nobody, temporary, theirs):
        folder = theirs()
        left = temporary / f"{credentials.PREFIX}{dead}-abc_123"
        left.mkdir()
        (left / "config.json").write_text("hunter2")
        (left / "contexts").symlink_to(folder)

        with credentials.lent(nobody):
            assert list(temporary.iterdir()) == []
        assert (folder / "config.json").exists()

    def test_what_is_anothers_stays(self, dead, nobody, temporary, tmp_path):
        kept = [
            temporary / f"{credentials.PREFIX}{os.getpid()}-alive",
            temporary / f"{credentials.PREFIX}1-alive",
            temporary / f"{credentials.PREFIX}by-hand",
        ]
        for folder in kept:
            folder.mkdir()
        target = tmp_path / "target"
        target.mkdir()
        link = temporary / f"{credentials.PREFIX}{dead}-link"
        link.symlink_to(target)

        with credentials.lent(nobody):
            assert sorted(temporary.iterdir()) == sorted([*kept, link])
        assert target.exists()

    def test_what_another_user_left_stays(self, dead, nobody, temporary, monkeypatch):
        left = temporary / f"{credentials.PREFIX}{dead}-theirs"
        left.mkdir()
        monkeypatch.setattr(credentials.os, "getuid", lambda: 12345)

        with credentials.lent(nobody):
            assert left.exists()

    def test_a_process_of_another_user_is_alive(self, nobody, temporary, monkeypatch):
        left = temporary / f"{credentials.PREFIX}77-theirs"
        left.mkdir()

        def kill(pid, signal):
            assert (pid, signal) == (77, 0)
            raise PermissionError

        monkeypatch.setattr(credentials.os, "kill", kill)

        with credentials.lent(nobody):
            assert left.exists()
