"""A server for `requests`, in memory: it gives planned answers and refuses any other question."""

from dataclasses import dataclass, field
from io import BytesIO

from requests import Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse


@dataclass
class Planned(BaseAdapter):
    """Answers in turn; the last one of a question is given for ever.

    Attributes:
        plan: By method and address: status, headers and body, or the error instead.
        asked: Method, address and `Authorization` of each question.
        bodies: What was sent.
        timeouts: (connect, read) of each question.
    """

    plan: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    timeouts: list = field(default_factory=list)

    def on(self, method, url, *answers):
        self.plan[method, url] = list(answers)

    def send(self, request, *, timeout, verify, **how):
        self.asked.append((request.method, request.url, request.headers.get("Authorization", "")))
        self.bodies.append(request.body)
        self.timeouts.append(timeout)
        answers = self.plan.get((request.method, request.url))
        assert answers, f"Nobody planned {request.method} {request.url}."
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, headers, body = answer
        response = Response()
        response.status_code, response.request, response.url = status, request, request.url
        response.headers = CaseInsensitiveDict(headers)
        body = b"" if request.method == "HEAD" else body
        response.raw = HTTPResponse(BytesIO(body), headers, status, preload_content=False)
        return response

    def close(self):
        self.plan = {}


def answer(status=200, body=b"", **headers):
    """Return an answer; `Content_Type` is the header Content-Type."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body
