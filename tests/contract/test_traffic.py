"""What every Traffic does: the fake of the unit tests, and a real HAProxy."""

import pytest

from pipeline.errors import TrafficError
from pipeline.ports import Colour
from tests.contract.labs import TIMEOUT, Lab, sha_of
from tests.e2e.support.machine import eventually


def start(lab: Lab, colour: Colour, mode: str, *, replicas: int = 1) -> None:
    lab.engine.start(colour, lab.bundle(mode), replicas=replicas, timeout=TIMEOUT)


def addresses(lab: Lab, colour: Colour) -> set[str]:
    """Return where the colour's replicas are; the proxy may know places of before as well."""
    return {f"{each.address}:8000" for each in lab.engine.replicas(colour)}


def wait_healthy(lab: Lab, colour: Colour, *, replicas: int = 1) -> None:
    wanted = addresses(lab, colour)
    assert len(wanted) == replicas
    eventually(
        lambda: wanted <= {each.address for each in lab.traffic.servers(colour) if each.healthy},
        within=10,
        what=f"{replicas} healthy server(s) of {colour}",
    )


def test_nothing_is_live_before_the_first_switch(lab: Lab):
    assert lab.traffic.live() is None
    assert not any(each.healthy for each in lab.traffic.servers("blue"))
    assert lab.traffic.sessions("blue") == 0
    assert lab.public().status != 200


def test_a_proxy_that_does_not_run_says_so(lab: Lab):
    away = lab.away()
    assert away.live() is None
    with pytest.raises(TrafficError):
        away.servers("blue")
    with pytest.raises(TrafficError):
        away.recheck("blue", "172.30.0.1:8000")
    with pytest.raises(TrafficError):
        away.sessions("blue")
    with pytest.raises(TrafficError):
        away.switch("blue")


def test_every_replica_becomes_a_healthy_server_at_its_own_address(lab: Lab):
    start(lab, "green", "good", replicas=2)
    wait_healthy(lab, "green", replicas=2)
    assert {each.address for each in lab.traffic.servers("green")} == {
        f"{each.address}:8000" for each in lab.engine.replicas("green")
    }


def test_alive_but_not_ready_is_not_healthy(lab: Lab):
    start(lab, "blue", "unready")
    eventually(
        lambda: [each for each in lab.traffic.servers("blue") if each.check == "L7STS/503"],
        within=10,
        what="a check that got 503",
    )
    assert not any(each.healthy for each in lab.traffic.servers("blue"))


def test_only_a_check_from_now_on_counts_after_a_recheck(lab: Lab):
    start(lab, "blue", "good")
    wait_healthy(lab, "blue")
    (server,) = [each for each in lab.traffic.servers("blue") if each.healthy]
    lab.traffic.recheck("blue", server.address)
    wait_healthy(lab, "blue")

    lab.engine.stop("blue", timeout=2)
    lab.traffic.recheck("blue", server.address)
    assert not any(each.healthy for each in lab.traffic.servers("blue"))


def test_stopped_replicas_leave(lab: Lab):
    start(lab, "blue", "good")
    wait_healthy(lab, "blue")
    lab.engine.stop("blue", timeout=2)
    eventually(
        lambda: not any(each.healthy for each in lab.traffic.servers("blue")),
        within=15,
        what="no healthy server",
    )


def test_requests_go_where_the_switch_says(lab: Lab):
    start(lab, "blue", "good")
    start(lab, "green", "better")
    wait_healthy(lab, "blue")
    wait_healthy(lab, "green")

    assert lab.traffic.switch("blue") is None
    assert lab.traffic.live() == "blue"
    assert lab.public().names(sha_of("good"))

    assert lab.traffic.switch("green") == "blue"
    assert lab.traffic.live() == "green"
    assert lab.public().names(sha_of("better"))

    assert lab.traffic.switch(None) == "green"
    assert lab.traffic.live() is None
    assert lab.public().status != 200


def test_a_restarted_proxy_sends_requests_to_the_same_colour(lab: Lab):
    start(lab, "green", "good")
    wait_healthy(lab, "green")
    lab.traffic.switch("green")
    lab.restart_proxy()
    eventually(lambda: lab.public().names(sha_of("good")), within=15, what="the release")
    assert lab.traffic.live() == "green"


def test_requests_in_flight_are_counted_until_they_are_answered(lab: Lab):
    start(lab, "blue", "good")
    wait_healthy(lab, "blue")
    lab.traffic.switch("blue")
    with lab.request_in_flight("blue"):
        eventually(lambda: lab.traffic.sessions("blue"), within=5, what="a request in flight")
        assert lab.traffic.sessions("green") == 0
    eventually(lambda: lab.traffic.sessions("blue") == 0, within=5, what="no request in flight")


def mixed(lab: Lab) -> None:
    """Blue has requests, green is held back, and the proxy sends to both."""
    start(lab, "blue", "good", replicas=2)
    wait_healthy(lab, "blue", replicas=2)
    lab.traffic.switch("blue")
    lab.traffic.hold("green")
    admit(lab, "blue")  # whose checks for both colours are others
    assert lab.traffic.switch("both") == "blue"
    assert lab.traffic.live() == "both"


def admit(lab: Lab, colour: Colour) -> None:
    for each in addresses(lab, colour):
        eventually(
            lambda address=each: lab.traffic.admit(colour, address), within=10, what="its turn"
        )


def test_nothing_new_gets_requests_before_it_is_admitted(lab: Lab):
    mixed(lab)
    start(lab, "green", "better")
    wait_healthy(lab, "green")
    assert lab.in_the_pool() == {sha_of("good")}
    admit(lab, "green")
    assert lab.in_the_pool() == {sha_of("good"), sha_of("better")}


def test_what_is_dismissed_gets_no_more(lab: Lab):
    mixed(lab)
    start(lab, "green", "better")
    wait_healthy(lab, "green")
    admit(lab, "green")
    for each in lab.traffic.servers("blue"):
        lab.traffic.dismiss(each.address)
    assert lab.in_the_pool() == {sha_of("better")}
    assert all(lab.traffic.in_flight(each.address) == 0 for each in lab.traffic.servers("blue"))


def test_one_that_was_never_there_is_not_admitted(lab: Lab):
    mixed(lab)
    assert not lab.traffic.admit("green", "172.30.255.254:8000")


def test_what_is_started_again_while_both_have_requests_waits_for_its_turn(lab: Lab):
    mixed(lab)
    gone, stays = sorted(lab.engine.replicas("blue"), key=lambda each: -each.number)
    (server,) = [
        each for each in lab.traffic.servers("blue") if each.address == f"{gone.address}:8000"
    ]
    lab.traffic.dismiss(server.address)
    lab.engine.stop("blue", timeout=2, only=[gone.id])
    eventually(
        lambda: (
            [each.address for each in lab.traffic.servers("blue") if each.healthy]
            == [f"{stays.address}:8000"]
        ),
        within=15,
        what="one server left",
    )
    start(lab, "green", "better")
    wait_healthy(lab, "green")
    assert lab.in_the_pool() == {sha_of("good")}
