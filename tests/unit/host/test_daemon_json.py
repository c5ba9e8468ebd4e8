import json
import stat

import pytest

from pipeline.errors import EngineError, UsageError
from pipeline.host import daemon_json
from pipeline.host.daemon_json import IMAGE_STORE, LIVE_RESTORE, turn_on

BOTH = (LIVE_RESTORE, IMAGE_STORE)


@pytest.fixture
def file(machine):
    daemon_json.SETTINGS.parent.mkdir()
    return daemon_json.SETTINGS


def names():
    return [path.name for path in daemon_json.SETTINGS.parent.iterdir()]


def test_a_file_is_made_with_its_folder(machine):
    assert turn_on(BOTH) == {}
    assert json.loads(daemon_json.SETTINGS.read_text()) == {
        "live-restore": True,
        "features": {"containerd-snapshotter": True},
    }
    assert stat.S_IMODE(daemon_json.SETTINGS.stat().st_mode) == 0o644
    assert names() == ["daemon.json"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_other_keys_their_order_and_the_mode_stay(file, mode):
    file.write_text('{"log-opts": {"tag": "Zoë"}, "live-restore": false, "debug": true}')
    file.chmod(mode)
    turn_on([LIVE_RESTORE])
    text = file.read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["log-opts", "live-restore", "debug"]
    assert json.loads(text)["live-restore"] is True
    assert "Zoë" in text
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_an_empty_file_is_what_dockerd_takes_for_no_settings(file, text):
    file.write_text(text)
    turn_on([LIVE_RESTORE])
    assert json.loads(file.read_text()) == {"live-restore": True}


def test_a_file_that_says_so_already_is_not_touched(file):
    file.write_text('{"live-restore":true}')
    before = file.stat().st_mtime_ns
    turn_on([LIVE_RESTORE])
    assert file.stat().st_mtime_ns == before


def test_a_link_stays_one(file, machine):
    target = machine.path / "kept.json"
    target.write_text('{"debug": true}')
    file.symlink_to(target)
    turn_on([LIVE_RESTORE])
    assert file.is_symlink()
    assert json.loads(target.read_text()) == {"debug": True, "live-restore": True}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_and_nothing_else(file, monkeypatch, step):
    file.write_text('{"debug": true}')

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        *(("os.fsync", fail) if step == "fsync" else (daemon_json.Path, step, fail))
    )
    with pytest.raises(EngineError, match=r"cannot be written: No space left on device"):
        turn_on([LIVE_RESTORE])
    assert file.read_text() == '{"debug": true}'
    assert names() == ["daemon.json"]


def test_a_file_that_cannot_be_read_is_named(file):
    file.mkdir()
    with pytest.raises(UsageError, match=r"daemon\.json cannot be read: Is a directory"):
        turn_on([LIVE_RESTORE])


@pytest.mark.parametrize("features", ['{"buildkit": false}', "{}", "null"])
def test_other_features_stay(file, features):
    file.write_text(f'{{"features": {features}}}')
    turn_on([IMAGE_STORE])
    kept = json.loads(features) or {}
    assert json.loads(file.read_text()) == {"features": {**kept, "containerd-snapshotter": True}}


def test_features_that_are_none_are_refused_unchanged(file):
    file.write_text('{"features": ["containerd-snapshotter"]}')
    with pytest.raises(UsageError, match="its key features is none"):
        turn_on(BOTH)
    assert file.read_text() == '{"features": ["containerd-snapshotter"]}'


@pytest.mark.parametrize(
    ("text", "live_restore", "image_store"),
    [
        ("", None, None),
        ('{"live-restore": true}', True, None),
        ('{"live-restore": false, "features": {"containerd-snapshotter": false}}', False, False),
        ('{"features": {"containerd-snapshotter": true}}', None, True),
        ('{"containerd-snapshotter": true}', None, None),
    ],
)
def test_what_the_file_says(file, *, text, live_restore, image_store):
    file.write_text(text)
    found = daemon_json.value(LIVE_RESTORE), daemon_json.value(IMAGE_STORE)
    assert found == (live_restore, image_store)


def test_containers_of_an_engine_that_does_not_run_are_seen(file, machine):
    assert not daemon_json.has_containers()
    file.write_text(json.dumps({"data-root": str(machine.path / "elsewhere")}))
    folder = machine.path / "elsewhere/containers"
    folder.mkdir(parents=True)
    assert not daemon_json.has_containers()
    (folder / "0f5c").mkdir()
    assert daemon_json.has_containers()
