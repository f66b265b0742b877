"""How far back the ranges that are written out in a PromQL query look."""

import re
from typing import Final

# A subquery has a resolution behind its range: [30m:1m].
_RANGE: Final = re.compile(r"\[\s*((?:[0-9]+(?:ms|[smhdwy]))+)\s*[\]:]")
_PART: Final = re.compile(r"([0-9]+)(ms|[smhdwy])")
# https://prometheus.io/docs/prometheus/latest/querying/basics/#time-durations
_SECONDS: Final = {
    "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000,
}  # fmt: skip


def look_back(query: str) -> float:
    """Return the longest range in a query, seconds; 0 where there is none."""
    return max(map(_seconds, _RANGE.findall(query)), default=0.0)


def _seconds(duration: str) -> float:
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))
