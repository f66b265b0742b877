"""How far back the ranges and offsets that are written out in a PromQL query look."""

import re
from typing import Final

_TIME: Final = "(?:[0-9]+(?:ms|[smh]))+"
_PART: Final = re.compile(r"([0-9]+)(ms|[smh])")
# https://prometheus.io/docs/prometheus/latest/querying/basics/#time-durations
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_TEXT: Final = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`"""
# The same patterns stand in the rules of the CRD. A subquery has a resolution behind its range:
# [30m:1m].
RANGE: Final = rf"\[\s*{_TIME}\s*[\]:]"
RANGE_BEGINS: Final = rf"\[\s*{_TIME}"
OFFSET: Final = rf"(?:\[\s*{_TIME}[^\]]*\]\s*)?\b(?i:offset)\s+{_TIME}"
OFFSET_ENDS: Final = rf"{_TIME}$"
# A fixed moment, or a unit that a duration of Kubernetes does not have, outside of texts.
UNKNOWN: Final = (
    rf"""^(?:{_TEXT}|[^"'`])*?(?:@|(?:\[|\b(?i:offset)\s)\s*(?:[0-9]+(?:ms|[smh]))*[0-9]+[dwy])"""
)


def look_back(query: str) -> float:
    """Return the longest range in a query with its offset, seconds; 0 where there is none."""
    ranges = [each.partition(":")[0] for each in re.findall(RANGE, query)]
    moved = [_without_resolution(each) for each in re.findall(OFFSET, query)]
    return max((_seconds(each) for each in (*ranges, *moved)), default=0.0)


def _without_resolution(text: str) -> str:
    begins, ends = re.search(RANGE_BEGINS, text), re.search(OFFSET_ENDS, text)
    return " ".join(each.group() for each in (begins, ends) if each)


def _seconds(text: str) -> float:
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def looks_back_unknown(query: str) -> bool:
    """Tell whether it cannot be said how far a query looks back: `@`, or days and longer."""
    return re.search(UNKNOWN, query) is not None
