import sys
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.host import pip

LIST = f"{sys.executable} -m pip config list"


def test_what_names_files_of_this_machine_stays_here():
    listing = """\
:env:.cert='/etc/ssl/certs/ca-certificates.crt'
:env:.find-links='/opt/wheels'
global.constraint='/etc/pip/constraints.txt'
global.extra-index-url='file:///opt/simple https://more.example/simple'
global.index-url='/opt/mirror'
list.index-url='https://not-for-install.example'
a line that is none
"""
    assert pip.ways(listing) == {"extra-index-url": "https://more.example/simple"}


def test_the_environment_goes_before_the_command_and_that_before_all():
    listing = """\
:env:.index-url='https://env.example'
global.index-url='https://global.example'
global.proxy='http://global.example:3128'
global.timeout='5'
install.index-url='https://install.example'
install.proxy='http://install.example:3128'
"""
    assert pip.ways(listing) == {
        "index-url": "https://env.example",
        "proxy": "http://install.example:3128",
        "timeout": "5",
    }


def test_what_is_no_python_string_is_passed_over():
    assert pip.ways("global.index-url='https://broken\nglobal.proxy=http://x\n") == {}


def test_a_machine_that_goes_where_everybody_goes_needs_no_file(machine, tmp_path):
    assert pip.config(tmp_path / "pip.conf") is None
    assert not (tmp_path / "pip.conf").exists()


def test_its_own_ways_are_written_for_nobody_else_to_read(machine, tmp_path):
    machine.commands.plan(LIST, "global.index-url='https://user:word@pypi.example'\n")
    written = pip.config(tmp_path / "pip.conf")
    assert written == tmp_path / "pip.conf"
    assert written.read_text() == "[global]\nindex-url = https://user:word@pypi.example\n"
    assert written.stat().st_mode & 0o777 == 0o600


def test_the_setting_goes_before_the_machine(machine, tmp_path, monkeypatch):
    named = tmp_path / "own.conf"
    named.touch()
    monkeypatch.setenv("PIPELINE_PIP_CONFIG", str(named))
    assert pip.config(Path("/nowhere/pip.conf")) == named
    assert machine.commands.ran == []


def test_a_file_that_is_set_and_missing_is_named(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_PIP_CONFIG", str(tmp_path / "gone.conf"))
    with pytest.raises(UsageError, match=r"gone\.conf for the build does not exist"):
        pip.config(tmp_path / "pip.conf")
