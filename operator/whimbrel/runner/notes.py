"""What the ledger keeps beside the runs, as JSON under a kind and a key: `note`.

A note may be missing at any time, and then nothing is known; whoever reads one has a way without.
"""

import json
from enum import StrEnum
from typing import Any

from whimbrel.runner.ledger import Ledger, read_tables
from whimbrel.runner.sessions import as_json


class Kind(StrEnum):
    """What a note is about.

    Attributes:
        ALONE: By step: what a statement outside a transaction does, while nobody saw its end.
        CHECKPOINT: By checkpoint: what was so before its run, and what that run changed.
        DIGESTS: By history and table of a tool: sha256 by revision, of the files that are applied.
        DUMP: By run: the dump of the database that was made before it.
        IMAGE: By object: what its last good run saw of its image.
        RELEASE: By Service: object and spec of the release that it was switched for last.
        SHAPE: The catalogue at the end of the last run; none while a run changes it.
        TOUCHED: By start of a tool: what the relations that it changed were like before.
    """

    ALONE = "alone"
    CHECKPOINT = "checkpoint"
    DIGESTS = "digests"
    DUMP = "dump"
    IMAGE = "image"
    RELEASE = "release"
    SHAPE = "shape"
    TOUCHED = "touched"


def has_notes(ledger: Ledger) -> bool:
    """Tell whether there is a ledger, and not one of an older Whimbrel that nobody upgraded yet."""
    return "note" in read_tables(ledger)


def read_note(ledger: Ledger, kind: Kind, key: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a note, or None."""
    found = ledger.rows(ledger.words.READ_NOTE, kind.value, key)
    value = found[0][0] if found else None
    return json.loads(value) if isinstance(value, str) else value


def write_note(ledger: Ledger, kind: Kind, key: str, value: object) -> None:
    """Keep a note, instead of an earlier one."""
    ledger.rows(ledger.words.WRITE_NOTE, kind.value, key, as_json(value))


def forget_note(ledger: Ledger, kind: Kind, key: str = "") -> None:
    """Let a note go."""
    ledger.rows(ledger.words.FORGET_NOTE, kind.value, key)
