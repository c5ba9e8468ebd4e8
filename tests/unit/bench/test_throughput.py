"""What wrk says, and what it is held against."""

import shutil

import pytest

from tests.bench import throughput

SHOWN = """Running 2s test @ http://127.0.0.1:8000/health
  1 threads and 32 connections
  10231 requests in 2.00s, 2.10MB read
{trouble}Requests/sec:   5110.27
Transfer/sec:      1.05MB
"""


def test_the_rate_is_read():
    assert throughput.parse(SHOWN.format(trouble="")) == 5110.27


@pytest.mark.parametrize(
    "trouble",
    [
        "  Non-2xx or 3xx responses: 17\n",
        "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
    ],
)
def test_requests_that_went_wrong_are_no_throughput(trouble):
    with pytest.raises(AssertionError, match=f"^wrk: {trouble.strip()}$"):
        throughput.parse(SHOWN.format(trouble=trouble))


def test_no_rate_is_no_figure():
    with pytest.raises(AssertionError, match="said nothing"):
        throughput.parse("unable to connect\n")


def test_a_row_has_the_middle_ratio_not_the_ratio_of_the_middle():
    turns = [
        {"proxy": 50.0, "published": 40.0, "direct": 100.0},
        {"proxy": 45.0, "published": 45.0, "direct": 50.0},
        {"proxy": 80.0, "published": 20.0, "direct": 200.0},
    ]
    row = throughput.summary(turns)
    assert row["throughput_proxy_over_direct"] == 0.5
    assert row["throughput_published_over_direct"] == 0.4
    assert row["requests_per_second_proxy"] == 50.0
    assert row["requests_per_second_direct"] == 100.0


def test_a_missing_wrk_comes_with_the_next_step(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert throughput.missing() == "wrk is not installed. Next step: apt-get install wrk"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert not throughput.missing()
