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
_LINE: Final = "whimbrel-checks: "
_VALUE: Final = 64


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
    return Measurement(at=at, verdict=verdict, value=value[:_VALUE], message=message[:_MESSAGE])


def pack_checks(checks: Sequence[CheckStatus]) -> str:
    """Return checks for a termination message: older measurements go first, then texts."""
    for most in (KEPT, 5, 3, 1):
        packed = _packed([_cut(check, most) for check in checks])
        if len(packed) <= PACKED_LIMIT:
            return packed
    return _packed([_bare(check) for check in checks])


def unpack_checks(packed: str) -> tuple[CheckStatus, ...]:
    """Return the checks of `pack_checks`."""
    if not packed:
        return ()
    return tuple(CheckStatus.model_validate(each) for each in json.loads(unpack_text(packed)))


def checks_line(checks: Sequence[CheckStatus]) -> str:
    """Return the line of a probe's log that shows its checks as they are now."""
    return f"{_LINE}{pack_checks(checks)}"


def checks_in_line(log: str) -> tuple[CheckStatus, ...]:
    """Return the checks of `checks_line`, or () where the text is none."""
    _, mark, packed = log.strip().rpartition(_LINE)
    try:
        return unpack_checks(packed) if mark else ()
    except (ValueError, zlib.error):
        return ()


def _packed(checks: Sequence[CheckStatus]) -> str:
    plain = [check.model_dump(mode="json", exclude_defaults=True) for check in checks]
    return pack_text(json.dumps(plain, separators=(",", ":")))


def _cut(check: CheckStatus, most: int) -> CheckStatus:
    return check.model_copy(update={"last": check.last[-most:]})


def _bare(check: CheckStatus) -> CheckStatus:
    last = [each.model_copy(update={"message": each.message[:20]}) for each in check.last[-1:]]
    return check.model_copy(update={"last": tuple(last)})
