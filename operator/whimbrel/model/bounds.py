"""What a field may hold: bounded texts, durations, and the sentence for a wrong one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final

from annotated_types import GroupedMetadata, MaxLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART: Final = r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)"
DURATION_PATTERN: Final = f"^(?:{_PART})+$"
QUANTITY_PATTERN: Final = r"^[0-9]*[1-9][0-9]*([KMGT]i)?$"


def parse_duration(text: str | float) -> float:
    """Return the seconds of a Go duration such as ``1h30m`` or ``100ms``.

    Raises:
        ValueError: The text is not a duration.
    """
    if isinstance(text, int | float):
        return float(text)
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 100ms, 30s, 5m or 1h30m")
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Return seconds as a Go duration that `parse_duration` reads back."""
    milliseconds = round(seconds * 1000)
    for unit, size in _UNITS.items():
        count, rest = divmod(milliseconds, round(size * 1000))
        if count and not rest:
            return f"{count}{unit}"
    return "0s"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]

_NO_NUL: Final = r"^[^\x00]+$"
_OBJECT_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_DATA_KEY: Final = r"^[-._a-zA-Z0-9]+$"
_ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_IMAGE: Final = r"^\S+$"
_REVISION: Final = r"^[^\s\x00]+$"
_MODULE: Final = r"^[A-Za-z_][A-Za-z0-9_.]*$"
_SCHEME: Final = r"^[a-z][a-z0-9+]*$"
_HEADER: Final = r"^[-A-Za-z0-9]+$"
_HTTP_URL: Final = r"^https?://\S+$"

# PostgreSQL takes any name of 1 to 63 bytes without NUL when it is quoted, and we always quote.
# The API server counts characters, so the runner checks the bytes again (planning.dialects).
Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_NUL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_OBJECT_NAME)]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=_DATA_KEY)]
EnvName = Annotated[str, Field(min_length=1, max_length=128, pattern=_ENV_NAME)]
ImageName = Annotated[str, Field(min_length=1, max_length=1024, pattern=_IMAGE)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=_NO_NUL)]
ModuleName = Annotated[str, Field(min_length=1, max_length=255, pattern=_MODULE)]
Revision = Annotated[str, Field(min_length=1, max_length=255, pattern=_REVISION)]
UrlScheme = Annotated[str, Field(max_length=64, pattern=_SCHEME)]
Label = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=_HEADER)]
HttpUrl = Annotated[str, Field(min_length=1, max_length=1024, pattern=_HTTP_URL)]

# What the API server says instead of "should match '<regular expression>'".
SENTENCES: Final = {
    DURATION_PATTERN: "write a duration such as 100ms, 30s, 5m or 1h30m",
    QUANTITY_PATTERN: "write a size such as 512Mi or 1Gi",
    _NO_NUL: "write at least one character, and no NUL character",
    _OBJECT_NAME: "write an object's name: lower-case letters, digits, '-' and '.', "
    "with a letter or digit at both ends",
    _DATA_KEY: "write letters, digits, '-', '_' and '.' only",
    _ENV_NAME: "write the name of an environment variable: letters, digits and '_', "
    "no digit in front",
    _IMAGE: "write the name of an image, without spaces",
    _REVISION: "write a revision, without spaces",
    _MODULE: "write the dotted name of a Python module",
    _HEADER: "write the name of a header: letters, digits and '-'",
    _HTTP_URL: "write a URL that begins with http:// or https://",
    _SCHEME: "write the scheme of a URL, for example postgresql+psycopg",
}


@dataclass(frozen=True)
class AtMost(GroupedMetadata):
    """The bound of a field of status: what is longer is cut, not refused.

    Others wrote part of it, and the API server refuses the whole status for one text too long:
    it would be tried for ever, and nobody would be told anything.
    """

    most: int

    def __iter__(self) -> Iterator[MaxLen | BeforeValidator]:
        """Yield what pydantic reads: the last one is asked first."""
        yield MaxLen(self.most)
        yield BeforeValidator(self.cut)

    def cut(self, found: Any) -> Any:  # noqa: ANN401  # pydantic judges whatever it is afterwards
        """Return a text, or a list of texts, that says how much is missing; a map just ends."""
        if isinstance(found, dict):
            return dict(islice(found.items(), self.most))
        if not isinstance(found, str | tuple | list) or len(found) <= self.most:
            return found
        if isinstance(found, str):
            return found[: self.most - 4] + " ..."
        return (*found[: self.most - 1], f"and {len(found) - self.most + 1} more")


class Frozen(BaseModel):
    """Frozen, strict about unknown fields, camelCase in YAML."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules (expression, message) in the form that the CRD schema wants."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


def require(fulfilled: bool, sentence: str) -> None:
    """Say in Python what a CEL rule says in the API server; for manifests without a cluster."""
    if not fulfilled:
        raise ValueError(sentence)
