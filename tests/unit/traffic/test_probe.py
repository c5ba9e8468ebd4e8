import http.server
import json
import threading

import pytest

from pipeline.ports import Answer
from pipeline.traffic import probe
from pipeline.traffic.probe import HealthProbe, Prober

pytestmark = pytest.mark.enable_socket  # a server on the loopback interface

SHA = "a" * 40
GOOD = json.dumps({"status": "healthy", "sha": SHA})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold a body back for 40 ms

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"], self.client_address[1]))
        plan = self.server.plan
        (plan.pop(0) if len(plan) > 1 else plan[0])(self)
        if len(self.server.asked) >= self.server.enough:
            self.server.seen_enough.set()

    def log_message(self, *_):
        pass


def answers(status, body, *, length=None):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(length or len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())
        handler.close_connection = length is not None

    return answer


def stalls(handler):
    handler.server.released.wait(10)
    handler.close_connection = True


def hangs_up(handler):
    handler.close_connection = True


def talks_nonsense(handler):
    handler.wfile.write(b"220 smtp.example.org ESMTP\r\n")
    handler.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, *plan, enough=1):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = list(plan)
        self.asked = []
        self.enough = enough
        self.seen_enough, self.released = threading.Event(), threading.Event()
        self.address = f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        pass  # a client that has gone away is part of the test

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


def ask(*plan):
    with Server(*plan) as server:
        answer = HealthProbe(path="/health", host="app.example")(server.address)
    assert [(path, host) for path, host, _ in server.asked] == [("/health", "app.example")]
    return answer


def test_a_healthy_answer_names_its_commit():
    answer = ask(answers(200, GOOD))
    assert answer == Answer(status=200, sha=SHA, text=GOOD)
    assert answer.names(SHA)
    assert not answer.names("b" * 40)
    assert str(answer) == f"200: {GOOD}"


def test_a_commit_behind_a_failure_is_not_healthy():
    answer = ask(answers(503, GOOD))
    assert (answer.status, answer.sha) == (503, SHA)
    assert not answer.names(SHA)


@pytest.mark.parametrize(
    "body",
    ["", "ok", "{", "[]", '"x"', "null", "{}", '{"sha": null}', '{"sha": 5}', '{"sha": ["a"]}'],
)
def test_an_answer_that_names_no_commit(body):
    assert ask(answers(200, body)) == Answer(status=200, sha="", text=body)


def test_a_long_answer_is_cut_for_messages():
    assert ask(answers(500, "x" * 5000)).text == "x" * 300


def test_bytes_that_are_no_text():
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1")
        handler.end_headers()
        handler.wfile.write(b"\xff")

    assert ask(answer).text == "\ufffd"


def test_nobody_is_there():
    with Server(hangs_up) as server:
        address = server.address
    answer = HealthProbe(path="/", host="h")(address)
    assert (answer.status, answer.sha) == (0, "")
    assert "Connection refused" in answer.text
    assert str(answer).startswith("no answer: ")


def test_an_answer_that_does_not_come(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT", 0.05)
    assert ask(stalls) == Answer(status=0, sha="", text="timed out")


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (hangs_up, "closed connection"),
        (answers(200, GOOD, length=1000), "IncompleteRead"),
        (talks_nonsense, "220 smtp"),
    ],
)
def test_an_answer_that_is_none(plan, says):
    answer = ask(plan)
    assert (answer.status, answer.sha) == (0, "")
    assert says in answer.text


def observe(*plan, enough):
    """Let a prober run until the server has seen that many of its requests."""
    with Server(*plan, enough=enough) as server:
        prober = Prober(probe=HealthProbe(path="/health", host="h"), address=server.address)
        with prober:
            assert server.seen_enough.wait(30)
    assert not prober._thread.is_alive()
    return prober, server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(probe, "INTERVAL", 0.001)


def test_a_prober_asks_all_the_time_on_one_connection():
    prober, server = observe(answers(200, GOOD), enough=5)
    assert len({port for _, _, port in server.asked}) == 1
    assert prober.failed == 0
    found = prober.result()
    assert found["sent"] == len(server.asked)
    assert 0 < found["p99_ms"] < 1000


def test_a_prober_counts_what_gets_lost_and_connects_again():
    good = answers(200, GOOD)
    prober, server = observe(good, hangs_up, good, answers(503, "no"), good, enough=6)
    assert prober.result()["failed"] == 2
    assert len({port for _, _, port in server.asked}) == 2


def test_a_prober_that_gets_no_answer_counts_each_failure():
    prober, server = observe(hangs_up, enough=3)
    found = prober.result()
    assert found["failed"] == found["sent"] == len(server.asked)


@pytest.mark.parametrize(
    ("latencies", "p99"),
    [
        ([0.005], 5.0),
        ([0.001] * 99 + [9.0], 1.0),
        ([0.001] * 98 + [0.002, 9.0], 2.0),
        ([0.00123456], 1.2),
    ],
)
def test_a_percentile_is_the_nearest_rank(latencies, p99):
    prober = Prober(probe=HealthProbe(path="/", host="h"), address="", latencies=latencies)
    assert prober.result() == {"sent": len(latencies), "failed": 0, "p99_ms": p99}


def test_a_prober_that_sent_nothing():
    prober = Prober(probe=HealthProbe(path="/", host="h"), address="")
    assert prober.result() == {"sent": 0, "failed": 0, "p99_ms": None}
