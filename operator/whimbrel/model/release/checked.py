"""What health checks measured, and what follows from it for one check."""

import json
import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from whimbrel.model.bounds import Frozen
from whimbrel.model.packed import pack_text, unpack_text

KEPT: Final = 10  # measurements of a check that status shows
# Bytes that packed checks may take of a termination message; the sentence beside them needs some.
PACKED_LIMIT: Final = 2600
_MESSAGE: Final = 120
_VALUE: Final = 64
# Measurements of each check, characters of a value and of a message: the first that fits is taken.
_SHORTER: Final = (
    *((most, _VALUE, _MESSAGE) for most in (KEPT, 5, 3, 1)),
    (1, _VALUE, 20),
    (1, 12, 0),
    (0, 0, 0),
)
_LINE: Final = "whimbrel-checks: "


class Verdict(StrEnum):
    """What one measurement says."""

    PASSED = "Pass"
    FAILED = "Fail"
    UNKNOWN = "Unknown"


class State(StrEnum):
    """What the measurements of one check, or of all, say together."""

    OPEN = "Open"
    GREEN = "Green"
    RED = "Red"
    INCONCLUSIVE = "Inconclusive"


class Measurement(Frozen):
    """One measurement."""

    at: Annotated[str, Field(max_length=40)] = Field(description="RFC 3339.")
    verdict: Verdict = Field(description="Pass, Fail or Unknown.")
    value: Annotated[str, Field(max_length=_VALUE)] = Field("", description="What was measured.")
    message: Annotated[str, Field(max_length=_MESSAGE)] = Field(
        "", description="Why it is not a pass; never a secret."
    )


class CheckStatus(Frozen):
    """One check at one moment."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the check.")
    moment: Annotated[str, Field(max_length=63)] = Field(description="When it is made.")
    state: State = Field(State.OPEN, description="Open, Green, Red or Inconclusive.")
    failures: int = Field(0, description="Failed measurements in a row.")
    last: Annotated[tuple[Measurement, ...], Field(max_length=KEPT)] = Field(
        (), description="The last measurements, oldest first."
    )


def measured(at: str, verdict: Verdict, value: str = "", message: str = "") -> Measurement:
    """Return a measurement with its texts cut to what status holds."""
    value, message = _one_line(value)[:_VALUE], _one_line(message)[:_MESSAGE]
    return Measurement(at=at, verdict=verdict, value=value, message=message)


def _one_line(text: str) -> str:
    """Return a text that JSON, a log and a terminal can carry: others wrote parts of it."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))


def pack_checks(checks: Sequence[CheckStatus]) -> str:
    """Return checks for a termination message: older measurements go first, then texts.

    Ten checks, and the one of the identity, always fit, whatever they say.
    """
    packed = ""
    for most, value, message in _SHORTER:
        packed = _packed([_cut(check, most, value, message) for check in checks])
        if len(packed) <= PACKED_LIMIT:
            break
    return packed


def unpack_checks(packed: str) -> tuple[CheckStatus, ...]:
    """Return the checks of `pack_checks`."""
    if not packed:
        return ()
    return tuple(CheckStatus.model_validate(each) for each in json.loads(unpack_text(packed)))


def checks_line(checks: Sequence[CheckStatus]) -> str:
    """Return the line of a log that shows checks while they are measured."""
    return _LINE + pack_checks(checks)


def read_checks_line(line: str) -> tuple[CheckStatus, ...]:
    """Return the checks of a line of a log; none where it is another line, or a piece of one."""
    begin, mark, packed = line.strip().partition(_LINE)
    try:
        return unpack_checks(packed) if mark and not begin else ()
    except (ValueError, zlib.error):
        return ()


def _packed(checks: Sequence[CheckStatus]) -> str:
    plain = [check.model_dump(mode="json", exclude_defaults=True) for check in checks]
    return pack_text(json.dumps(plain, separators=(",", ":"), ensure_ascii=False))


def _cut(check: CheckStatus, most: int, value: int, message: int) -> CheckStatus:
    last = [
        each.model_copy(update={"value": each.value[:value], "message": each.message[:message]})
        for each in check.last[max(0, len(check.last) - most) :]
    ]
    return check.model_copy(update={"last": tuple(last)})
