"""How ssh is called, and what its refusals mean."""

import stat
import sys

import pytest

from pipeline.errors import UnavailableError
from pipeline.ssh import connection
from pipeline.ssh.connection import Connection

CHANGED = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ssh://server", ["--", "server"]),
        ("ssh://deploy@server/", ["--", "deploy@server"]),
        ("ssh://deploy@10.0.0.1:2222", ["-p", "2222", "--", "deploy@10.0.0.1"]),
    ],
)
def test_the_address_is_what_the_setting_says(url, address):
    argv = Connection(url).argv("-T")
    assert argv[0] == "ssh"
    assert argv[-len(address) - 1 :] == ["-T", *address]


def test_ssh_is_never_told_to_be_less_strict():
    for batch in (True, False):
        words = " ".join(Connection("ssh://server").argv(batch=batch)).lower()
        assert "stricthostkeychecking" not in words
        assert "knownhosts" not in words
        assert f"batchmode={'yes' if batch else 'no'}" in words


def test_connections_are_shared_in_a_folder_of_ours_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "LONGEST_SOCKET", 4096)
    (tmp_path / ".cache/pipeline-ssh").mkdir(parents=True, mode=0o755)
    argv = Connection("ssh://server").argv()
    assert f"ControlPath={tmp_path}/.cache/pipeline-ssh/%C" in argv
    assert "ControlMaster=auto" in argv
    assert stat.S_IMODE((tmp_path / ".cache/pipeline-ssh").stat().st_mode) == 0o700


@pytest.mark.parametrize("case", ["too long", "hostile", "not to be made"])
def test_no_connection_is_shared_where_its_socket_can_have_no_path(tmp_path, monkeypatch, case):
    home = tmp_path / ("a %h b" if case == "hostile" else "x")
    monkeypatch.setattr("pathlib.Path.home", lambda: home)
    if case != "too long":
        monkeypatch.setattr(connection, "LONGEST_SOCKET", 4096)
    if case == "not to be made":
        home.touch()
    argv = Connection("ssh://server").argv()
    assert "ControlPath=none" in argv
    assert "ControlMaster=no" in argv


@pytest.mark.parametrize(
    ("said", "message", "step"),
    [
        (CHANGED, "is not the one that is known", "ssh-keygen -R '[server]:2222'"),
        ("Host key verification failed.", "is not known here", "ssh -p 2222 deploy@server"),
        ("deploy@server: Permission denied (publickey).", "lets nobody in", "ssh-copy-id -p 2222"),
        ("ssh: Could not resolve hostname server: x", "no address", "PIPELINE_HOST"),
        ("ssh: connect to host server port 2222: Connection refused", "cannot be reached", "Try"),
    ],
)
def test_a_refusal_is_named_with_the_next_step(server, said, message, step):
    server.first(f'echo "{said}" >&2; exit 255\n')
    with pytest.raises(UnavailableError, match=message) as caught:
        server.run()
    assert step in caught.value.hint
    assert said.splitlines()[-1] in caught.value.details
    assert len(server.calls) == 1


def test_a_server_without_python_is_named(server):
    server.first('echo "sh: 1: exec: python3: not found" >&2; exit 127\n')
    with pytest.raises(UnavailableError, match="has no python3") as caught:
        server.run()
    assert "apt-get install python3" in caught.value.hint


def test_a_server_without_git_is_named(server, tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "few/python3").symlink_to(sys.executable)
    (server.folder / "path").write_text(f"{tmp_path}/few", encoding="utf-8")
    with pytest.raises(UnavailableError, match="git is not installed there") as caught:
        server.run()
    assert "it takes git" in caught.value.hint


@pytest.mark.parametrize("said", ["", "Welcome to the server!", "{}}"])
def test_a_server_that_says_something_else_is_named(server, said):
    server.first(f"echo '{said}'; exit 0\n")
    with pytest.raises(UnavailableError, match="does not answer as it should") as caught:
        server.run()
    assert "python3 --version" in caught.value.hint


def test_a_full_disk_there_is_named(server):
    (server.folder / "home/.local").touch()  # nothing can be made below it
    with pytest.raises(UnavailableError, match=r"deploy@server cannot run commands: .*local"):
        server.run()


def test_a_push_that_fails_is_named(server):
    server.first('case "$last" in git*) echo "No space left on device" >&2; exit 1 ;; esac\n')
    with pytest.raises(UnavailableError, match="could not be brought to deploy@server") as caught:
        server.run()
    assert "No space left on device" in caught.value.details


def test_greetings_of_a_login_shell_do_no_harm(server):
    server.first('case "$last" in exec*) echo "Welcome!" ;; esac\n')
    code, shown = server.run()
    assert code == 0
    assert shown.splitlines()[-1].startswith("{")


@pytest.mark.parametrize("interactive", [True, False])
def test_somebody_who_is_there_may_be_asked(server, interactive):
    script = (
        'case "$*" in *BatchMode=no*) touch "$SERVER/in" ;; esac\n[ -f "$SERVER/in" ] || exit 255\n'
    )
    server.first(script)
    if interactive:
        assert server.run(interactive=True)[0] == 0
        assert server.calls[1].endswith("deploy@server true")
    else:
        with pytest.raises(UnavailableError):
            server.run()


def test_who_answers_wrong_is_told_why(server):
    server.first("echo Permission denied >&2; exit 255\n")
    with pytest.raises(UnavailableError, match="lets nobody in"):
        server.run(interactive=True)
    assert len(server.calls) == 2


def test_a_server_that_takes_too_long_is_named(server, monkeypatch):
    monkeypatch.setattr(connection, "CALL_TIMEOUT", 0.2)
    server.first("exec sleep 30\n")
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s") as caught:
        server.run()
    assert "uptime" in caught.value.hint


def test_a_machine_without_ssh_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="`ssh` is not installed") as caught:
        Connection("ssh://server").ask({})
    assert "openssh-client" in caught.value.hint


def test_a_connection_is_closed_where_the_next_must_be_another(server):
    Connection("ssh://deploy@server").close()
    assert server.calls[-1].endswith("-O exit -- deploy@server")
