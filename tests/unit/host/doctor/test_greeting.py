"""What is asked of a web server, as far as that takes no certificate (tests/contract has those)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.host.doctor import greeting
from pipeline.host.doctor.greeting import greet, is_address, is_loopback, proxy_for

NOWHERE = Path("/nowhere")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("path", "status"), [("ok", 200), ("private", 401), ("none", 404)])
def test_any_status_is_an_answer(site, path, status):
    seen = greet(f"http://127.0.0.1:{site}/{path}", trust=NOWHERE)
    assert (seen.status, seen.trouble, seen.expires) == (status, "", None)
    assert seen.date is not None
    assert seen.skew == 0


@pytest.mark.parametrize(
    ("date", "took", "skew"),
    [
        (0, 0, 0),
        (-1, 0, 0),  # it is cut to the second
        (0.5, 1, 0),  # written on the way
        (-31, 0, 30),
        (31, 1, -30),
    ],
)
def test_what_the_road_takes_is_no_skew(date, took, skew):
    said, after = NOON + timedelta(seconds=date), NOON + timedelta(seconds=took)
    assert greeting._skew(said, NOON, after) == skew


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("", None),
        ("yesterday", None),
        ("Tue, 01 Jan 2030 12:00:00 GMT", NOON),
        ("Tue, 01 Jan 2030 12:00:00 -0000", NOON),
    ],
)
def test_a_date_may_be_nonsense(text, date):
    assert greeting._date(text) == date


def test_an_address_that_is_none():
    assert greet("https://panager.example:port/", trust=NOWHERE).trouble.startswith("it cannot be")


def test_a_bundle_that_is_none(tmp_path):
    (tmp_path / "ca.crt").write_text("nonsense")
    seen = greet("https://127.0.0.1:1/", trust=tmp_path / "ca.crt")
    assert seen.trouble.startswith("it cannot be asked")


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://ghcr.io/v2/", "http://proxy.example:3128"),
        ("https://inside.example/", ""),
        ("https://127.0.0.1:5000/", ""),
        ("http://ghcr.io/", ""),
    ],
)
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_way_leads_through_the_environments_proxy(monkeypatch, url, proxy, scheme):
    monkeypatch.setenv("https_proxy", f"{scheme}proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("host", "address", "loopback"),
    [
        ("127.0.0.1", True, True),
        ("::1", True, True),
        ("localhost", True, True),
        ("10.0.0.7", True, False),
        ("ghcr.io", False, False),
    ],
)
def test_whom_a_name_server_is_asked_about(host, address, loopback):
    assert (is_address(host), is_loopback(host)) == (address, loopback)
