import os
import stat

import pytest

from pipeline.errors import TrafficError, UsageError
from pipeline.traffic import folders
from pipeline.traffic.folders import install


@pytest.fixture
def chown_does_nothing(monkeypatch):
    monkeypatch.setattr(folders.os, "chown", lambda *_: None)


@pytest.mark.parametrize(("effective", "user"), [(0, (99, 99)), (1000, (1000, 7))])
def test_the_proxy_s_user(effective, user, tmp_path, monkeypatch):
    chowned = []
    monkeypatch.setattr(folders.os, "chown", lambda *args: chowned.append(args))
    monkeypatch.setattr(folders.os, "geteuid", lambda: effective)
    monkeypatch.setattr(folders.os, "getegid", lambda: 7)
    install(config=tmp_path / "c", run=tmp_path / "r")
    assert folders.owner() == user
    assert chowned == [(tmp_path / "r", *user)]


@pytest.mark.usefixtures("chown_does_nothing")
def test_the_proxy_s_folders_can_be_read_by_its_user_whatever_the_umask(tmp_path):
    config, run = tmp_path / "state/config", tmp_path / "state/run"
    before = os.umask(0o077)
    try:
        install(config=config, run=run)
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (config, run)}
    assert modes == {"config": 0o755, "run": 0o750}
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in config.iterdir()} == {
        "gate.lua": 0o644,
        "haproxy.cfg": 0o644,
        "live.map": 0o644,
    }
    assert (config / "live.map").read_text() == "live none\n"


@pytest.mark.usefixtures("chown_does_nothing")
def test_what_is_live_survives_the_next_deployment(tmp_path):
    install(config=tmp_path, run=tmp_path / "run")
    (tmp_path / "live.map").write_text("live green\n")
    (tmp_path / "haproxy.cfg").write_text("old")
    install(config=tmp_path, run=tmp_path / "run")
    assert (tmp_path / "live.map").read_text() == "live green\n"
    assert "backend green" in (tmp_path / "haproxy.cfg").read_text()


def test_folders_of_somebody_else_are_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(folders.os, "chown", refuse)
    with pytest.raises(TrafficError, match=r"cannot be laid out: .*not permitted") as caught:
        install(config=tmp_path / "c", run=tmp_path / "r")
    assert "state_dir" in caught.value.hint


def test_a_state_folder_too_deep_for_a_socket_is_refused_before_anything_is_made(tmp_path):
    run = tmp_path / ("d" * 100)
    with pytest.raises(UsageError, match="too long for the path of a socket") as caught:
        install(config=tmp_path / "proxy", run=run)
    assert "PIPELINE_STATE_DIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
