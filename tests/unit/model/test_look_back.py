import pytest

from whimbrel.model.release.look_back import look_back, looks_back_unknown


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("rate(x[5m])", 300),
        ("rate(x[1h30m]) / rate(y[ 2h ])", 7200),
        ("rate(x[30s] offset 10m)", 630),
        ("x OFFSET 1h", 3600),
        ("rate(x[5m]) / rate(x[5m]\n  offset\n  1h)", 3900),
        ("max_over_time(rate(x[1m])[10m:30s] offset 5m)", 900),
        ("x offset -5m", 0),
        ("kafka_offset 5", 0),
        ("max_over_time(rate(x[1m])[10m:30s])", 600),
        ("rate(x[1500ms])", 1.5),
        ('rate(x{path=~"[0-9]+"}[30s])', 30),
        ("rate(x[{{.sinceSwitch}}])", 0),
    ],
)
def test_the_longest_range_of_a_query(query, seconds):
    assert look_back(query) == seconds


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("rate(x[5m])", False),
        ("rate(x[1d])", True),
        ("rate(x[ 1w ])", True),
        ("rate(x[1h2d])", True),
        ("x offset 1y", True),
        ("x @ 1609746000", True),
        ("x{a='@'} @ start()", True),
        ('x{mail="a@b", path=~"[1d]"}', False),
        (r'x{a="\"@"}', False),
        ("x{a=`@`}", False),
    ],
)
def test_what_nobody_can_say_how_far_it_looks_back(query, unknown):
    assert looks_back_unknown(query) is unknown
