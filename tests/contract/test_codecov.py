"""codecov-cli itself, against a server on loopback that writes down what it gets."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline import settings, shell
from pipeline.errors import CommandError
from pipeline.view import codecov

SHA = "6d44cd4b1c3f" + 28 * "0"
TOKEN = "sentinel-token"


class Codecov(ThreadingHTTPServer):
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests = []


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(
            (self.path, self.headers.get("Authorization"), json.loads(body))
        )
        answer = json.dumps(
            {"raw_upload_location": f"{self.server.url}/raw", "url": "here"}
        ).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST  # noqa: N815 - the name is http.server's

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    with Codecov() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def checkout(tmp_path):
    remote = "https://github.com/Some/Repository.git"
    shell.run(["git", "init", "--quiet", "."], cwd=tmp_path, timeout=10)
    shell.run(["git", "remote", "add", "origin", remote], cwd=tmp_path, timeout=10)
    (tmp_path / "coverage.xml").write_text("<coverage/>")
    return tmp_path


def load(server):
    return settings.load(
        {"codecov_url": server.url}, environ={"CODECOV_TOKEN": TOKEN, "PIPELINE_APP": "x"}
    )


def test_the_report_arrives_for_the_commit(server, checkout):
    lines = []
    codecov.upload(load(server), sha=SHA, report=lines.append, cwd=checkout)
    (path, authorization, commit), (_raw, none, upload) = server.requests
    assert path == "/upload/github/Some::::Repository/upload-coverage"
    assert authorization == f"token {TOKEN}"
    assert commit["commitid"] == SHA
    assert none is None, "the storage gets no token"
    assert [file["filename"] for file in upload["coverage_files"]] == [
        str(checkout / "coverage.xml")
    ]
    assert TOKEN not in "\n".join(lines)


def test_a_refused_upload_is_an_error_that_shows_no_token(server, checkout):
    server.status = 401
    with pytest.raises(CommandError) as caught:
        codecov.upload(load(server), sha=SHA, report=lambda _line: None, cwd=checkout)
    assert "Upload queued for processing failed" in caught.value.details
    assert TOKEN not in repr(caught.value.as_dict())
