import errno
import os
import stat

import pytest

from pipeline.errors import UnavailableError, UsageError
from pipeline.release.release import release
from pipeline.release.store import State

COMPOSE = "services: {}\n"
ENV = 'PASSWORD="zoë"\n'
RELEASE = release(
    sha="a" * 40,
    image=f"ghcr.io/panager/panager@sha256:{'b' * 64}",
    compose=COMPOSE,
    env_hash="e",
    migrations="m",
)


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "some/state", app="panager")
    state.create()
    return state


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def refuse(number):
    def refused(*_args, **_options):
        raise OSError(number, os.strerror(number))

    return refused


def test_the_folder_is_the_owner_s_alone(state):
    assert mode(state.folder) == 0o700
    state.create()


def test_a_folder_that_was_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    State(tmp_path, app="panager").create()
    assert mode(tmp_path) == 0o755


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/x"):
        with pytest.raises(UsageError, match="cannot be used: Not a dir") as caught:
            State(folder, app="panager").create()
    assert "PIPELINE_STATE_DIR" in caught.value.hint


def test_a_folder_of_another_app_is_named_and_left_alone(state):
    before = sorted(state.folder.iterdir())
    for use in (State(state.folder, app="other").check, State(state.folder, app="other").create):
        with pytest.raises(UsageError, match="is that of the app 'panager', not 'other'") as caught:
            use()
        assert "PIPELINE_STATE_DIR" in caught.value.hint
    assert sorted(state.folder.iterdir()) == before


def test_a_folder_of_before_gets_its_owner_s_name(state):
    (state.folder / "app").unlink()
    State(state.folder, app="other").check()
    state.create()
    state.check()
    assert (state.folder / "app").read_text() == "panager\n"


def test_what_is_kept_comes_back(state):
    state.save(RELEASE, compose=COMPOSE, env=ENV)
    assert (state.compose(RELEASE.id), state.env(RELEASE.id)) == (COMPOSE, ENV)


def test_what_is_kept_is_the_owner_s_alone_and_nothing_else_is_left(state):
    before = os.umask(0)
    try:
        state.save(RELEASE, compose=COMPOSE, env=ENV)
    finally:
        os.umask(before)
    folder = state.folder / "releases" / RELEASE.id
    assert mode(folder) == 0o700
    assert {each.name: mode(each) for each in folder.iterdir()} == {
        "docker-compose.yml": 0o600,
        "env": 0o600,
    }


def test_keeping_it_again_mends_it(state):
    folder = state.folder / "releases" / RELEASE.id
    folder.mkdir(parents=True)
    (folder / "env").write_text("torn")
    (folder / "env.new").write_text("torn")
    state.save(RELEASE, compose=COMPOSE, env=ENV)
    assert state.env(RELEASE.id) == ENV
    assert mode(folder / "env") == 0o600


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_cannot_be_written(number, state, monkeypatch):
    monkeypatch.setattr("pipeline.release.store.os.open", refuse(number))
    with pytest.raises(UnavailableError, match=os.strerror(number)) as caught:
        state.save(RELEASE, compose=COMPOSE, env=ENV)
    assert caught.value.exit_code == 1
    assert ENV not in str(caught.value.as_dict())


def test_a_write_that_fails_leaves_what_was_there(state, monkeypatch):
    state.save(RELEASE, compose=COMPOSE, env=ENV)
    monkeypatch.setattr("pipeline.release.store.os.fsync", refuse(errno.EIO))
    with pytest.raises(UnavailableError):
        state.save(RELEASE, compose=COMPOSE, env="torn")
    assert state.env(RELEASE.id) == ENV


def test_a_release_whose_files_are_gone_or_damaged(state):
    for read in (state.env, state.compose):
        with pytest.raises(UnavailableError, match=f"of release {RELEASE.id} cannot be read: .*No"):
            read(RELEASE.id)
    state.save(RELEASE, compose=COMPOSE, env=ENV)
    (state.folder / "releases" / RELEASE.id / "env").write_bytes(b"\xff")
    with pytest.raises(UnavailableError, match="cannot be read: 'utf-8' codec") as caught:
        state.env(RELEASE.id)
    assert "invoke history" in caught.value.hint


def test_what_compose_needs_names_the_release_and_no_secret(state):
    state.save(RELEASE, compose=COMPOSE, env=ENV)
    bundle = state.bundle(RELEASE, {"PIPELINE_PORT": "80", "PIPELINE_IMAGE": "other"})
    assert bundle.compose_file.read_text() == COMPOSE
    assert bundle.variables == {
        "PIPELINE_PORT": "80",
        "PIPELINE_IMAGE": RELEASE.image,
        "PIPELINE_RELEASE": RELEASE.id,
        "PIPELINE_ENV_FILE": str(state.folder / "releases" / RELEASE.id / "env"),
        "PIPELINE_PROXY_DIR": str(state.folder / "proxy"),
        "PIPELINE_PROXY_RUN": str(state.folder / "run"),
    }
