"""What can be typed behind `nox -s bench --`."""

import argparse

import pytest

from tests.bench.__main__ import OUT, about, parser, peer, rounded


def test_by_default_everything_is_measured_three_times():
    options = parser().parse_args([])
    assert (options.rounds, options.peer, options.only, options.out) == (3, [], [], OUT)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("kamal=bin/peer", ("bin/peer",)),
        ("docker rollout=sh -c 'echo $A = b; false'", ("sh", "-c", "echo $A = b; false")),
        (" x =true", ("true",)),
    ],
)
def test_a_peer_is_a_name_and_a_command(text, argv):
    assert peer(text) == (text.split("=")[0].strip(), argv)


@pytest.mark.parametrize("text", ["kamal", "kamal=", "=true", "kamal=  ", "kamal='", ""])
def test_what_is_no_peer_is_refused(text, capsys):
    with pytest.raises(argparse.ArgumentTypeError):
        peer(text)
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args([f"--peer={text}"])
    assert "--peer" in capsys.readouterr().err


def test_peers_add_up():
    options = parser().parse_args(["--peer", "a=x", "--peer", "b=y z"])
    assert dict(options.peer) == {"a": ("x",), "b": ("y", "z")}


@pytest.mark.parametrize("rounds", ["0", "-1", "x", "1.5", ""])
def test_rounds_start_at_one(rounds, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args([f"--rounds={rounds}"])
    assert "is not a number from 1 up" in capsys.readouterr().err


def test_figures_have_four_digits_after_the_point():
    assert rounded({"a": [1.23456, 2], "b": None, "c": "x"}) == {
        "a": [1.2346, 2],
        "b": None,
        "c": "x",
    }


def test_machine_and_load_are_a_line_each():
    machine = {
        "cores": 2,
        "memory_gib": 24.0,
        "kernel": "Linux 6",
        "engine": "26",
        "compose": "2",
        "date": "2026-01-01",
    }
    load = {"requests_per_second": 100.0, "connections": 10}
    assert about({"machine": machine, "load": load, "rounds": 3}) == (
        "2 cores, 24 GiB, Linux 6, Docker 26, Compose 2, 2026-01-01",
        "100 requests/s over 10 connections, rounds of each row: 3",
    )
