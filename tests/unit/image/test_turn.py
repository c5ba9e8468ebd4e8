import os
import tempfile

import pytest

from pipeline import shell
from pipeline.errors import EngineError
from pipeline.image.turn import turn


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_one_after_the_other(lines):
    for _ in range(2):
        with turn(wait=0, report=lines.append):
            pass

    assert lines == []


def test_two_at_once_are_told_and_end_in_time(lines):
    with (
        turn(wait=0, report=lines.append),
        pytest.raises(EngineError, match=r"has not ended within 0\.1 s") as late,
        turn(wait=0.1, report=lines.append),
    ):
        pytest.fail("both had their turn")

    assert lines == ["Another build goes on here; this one waits for its turn."]
    assert "buildx" in late.value.hint


def test_a_builder_that_outlives_us_keeps_its_turn(lines):
    hold = ["sh", "-c", "sleep 30 >/dev/null 2>&1 & echo $!"]
    with turn(wait=0, report=lines.append):
        left = int(shell.run(hold, timeout=10).stdout)
    try:
        with (
            pytest.raises(EngineError, match="has not ended"),
            turn(wait=0, report=lines.append),
        ):
            pytest.fail("it was nobody's turn")
    finally:
        os.kill(left, 9)


def test_a_link_that_somebody_laid_is_not_followed(folder, lines):
    (folder / f"pipeline-build-{os.getuid()}.lock").symlink_to(folder / "elsewhere")

    with pytest.raises(EngineError, match="cannot be used"), turn(wait=0, report=lines.append):
        pytest.fail("it was followed")

    assert not (folder / "elsewhere").exists()
