import errno
import socket
import stat
import threading
from pathlib import Path

import pytest

from pipeline.errors import TrafficError, UnavailableError
from pipeline.traffic import folders, haproxy
from pipeline.traffic.haproxy import MAP_IN_CONTAINER, HAProxy

SAID = Path(__file__).parent  # what HAProxy 2.6.12 said to `show stat`
SERVERS = (SAID / "show_stat_servers.txt").read_text()
BACKEND = (SAID / "show_stat_backend.txt").read_text()
SHOW_BOTH = "show stat both 4 -1"
SHOW_MAP = f"show map {MAP_IN_CONTAINER}"


class Runtime:
    """A runtime socket that answers what was planned; what was not is an error of the test."""

    def __init__(self, path, answers):
        self.answers = answers
        self.asked = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with connection:
                command = connection.recv(4096).decode().removesuffix("\n")
                self.asked.append(command)
                connection.sendall(self.answers.get(command, "unplanned").encode() + b"\n")

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        assert set(self.asked) <= set(self.answers)


@pytest.fixture
def runtime(tmp_path):
    started = []

    def start(answers):
        (tmp_path / "run").mkdir()
        started.append(Runtime(tmp_path / "run/admin.sock", answers))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def proxy(tmp_path):
    (tmp_path / "config").mkdir()
    return HAProxy(config=tmp_path / "config", run=tmp_path / "run")


@pytest.fixture
def live_map(proxy, tmp_path):
    return tmp_path / "config/live.map"


@pytest.mark.parametrize("word", ["blue", "green", "none"])
def test_live_is_what_the_running_proxy_has(word, proxy, live_map, runtime):
    runtime({SHOW_MAP: f"0x5603ce919dd0 live {word}\n"})
    live_map.write_text("live of before\n")
    assert proxy.live() == (None if word == "none" else word)


@pytest.mark.parametrize("content", ["live green\n", "live green", "\nlive   green \n\n"])
def test_a_proxy_that_does_not_run_is_asked_through_its_file(content, proxy, live_map):
    live_map.write_text(content)
    assert proxy.live() == "green"


def test_nothing_is_live_before_there_is_a_proxy(proxy):
    assert proxy.live() is None


@pytest.mark.parametrize(
    "content", ["", "\n", "live", "live red", "green", "live blue x", "\udcff"]
)
def test_a_map_that_names_no_colour_is_told(content, proxy, live_map):
    live_map.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(TrafficError, match=r"live\.map names no colour") as caught:
        proxy.live()
    assert "`live blue`" in caught.value.hint


def test_a_map_that_cannot_be_read_is_told(proxy, live_map):
    live_map.mkdir()
    with pytest.raises(TrafficError, match=r"live\.map cannot be read: Is a directory"):
        proxy.live()


@pytest.mark.parametrize("answer", ["", "Unknown map identifier. Please use #<id> or <file>.\n"])
def test_a_proxy_without_the_map_is_told(answer, proxy, live_map, runtime):
    runtime({SHOW_MAP: answer})
    live_map.write_text("live blue\n")
    with pytest.raises(TrafficError, match="names no colour"):
        proxy.live()


def test_only_a_passed_check_is_healthy(proxy, runtime):
    runtime({"show stat green 4 -1": SERVERS})
    found = {each.address: (each.healthy, each.check) for each in proxy.servers("green")}
    assert found == {
        "127.0.0.2:18000": (True, "L7OK/200"),
        "127.0.0.3:18000": (False, "L7STS/503"),
        "127.0.0.4:18000": (False, "L4CON"),
        "127.0.0.5:18000": (True, "L7OK"),  # passed, and the next check is under way
        "127.0.0.6:18000": (False, "L4CON"),
        "127.0.0.7:18000": (False, "INI"),  # just resolved: UP, but not checked
    }


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ((",UP,", ",DOWN,"), "L7OK/200"),
        ((",UP,", ",NOLB,"), "L7OK/200"),
        (("L7OK,200", ","), "UP"),
        (("L7OK,200", "* L4TOUT,"), "L4TOUT"),
    ],
)
def test_up_and_checked_are_both_needed(change, check, proxy, runtime):
    header, *rows = SERVERS.splitlines()
    row = next(row for row in rows if "127.0.0.2:18000" in row)
    assert change[0] in row
    runtime({"show stat blue 4 -1": f"{header}\n{row.replace(*change)}\n"})
    (server,) = proxy.servers("blue")
    assert (server.healthy, server.check) == (False, check)


def test_a_server_in_maintenance_is_none(proxy, runtime):
    paused = SERVERS.replace(",UP,", ",MAINT,").replace(",DOWN,", ",MAINT,")
    runtime({"show stat blue 4 -1": paused})
    assert [each.check for each in proxy.servers("blue")] == ["INI"]


def test_requests_in_flight_are_running_and_waiting_ones(proxy, runtime):
    assert "green,BACKEND,0,0,0,0," in BACKEND
    busy = BACKEND.replace("green,BACKEND,0,0,0,0,", "green,BACKEND,2,9,3,9,")
    both = SERVERS.replace("green,replica", "both,blue").replace(",UP,", ",DRAIN,")
    busy_too = both.replace("both,blue2,0,0,0,", "both,blue2,1,9,2,")
    assert busy_too != both
    answers = {"show stat green 2 -1": BACKEND, "show stat blue 2 -1": busy}
    runtime(answers | {SHOW_BOTH: busy_too})
    assert proxy.sessions("green") == 0
    assert proxy.sessions("blue") == 8


def test_a_backend_that_the_proxy_does_not_know_is_no_empty_one(proxy, runtime):
    runtime({f"show stat blue {rows} -1": "No such proxy.\n" for rows in (2, 4)})
    for ask in (proxy.servers, proxy.sessions):
        with pytest.raises(TrafficError, match="does not know blue: No such proxy"):
            ask("blue")


def test_one_server_is_checked_again(proxy, runtime):
    command = "set server green/replica2 health down"
    too = "set server both/green2 health down"
    both = SERVERS.replace("green,replica", "both,green")
    asked = runtime({"show stat green 4 -1": SERVERS, SHOW_BOTH: both, command: "", too: ""}).asked
    proxy.recheck("green", "127.0.0.2:18000")
    assert asked == ["show stat green 4 -1", SHOW_BOTH, command, too]
    proxy.recheck("green", "127.0.0.99:18000")
    assert asked[4:] == ["show stat green 4 -1", SHOW_BOTH]


def test_a_switch_reaches_the_running_proxy_and_the_file(proxy, live_map, runtime):
    command = f"set map {MAP_IN_CONTAINER} live green"
    asked = runtime({SHOW_MAP: "0x1 live blue", command: ""}).asked
    assert proxy.switch("green") == "blue"
    assert asked == [SHOW_MAP, command]
    assert live_map.read_text() == "live green\n"


def test_a_switch_to_nobody(proxy, live_map, runtime):
    runtime({SHOW_MAP: "0x1 live none", f"set map {MAP_IN_CONTAINER} live none": ""})
    assert proxy.switch(None) is None
    assert live_map.read_text() == "live none\n"


def test_a_switch_that_is_refused_changes_no_file(proxy, live_map, runtime):
    live_map.write_text("live blue\n")
    command = f"set map {MAP_IN_CONTAINER} live green"
    runtime({SHOW_MAP: "0x1 live blue", command: "entry not found.\n"})
    with pytest.raises(TrafficError, match=r"refused `set map .* live green`: entry not found"):
        proxy.switch("green")
    assert live_map.read_text() == "live blue\n"


def test_a_switch_that_cannot_be_kept_is_taken_back(proxy, live_map, runtime, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    live_map.write_text("live blue\n")
    there, back = (f"set map {MAP_IN_CONTAINER} live {colour}" for colour in ("green", "blue"))
    asked = runtime({SHOW_MAP: "0x1 live blue", there: "", back: ""}).asked
    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(
        UnavailableError, match=r"`live green` could not be kept .* No space"
    ) as caught:
        proxy.switch("green")
    assert asked == [SHOW_MAP, there, back]
    assert live_map.read_text() == "live blue\n"
    assert caught.value.exit_code == 1


def test_a_full_disk_shuts_no_way_back(proxy, live_map, runtime, monkeypatch):
    def full(path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    live_map.write_text("live green\n")
    runtime({SHOW_MAP: "0x1 live green", f"set map {MAP_IN_CONTAINER} live blue": ""})
    monkeypatch.setattr(folders, "_write", full)
    proxy.switch("blue")
    assert live_map.read_text() == "live blue\n"


def test_the_file_is_written_durably(proxy, live_map, runtime, monkeypatch):
    synced = []
    monkeypatch.setattr(
        folders.os,
        "fsync",
        lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name),
    )
    runtime({SHOW_MAP: "0x1 live none", f"set map {MAP_IN_CONTAINER} live blue": ""})
    proxy.switch("blue")
    assert synced == ["live.new", "config"]
    assert [each.name for each in live_map.parent.iterdir()] == ["live.map"]
    assert stat.S_IMODE(live_map.stat().st_mode) == 0o644


def test_a_proxy_that_does_not_run_is_told(proxy, live_map):
    for ask in (proxy.servers, proxy.sessions, proxy.switch, lambda each: proxy.recheck(each, "")):
        with pytest.raises(TrafficError, match=r"socket does not answer .*No such file") as caught:
            ask("blue")
    assert "docker ps" in caught.value.hint
    assert not live_map.exists()


def test_a_proxy_that_hangs_is_told(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(haproxy, "SOCKET_TIMEOUT", 0.05)
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "run/admin.sock"))
        nobody.listen()
        with pytest.raises(TrafficError, match="timed out"):
            proxy.servers("blue")


def test_forgetting_the_live_colour(proxy, live_map):
    proxy.forget()
    assert not live_map.exists()
    live_map.write_text("live blue\n")
    proxy.forget()
    assert proxy.live() is None


def both(**states):
    """Return what HAProxy says of `both`: servers by name, each with its status."""
    header, _down, up, *_ = SERVERS.replace("green,replica", "both,SLOT").splitlines()
    rows = [header]
    for number, (name, status) in enumerate(states.items(), 1):
        row = up.replace("both,SLOT2", f"both,{name}").replace(",UP,", f",{status},")
        rows.append(row.replace("127.0.0.2:18000", f"127.0.0.{number}:80" if status else ""))
    return "\n".join(rows) + "\n"


def test_before_replicas_are_exchanged_all_places_but_the_serving_ones_are_closed(proxy, runtime):
    said = both(blue1="UP", blue2="MAINT", green1="UP", green2="MAINT")
    closed = [f"set server both/{each} state drain" for each in ("blue2", "green1", "green2")]
    opened = "set server both/blue1 state ready"
    asked = runtime({SHOW_BOTH: said, opened: "", **dict.fromkeys(closed, "")}).asked
    proxy.hold("green")
    assert sorted(asked[1:]) == sorted([opened, *closed])


def test_a_replica_is_let_in_once_its_check_has_passed(proxy, runtime):
    ready = "set server both/green1 state ready"
    answers = {SHOW_BOTH: both(blue1="UP", green1="DOWN"), ready: ""}
    asked = runtime(answers).asked
    assert proxy.admit("green", "127.0.0.2:80") is False
    answers[SHOW_BOTH] = both(blue1="UP", green1="DRAIN")
    assert proxy.admit("green", "127.0.0.2:80") is True
    for nobody in ("127.0.0.9:80", "127.0.0.1:80"):  # the latter is in a place of blue's
        assert proxy.admit("green", nobody) is False
    assert asked == [SHOW_BOTH, SHOW_BOTH, ready, SHOW_BOTH, SHOW_BOTH]


def test_a_replica_is_let_out_and_its_requests_are_counted(proxy, runtime):
    drain = "set server both/blue1 state drain"
    said = both(blue1="UP", green1="UP").replace("both,blue1,0,0,0,", "both,blue1,0,0,4,")
    asked = runtime({SHOW_BOTH: said, drain: ""}).asked
    proxy.dismiss("127.0.0.1:80")
    assert proxy.in_flight("127.0.0.1:80") == 4
    assert proxy.in_flight("127.0.0.2:80") == 0
    assert asked[:2] == [SHOW_BOTH, drain]


def test_a_proxy_with_an_older_configuration_can_do_all_but_that(proxy, runtime):
    answers = {SHOW_BOTH: "No such proxy.\n", "show stat blue 2 -1": BACKEND}
    runtime(answers)
    assert proxy.sessions("blue") == 0
    with pytest.raises(TrafficError, match="does not know both") as caught:
        proxy.hold("green")
    assert "invoke down" in caught.value.hint


def test_a_proxy_that_restarts_is_waited_for(proxy, tmp_path, monkeypatch):
    runtimes = [OSError("refused"), OSError("refused"), "0x1 live blue"]

    def say(_command):
        said = runtimes.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    monkeypatch.setattr(proxy, "_say", say)
    monkeypatch.setattr(haproxy, "POLL", 0)
    proxy._answered = True
    assert proxy.live() == "blue"
    assert runtimes == []


def test_one_that_stays_away_is_not_waited_for_twice(proxy, monkeypatch):
    monkeypatch.setattr(haproxy, "PATIENCE", 0)
    proxy._answered = True
    with pytest.raises(TrafficError):
        proxy.servers("blue")
    monkeypatch.setattr(haproxy, "PATIENCE", 3600)
    with pytest.raises(TrafficError):
        proxy.servers("blue")
