"""The results as a picture."""

from xml.etree import ElementTree as ET

from tests.bench.picture import BARS, FAINT, OURS, PANELS, TARGET, THEIRS, picture

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    {"name": "blue-green-1", "live_over_floor": 2.0, "p99_during_over_before": 0.75},
    {"name": "<compose> & co", "live_over_floor": 8.0, "p99_during_over_before": 3.0},
    {"name": "failed", "error": "no such thing"},
]


def drawn(rows):
    text = picture(rows, ours=["blue-green-1"], about=["2 cores & more", "3 rounds"])
    return ET.fromstring(text)


def bars(svg, colour):
    return [
        float(each.get("width")) for each in svg.iter(f"{SVG}rect") if each.get("fill") == colour
    ]


def texts(svg):
    return [each.text for each in svg.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values():
    svg = drawn(ROWS)
    assert bars(svg, OURS) == [BARS / 4, BARS / 4]
    assert bars(svg, THEIRS) == [BARS, BARS]
    assert {"2.00", "8.00", "0.75", "3.00", "<compose> & co"} <= set(texts(svg))


def test_a_panel_without_values_is_left_out():
    shown = texts(drawn(ROWS))
    assert [panel.title in shown for panel in PANELS] == [True, True, False]
    assert "failed" not in shown


def test_the_target_is_drawn_where_its_value_would_end():
    (line,) = drawn(ROWS).iter(f"{SVG}line")
    svg = drawn(ROWS)
    start = next(float(e.get("x")) for e in svg.iter(f"{SVG}rect") if e.get("fill") == OURS)
    assert line.get("stroke") == TARGET
    assert float(line.get("x1")) == start + BARS / 2  # 1.5 of 3.0


def test_a_target_beyond_every_bar_is_still_in_the_picture():
    svg = drawn([{"name": "blue-green-1", "throughput_proxy_over_direct": 0.4}])
    assert bars(svg, OURS) == [BARS / 2]  # 0.4 of the target's 0.8


def test_it_says_where_it_was_measured():
    svg = drawn(ROWS)
    where, how = [each for each in svg.iter(f"{SVG}text") if each.get("fill") == FAINT]
    assert (where.text, how.text) == ("2 cores & more", "3 rounds")
    below = [float(each.get("y")) for each in svg.iter(f"{SVG}text")]
    assert max(below) == float(how.get("y")) < float(svg.get("height"))


def test_nothing_measured_is_an_empty_picture():
    assert not list(drawn([]).iter(f"{SVG}line"))
