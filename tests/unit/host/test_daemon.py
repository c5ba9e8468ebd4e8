import json
import stat

import pytest

from pipeline.errors import EngineError, UsageError
from pipeline.host import daemon


@pytest.fixture
def file(machine):
    daemon.SETTINGS.parent.mkdir()
    return daemon.SETTINGS


def names():
    return [path.name for path in daemon.SETTINGS.parent.iterdir()]


def turn_on(said):
    daemon.turn_on_live_restore(reload=False, systemd=False, report=said.append)


def test_a_file_is_made_with_its_folder(machine, said):
    turn_on(said)
    assert json.loads(daemon.SETTINGS.read_text()) == {"live-restore": True}
    assert stat.S_IMODE(daemon.SETTINGS.stat().st_mode) == 0o644
    assert said == [f"live-restore is on in {daemon.SETTINGS}"]
    assert names() == ["daemon.json"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_other_keys_their_order_and_the_mode_stay(file, said, mode):
    file.write_text('{"log-opts": {"tag": "Zoë"}, "live-restore": false, "debug": true}')
    file.chmod(mode)
    turn_on(said)
    text = file.read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["log-opts", "live-restore", "debug"]
    assert json.loads(text)["live-restore"] is True
    assert "Zoë" in text
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_an_empty_file_is_what_dockerd_takes_for_no_settings(file, said, text):
    file.write_text(text)
    turn_on(said)
    assert json.loads(file.read_text()) == {"live-restore": True}


def test_a_file_that_says_so_already_is_not_touched(file, said):
    file.write_text('{"live-restore":true}')
    before = file.stat().st_mtime_ns
    turn_on(said)
    assert file.stat().st_mtime_ns == before


def test_a_link_stays_one(file, said, machine):
    target = machine.path / "kept.json"
    target.write_text('{"debug": true}')
    file.symlink_to(target)
    turn_on(said)
    assert file.is_symlink()
    assert json.loads(target.read_text()) == {"debug": True, "live-restore": True}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_and_nothing_else(file, said, monkeypatch, step):
    file.write_text('{"debug": true}')

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(("os.fsync", fail) if step == "fsync" else (daemon.Path, step, fail)))
    with pytest.raises(EngineError, match=r"cannot be written: No space left on device"):
        turn_on(said)
    assert file.read_text() == '{"debug": true}'
    assert names() == ["daemon.json"]
    assert said == []


def test_a_file_that_cannot_be_read_is_named(file, said):
    file.mkdir()
    with pytest.raises(UsageError, match=r"daemon\.json cannot be read: Is a directory"):
        turn_on(said)


def test_a_daemon_that_ended_has_no_flags(machine):
    assert not daemon.has_own_flags(2**22 + 1)  # past the highest process id
