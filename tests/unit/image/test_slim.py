"""bin/slim, over what is installed here: shared objects from wheels, as in the image."""

import ctypes
import importlib.machinery
import importlib.util
import shutil
from pathlib import Path

import httptools
import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "bin/slim"


@pytest.fixture(scope="module")
def slim():
    loader = importlib.machinery.SourceFileLoader("slim", str(PROGRAM))
    spec = importlib.util.spec_from_loader("slim", loader)
    module = importlib.util.module_from_spec(spec)
    written, loader.set_data = loader.set_data, lambda *_args, **_how: None  # no bytecode in bin/
    loader.exec_module(module)
    loader.set_data = written
    return module


@pytest.fixture
def installed(tmp_path):
    """A package as pip installs it, with what no process needs."""
    folder = tmp_path / "package"
    shutil.copytree(Path(httptools.__file__).parent, folder)
    (folder / "tests").mkdir()
    (folder / "tests/data.py").write_text("")
    for name in ("fast.pyx", "fast.c", "stub.pyi", "test_it.py", "testing.py", "kept.py", "no.so"):
        (folder / name).write_text(name)
    return folder


def test_what_processes_need_stays_and_works(slim, installed):
    slim.slim(installed)

    assert (installed / "kept.py").read_text() == "kept.py"
    assert (installed / "testing.py").exists()
    assert (installed / "no.so").read_text() == "no.so"
    (parser,) = installed.glob("parser/parser.*.so")
    assert ctypes.CDLL(str(parser)).PyInit_parser


def test_the_rest_goes(slim, installed):
    (parser,) = installed.glob("parser/parser.*.so")
    before = parser.stat().st_size

    slim.slim(installed)

    left = {path.name for path in installed.rglob("*")}
    assert not left & {"tests", "fast.pyx", "fast.c", "stub.pyi", "test_it.py"}
    assert parser.stat().st_size < before


def test_a_second_time_changes_nothing(slim, installed):
    slim.slim(installed)
    once = {path: path.read_bytes() for path in installed.rglob("*") if path.is_file()}

    slim.slim(installed)

    assert {path: path.read_bytes() for path in installed.rglob("*") if path.is_file()} == once
