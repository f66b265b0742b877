"""What an author asks of a checkpoint, and what status shows of the one that is kept."""

import re
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from whimbrel.model.bounds import (
    QUANTITY_PATTERN,
    AtMost,
    Duration,
    Frozen,
    Identifier,
    parse_duration,
    require,
    rules,
)
from whimbrel.model.dump import DumpOptions

_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_TABLES: Final = (
    "list `tables` with scope Tables, and none with scope Auto, which covers what the migration "
    "touches"
)
_KEPT: Final = "write a keepFor longer than zero: a checkpoint that is not kept restores nothing"
_FROZEN: Final = (
    "writeFreeze makes a dump the way back: write `dump` with image and claimName, or leave it out"
)
_RENAMED: Final = "name two columns that differ in `from` and `to`"
MOST_TABLES: Final = 64
SHOWN: Final = 16  # tables that status names


def parse_bytes(text: str | int) -> int:
    """Return the bytes of a quantity such as ``512Mi``.

    Raises:
        ValueError: The text is not a quantity.
    """
    if isinstance(text, int):
        return text
    found = re.fullmatch(r"([0-9]+)([KMGT]i)?", text)
    if found is None or not int(found[1]):
        raise ValueError("write a size such as 512Mi or 1Gi")
    return int(found[1]) * _UNITS[found[2] or ""]


def format_bytes(size: int) -> str:
    """Return bytes as a quantity that `parse_bytes` reads back."""
    units = [unit for unit, factor in _UNITS.items() if size % factor == 0]
    return f"{size // _UNITS[units[-1]]}{units[-1]}"


Size = Annotated[
    int,
    BeforeValidator(parse_bytes),
    PlainSerializer(format_bytes, return_type=str),
    WithJsonSchema({"type": "string", "pattern": QUANTITY_PATTERN, "maxLength": 32}),
]


class Scope(StrEnum):
    """Which tables are covered."""

    AUTO = "Auto"
    TABLES = "Tables"


class OnLaterRun(StrEnum):
    """What happens to a checkpoint when a later run wants to change the database."""

    CLOSE = "Close"
    WAIT = "Wait"


class OnConflict(StrEnum):
    """What happens to a value that the shape before has no place for."""

    RECORD = "Record"
    HOLD = "Hold"


class CoveredTable(Frozen):
    """A table by its name."""

    schema_name: Identifier = Field("public", alias="schema", description="Its schema.")
    name: Identifier = Field(description="Its name.")


class RenamedColumn(Frozen):
    """A column that the migration renames: values written under the new name go back."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from != self.to", _RENAMED)))

    table: CoveredTable = Field(description="Its table.")
    before: Identifier = Field(alias="from", description="Its name before the migration.")
    after: Identifier = Field(alias="to", description="Its name afterwards.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        require(self.before != self.after, _RENAMED)
        return self


class CheckpointOptions(Frozen):
    """A copy of tables with a journal of the application's writes: restored, nothing is lost."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.scope == 'Tables') == (has(self.tables) && size(self.tables) > 0)", _TABLES),
            ("!self.keepFor.matches(r'^[0.hms]*$')", _KEPT),
            ("!self.writeFreeze || has(self.dump)", _FROZEN),
        )
    )
    scope: Scope = Field(
        Scope.AUTO,
        description="Auto covers the tables that the migration touches, as far as its SQL tells; "
        "Tables covers those that are listed.",
    )
    tables: Annotated[tuple[CoveredTable, ...], Field(max_length=MOST_TABLES)] = Field(
        (), description="The tables, with scope Tables."
    )
    keep_for: Duration = Field(
        parse_duration("24h"), description="How long the checkpoint can be restored."
    )
    max_journal: Size = Field(
        parse_bytes("1Gi"),
        description="Largest journal of the application's writes; at half of it a migration that "
        "still runs is stopped and taken back: the other half is for that way.",
    )
    on_later_run: OnLaterRun = Field(
        OnLaterRun.CLOSE,
        description="Close lets a later run of this database discard the checkpoint; Wait lets it "
        "wait for keepFor.",
    )
    on_conflict: OnConflict = Field(
        OnConflict.RECORD,
        description="Record keeps values that the shape before has no place for as rows to look "
        "at; Hold asks a person before anything is restored.",
    )
    mappings: Annotated[tuple[RenamedColumn, ...], Field(max_length=64)] = Field(
        (), description="Columns that the migration renames."
    )
    dump: DumpOptions | None = Field(
        None,
        description="A dump of the whole database besides, as a backup; it is the way back only "
        "with writeFreeze, or where no copy of tables can be and rollback.allowDataLoss is given.",
    )
    write_freeze: bool = Field(
        False,
        description="Stop the application's writes from before the dump to the end of the run, "
        "which the dump then takes back without a loss; no copy of tables is made.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        require((self.scope is Scope.TABLES) == bool(self.tables), _TABLES)
        require(self.keep_for > 0, _KEPT)
        require(self.dump is not None or not self.write_freeze, _FROZEN)
        return self


_Word = Annotated[str, AtMost(253)]


class CheckpointStatus(Frozen):
    """The checkpoint that is kept, as the newest answer of a Job said."""

    id: _Word = Field(description="Its id: that of the run that opened it.")
    state: _Word = Field(description="Capturing, Ready, Restoring, Restored, Closing or Closed.")
    tables: Annotated[tuple[_Word, ...], AtMost(SHOWN)] = Field(
        (), description="The tables that it covers; the first of them, where there are many."
    )
    rows: int = Field(0, description="Rows in them when it was opened.")
    bytes: int = Field(0, description="Their size then.")
    kept_until: _Word = Field("", description="When it is dropped; RFC 3339.")
    restorable: bool = Field(False, description="Whether it can be restored.")
    reason: Annotated[str, AtMost(1024)] = Field("", description="Why it cannot.")
    dump: _Word = Field("", description="File of the dump on its claim, empty for none.")
    attempt: int = Field(1, description="Attempt at dropping it.")
    not_before: _Word = Field("", description="The next attempt does not start earlier; RFC 3339.")

    def shortened(self) -> Self:
        """Return it without what may be long: the ledger has it too."""
        return self.model_copy(update={"tables": (), "reason": self.reason[:120]})

    def sentence(self) -> str:
        """Return what a person reads of it."""
        why = f"cannot be restored: {self.reason}" if self.reason else "can be restored"
        return f"{self.state} until {self.kept_until}, {self.rows} rows; {why}"
