import socket
import threading

import pytest

from pipeline.host import probes


def test_within_returns_what_was_found():
    assert probes.within(5, lambda: "found", otherwise="late") == "found"


def test_within_does_not_wait_for_what_hangs():
    release = threading.Event()
    assert probes.within(0.01, release.wait, otherwise=None) is None
    release.set()


@pytest.mark.parametrize("error", [ValueError("broken"), TimeoutError("its own")])
def test_within_raises_what_was_raised(error):
    def look():
        raise error

    with pytest.raises(type(error), match=str(error)):
        probes.within(5, look, otherwise=None)


def test_http_answers(site):
    url = f"http://127.0.0.1:{site}"
    assert probes.http_answers(f"{url}/ok")
    assert not probes.http_answers(f"{url}/private")
    assert probes.http_answers(f"{url}/private", any_status=True)


def test_http_body_and_status(site):
    url = f"http://127.0.0.1:{site}"
    assert probes.http_body(f"{url}/ok") == b"key"
    assert probes.http_body(f"{url}/private") == b""
    assert probes.http_status("127.0.0.1", site, "/private") == 401


def test_a_port_that_is_taken_and_one_that_is_free(site):
    assert "in use" in probes.port_trouble("127.0.0.1", site)
    assert probes.port_trouble("127.0.0.1", 0) == ""
    assert probes.port_trouble("::", 0) == ""


def test_where_nobody_listens_nothing_answers(socket_enabled):
    with socket.socket() as taken:  # bound, but never listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert not probes.http_answers(f"http://127.0.0.1:{port}", any_status=True)
        assert probes.http_body(f"http://127.0.0.1:{port}") == b""
        assert probes.http_status("127.0.0.1", port, "/") is None


@pytest.mark.parametrize(
    ("answer", "alive"), [(b"HTTP/1.0 200 OK\r\n\r\nOK", True), (b"HTTP/1.0 500 No\r\n", False)]
)
def test_an_engine_is_asked_on_its_socket(tmp_path, answer, alive):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine"))
        server.listen()

        def serve():
            line, _ = server.accept()
            with line:
                line.recv(64)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert probes.engine_pings(tmp_path / "engine") is alive
        thread.join()


def test_no_socket_no_engine(tmp_path):
    assert not probes.engine_pings(tmp_path / "nothing")
