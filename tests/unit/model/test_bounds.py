"""Durations as Go writes them."""

import pytest
from hypothesis import given, strategies as st

from whimbrel.model.bounds import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("2s", 2.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("0s", 0.0)],
)
def test_parse(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "-1s", "1 s", "1s ", "s", "1e3s", "\u0661s"])
def test_what_is_no_duration(text: str):
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(604800, "168h"), (3600, "1h"), (90, "90s"), (300, "5m"), (0.1, "100ms"), (0, "0s")],
)
def test_format_chooses_the_largest_unit_that_fits(seconds: float, text: str):
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_written_reads_back(milliseconds: int):
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)
