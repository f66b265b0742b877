import pytest

from whimbrel.model.release.look_back import look_back


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("rate(x[5m])", 300),
        ("rate(x[1h30m]) / rate(y[ 2d ])", 172_800),
        ("max_over_time(rate(x[1m])[10m:30s])", 600),
        ("rate(x[1500ms])", 1.5),
        ('rate(x{path=~"[0-9]+"}[30s])', 30),
        ("rate(x[{{.sinceSwitch}}])", 0),
    ],
)
def test_the_longest_range_of_a_query(query, seconds):
    assert look_back(query) == seconds
