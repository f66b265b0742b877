"""Reads features.sql: what may hang on a table, and must hang there after a restore."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = re.compile(
    r"-- feature: ([^,\n]+)(?:, since (\d+))?(?:, chance ([\d.]+))?(, refused)?\n"
)
OLDEST: Final = 14


@dataclass(frozen=True)
class Feature:
    """Something that hangs on a table.

    Attributes:
        label: What it is, for a report.
        since: First major version that has it.
        chance: How often a schema gets it.
        is_refused: A checkpoint is refused where a table has it.
        statements: Run by the owner, in this order.
    """

    label: str
    since: int
    chance: float
    is_refused: bool
    statements: tuple[str, ...]


def _read(text: str) -> tuple[Feature, ...]:
    parts = _HEAD.split(text)[1:]
    found = []
    rows = zip(*(parts[at::5] for at in range(5)), strict=True)
    for label, since, chance, refused, body in rows:
        statements = tuple(each.strip() for each in re.split(r";\n", body) if each.strip())
        numbers = int(since or OLDEST), float(chance or 0.4), bool(refused)
        found.append(Feature(label, *numbers, statements))
    return tuple(found)


FEATURES: Final = _read((Path(__file__).parent / "features.sql").read_text(encoding="utf-8"))
