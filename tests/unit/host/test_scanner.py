"""The SBOM scanner's stand-in, as BuildKit runs it; syft itself is played by a script."""

import json
import os
import subprocess

import pytest

from pipeline.host.bases import RECIPES

# Writes what it was asked, as its document, where it was told to.
SYFT = """#!/bin/sh
for word; do
    case $word in spdx-json=*) target=${word#spdx-json=} ;; esac
done
[ -d "${word#dir:}" ] || { echo "no such folder: $word" >&2; exit 3; }
printf '{"name": "%s", "asked": "%s"}' "$(basename "$word")" "$*" >"$target"
"""


@pytest.fixture
def scan(tmp_path):
    """Run the scanner with BuildKit's variables, or without some; give what it did."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "syft").write_text(SYFT)
    (programs / "syft").chmod(0o755)
    for folder in ("out", "src/core/sbom", "src/extras/sbom-build", "src/extras/sbom-context"):
        (tmp_path / folder).mkdir(parents=True)

    def run(**changed):
        variables = {
            "BUILDKIT_SCAN_DESTINATION": f"{tmp_path}/out",
            "BUILDKIT_SCAN_SOURCE": f"{tmp_path}/src/core/sbom",
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TMPDIR": str(tmp_path),
        }
        given = {name: value for name, value in (variables | changed).items() if value is not None}
        return subprocess.run(
            [RECIPES / "sbom/entrypoint"], env=given, capture_output=True, text=True, check=False
        )

    return run


def written(tmp_path):
    return {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}


def test_what_was_found_becomes_a_statement_without_a_subject(scan, tmp_path):
    assert scan().returncode == 0
    statements = written(tmp_path)
    assert list(statements) == ["sbom.spdx.json"]
    statement = statements["sbom.spdx.json"]
    assert statement["_type"] == "https://in-toto.io/Statement/v0.1"
    assert statement["predicateType"] == "https://spdx.dev/Document"
    assert statement["subject"] == []
    assert statement["predicate"]["name"] == "sbom"
    assert f"--base-path {tmp_path}/src/core/sbom" in statement["predicate"]["asked"]


def test_other_stages_are_scanned_where_they_are_given(scan, tmp_path):
    assert scan(BUILDKIT_SCAN_SOURCE_EXTRAS=f"{tmp_path}/src/extras/").returncode == 0
    assert set(written(tmp_path)) == {
        "sbom.spdx.json",
        "sbom-build.spdx.json",
        "sbom-context.spdx.json",
    }


def test_stages_that_are_not_there_are_none(scan, tmp_path):
    assert scan(BUILDKIT_SCAN_SOURCE_EXTRAS=f"{tmp_path}/nowhere").returncode == 0
    assert set(written(tmp_path)) == {"sbom.spdx.json"}


def test_a_scan_that_fails_leaves_no_statement_and_says_why(scan, tmp_path):
    done = scan(BUILDKIT_SCAN_SOURCE=f"{tmp_path}/gone")
    assert done.returncode == 3
    assert "no such folder" in done.stderr
    assert written(tmp_path) == {}


@pytest.mark.parametrize("name", ["BUILDKIT_SCAN_DESTINATION", "BUILDKIT_SCAN_SOURCE"])
def test_what_buildkit_always_says_is_asked_for(scan, tmp_path, name):
    done = scan(**{name: None})
    assert done.returncode == 2
    assert name in done.stderr
    assert written(tmp_path) == {}
