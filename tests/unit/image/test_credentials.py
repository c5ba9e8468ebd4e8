import base64
import json
import os
import traceback
from dataclasses import replace

import pytest

from pipeline.errors import RegistryError
from pipeline.image import credentials
from pipeline.image.credentials import Login
from pipeline.settings import Secret

HOST = "registry.example"
PAIR = base64.b64encode(b"ci:hunter2").decode()


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A credential helper on PATH; call it with its shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script):
        program = folder / "docker-credential-test"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.fixture
def failing(helper, nobody, theirs):
    """Ask for a login with a helper that is the given shell script."""

    def ask(script):
        theirs(credsStore="test")
        helper(script)
        credentials.of(nobody)

    return ask


def says(user, secret):
    return "cat >/dev/null; echo '" + json.dumps({"Username": user, "Secret": secret}) + "'"


class TestOf:
    def test_the_pipelines_own_comes_first(self, settings, theirs):
        theirs(auths={HOST: {"auth": base64.b64encode(b"they:theirs").decode()}})

        login = credentials.of(settings)

        assert (login.user, login.password.reveal()) == ("ci", "hunter2")

    @pytest.mark.parametrize("missing", [{"registry_user": ""}, {"registry_password": Secret("")}])
    def test_half_of_one_is_none(self, missing, settings, theirs):
        theirs(auths={HOST: {"auth": base64.b64encode(b"they:theirs").decode()}})

        assert credentials.of(replace(settings, **missing)).user == "they"

    def test_nobody(self, nobody, theirs):
        theirs()
        assert credentials.of(nobody) is None

    def test_without_a_docker_configuration(self, nobody, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert credentials.of(nobody) is None

    @pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/"])
    def test_the_users_own(self, key, nobody, theirs):
        theirs(auths={key: {"auth": PAIR}, "other.example": {}})

        assert credentials.of(nobody).password.reveal() == "hunter2"

    def test_an_identity_token(self, nobody, theirs):
        theirs(auths={HOST: {"auth": "", "identitytoken": "t0ken"}})

        login = credentials.of(nobody)

        assert (login.user, login.identity_token.reveal()) == ("", "t0ken")

    def test_docker_hub_has_its_own_name_there(self, nobody, theirs):
        theirs(auths={"https://index.docker.io/v1/": {"auth": PAIR}})

        assert credentials.of(replace(nobody, registry="docker.io")).user == "ci"

    @pytest.mark.parametrize(
        "auths",
        [
            {HOST: "hunter2"},
            {HOST: {"auth": "hunter2"}},
            {HOST: {"auth": base64.b64encode(b"hunter2").decode()}},
            {HOST: {"auth": base64.b64encode(b"\xff:hunter2").decode()}},
            ["hunter2"],
        ],
    )
    def test_what_cannot_be_read_is_not_shown(self, auths, nobody, theirs):
        theirs(auths=auths)

        with pytest.raises(RegistryError, match=f"no login to {HOST} that can be read") as refused:
            credentials.of(nobody)

        assert "hunter2" not in "".join(traceback.format_exception(refused.value))


class TestHelper:
    @pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}])
    def test_is_asked(self, config, nobody, theirs, helper):
        asked = theirs(**config) / "asked"
        helper(f"cat >{asked}; " + says("ci", "hunter2").partition("; ")[2])

        login = credentials.of(nobody)

        assert (login.user, login.password.reveal()) == ("ci", "hunter2")
        assert asked.read_text() == HOST

    def test_an_identity_token(self, nobody, theirs, helper):
        theirs(credsStore="test")
        helper(says("<token>", "t0ken"))

        assert credentials.of(nobody).identity_token.reveal() == "t0ken"

    def test_that_knows_nothing_leaves_it_to_the_file(self, nobody, theirs, helper):
        theirs(credsStore="test", auths={HOST: {"auth": PAIR}})
        helper("cat >/dev/null; echo 'credentials not found in native keychain'; exit 1")

        assert credentials.of(nobody).user == "ci"

    def test_of_another_registry_is_not_asked(self, nobody, theirs):
        theirs(credHelpers={"other.example": "nosuch"}, auths={HOST: {"auth": PAIR}})

        assert credentials.of(nobody).user == "ci"

    @pytest.mark.parametrize(
        ("script", "why"),
        [
            ("cat >/dev/null; echo hunter2; exit 3", "exit code 3"),
            ("cat >/dev/null; echo hunter2", "malformed"),
            ("cat >/dev/null; echo '[\"hunter2\"]'", "malformed"),
        ],
    )
    def test_that_fails(self, script, why, failing):
        with pytest.raises(RegistryError, match=why) as refused:
            failing(script)

        assert "credHelpers" in refused.value.hint
        assert "hunter2" not in "".join(traceback.format_exception(refused.value))
        assert "hunter2" not in str(refused.value.as_dict())

    def test_that_asks_a_person(self, failing, monkeypatch):
        monkeypatch.setattr(credentials, "HELPER_TIMEOUT", 0.2)

        with pytest.raises(RegistryError, match="did not finish"):
            failing("exec sleep 60")

    def test_that_is_not_installed(self, nobody, theirs):
        theirs(credsStore="nosuch")

        with pytest.raises(RegistryError, match=r"docker-credential-nosuch.*not installed"):
            credentials.of(nobody)


class TestEngineAuth:
    def test_a_password(self):
        login = Login(user="ci", password=Secret("hunter2"))

        assert credentials.engine_auth(login, HOST) == {
            "username": "ci",
            "password": "hunter2",
            "serveraddress": HOST,
        }

    def test_an_identity_token(self):
        login = Login(identity_token=Secret("t0ken"))

        assert credentials.engine_auth(login, "docker.io") == {
            "identitytoken": "t0ken",
            "serveraddress": "https://index.docker.io/v1/",
        }

    def test_nobody(self):
        assert credentials.engine_auth(None, HOST) == {}


class TestLogin:
    def test_shows_nothing(self):
        login = Login(user="ci", password=Secret("hunter2"), identity_token=Secret("t0ken"))

        for shown in (repr(login), str(login), f"{login.basic()}"):
            assert not [secret for secret in ("hunter2", "t0ken", PAIR) if secret in shown]

    def test_hides_what_was_sent_back(self):
        login = Login(user="ci", password=Secret("hunter2"), identity_token=Secret("t0ken"))

        assert login.hide_in(f"hunter2 {PAIR} t0ken other") == "*** *** *** other"
