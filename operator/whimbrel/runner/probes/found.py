"""What one measurement found, and how a value is compared with what it must be."""

import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from whimbrel.model.order import Order
from whimbrel.model.release.checked import Verdict
from whimbrel.model.release.health import Comparison, Expect, HealthCheck


@dataclass(frozen=True)
class Found:
    """What one measurement says; its texts hold no secret.

    Attributes:
        value: What was measured, or "".
        message: Why it is not a pass, or "".
    """

    verdict: Verdict
    value: str = ""
    message: str = ""


@dataclass(frozen=True)
class Place:
    """Where a probe works.

    Attributes:
        root: Folder of the mounts.
    """

    order: Order
    root: Path


Measure = Callable[[], Awaitable[Found]]


@dataclass(frozen=True)
class Probe:
    """A check, and how it is measured.

    Attributes:
        late: Verdict where no answer came in time.
    """

    check: HealthCheck
    measure: Measure
    late: Verdict = Verdict.FAILED


_OPERATIONS: Final[dict[Comparison, tuple[Callable[[Any, Any], bool], str]]] = {
    Comparison.EQUAL: (operator.eq, ""),
    Comparison.NOT_EQUAL: (operator.ne, "other than "),
    Comparison.LESS: (operator.lt, "less than "),
    Comparison.LESS_OR_EQUAL: (operator.le, "at most "),
    Comparison.GREATER: (operator.gt, "more than "),
    Comparison.GREATER_OR_EQUAL: (operator.ge, "at least "),
}
_TEXTS: Final = (Comparison.EQUAL, Comparison.NOT_EQUAL)
_SHOWN: Final = 40  # characters of a value within a sentence


def passed(value: str) -> Found:
    """Return a pass."""
    return Found(Verdict.PASSED, value)


def failed(message: str, value: str = "") -> Found:
    """Return a failure of the application."""
    return Found(Verdict.FAILED, value, message)


def unknown(message: str, value: str = "") -> Found:
    """Return that nothing was learned about the application."""
    return Found(Verdict.UNKNOWN, value, message)


def compared(expect: Expect, value: str) -> Found:
    """Return what a value says: as numbers where both are, else as text where that has a sense."""
    compare, words = _OPERATIONS[expect.op]
    wanted = f"{words}{expect.value[:_SHOWN]}"
    left, right = _number(value), _number(expect.value)
    if left is None or right is None:
        if expect.op not in _TEXTS:
            return unknown(f"{value[:_SHOWN]!r} cannot be compared with {wanted}", value)
        is_well = compare(value, expect.value)
    else:
        is_well = compare(left, right)
    return passed(value) if is_well else failed(f"{value[:_SHOWN]} is not {wanted}", value)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
