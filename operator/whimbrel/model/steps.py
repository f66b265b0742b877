"""The runner's plan: steps as data. Planning returns them, the runner carries them out."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

StepId = NewType("StepId", str)


class Direction(StrEnum):
    """Which way a step goes."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, order=True)
class CatalogObject:
    """A thing of the database's catalogue by its name.

    Attributes:
        kind: schema, table, column, view, index, sequence, function, type, trigger, constraint ...
        schema: Schema it lives in ("" for a schema itself).
        name: Its name; for column, trigger and constraint the name of the relation.
        part: Name of the column, trigger or constraint; argument types of a function.
    """

    kind: str
    schema: str
    name: str
    part: str = ""

    def __str__(self) -> str:
        """Return the words a person would use for it."""
        dotted = ".".join(word for word in (self.schema, self.name) if word)
        return f"{self.kind} {dotted}" + (f" ({self.part})" if self.part else "")


@dataclass(frozen=True)
class MigrationFile:
    """One migration of a tool whose files we run.

    Attributes:
        version: The number as written, for example "001", or the name of the migration's folder.
        name: Name of the up file.
        up: Its text.
        down: Text of the down file, or None where the project has none.
        checksum: sha256 (hex) of the up text.
        also: What the tool itself may have written down as the checksum of the same text.
    """

    version: str
    name: str
    up: str
    down: str | None
    checksum: str
    also: frozenset[str] = frozenset()

    def has(self, checksum: str) -> bool:
        """Return whether a checksum is that of this file."""
        return checksum == self.checksum or checksum in self.also


@dataclass(frozen=True)
class Statement:
    """One SQL statement with the place where its author finds it.

    Attributes:
        file: File name.
        line: First line of the statement, counted from 1.
        text: The statement without the semicolon.
    """

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class IndexIsValid:
    """Done when the index exists and is valid; an invalid one is dropped and built again."""

    schema: str
    name: str


@dataclass(frozen=True)
class EnumHasValue:
    """Done when the enum type has the value."""

    schema: str
    name: str
    value: str


@dataclass(frozen=True)
class PartitionIsDetached:
    """Done when the table is no partition of the parent (a pending detach is finalized)."""

    schema: str
    name: str
    parent_schema: str
    parent: str


@dataclass(frozen=True)
class IndexIsGone:
    """Done when the index does not exist (DROP INDEX CONCURRENTLY)."""

    schema: str
    name: str


@dataclass(frozen=True)
class Repeatable:
    """May run again at any time: VACUUM and the like, or marked so by its author."""


@dataclass(frozen=True)
class IndexesAreRebuilt:
    """May run again; the transient indexes of an interrupted rebuild are dropped.

    Attributes:
        name: The index, or the table of which all indexes are rebuilt.
    """

    schema: str
    name: str


Effect = (
    IndexIsValid | EnumHasValue | PartitionIsDetached | IndexIsGone | IndexesAreRebuilt | Repeatable
)


@dataclass(frozen=True)
class FileRun:
    """What is executed of one file inside a transaction."""

    file: MigrationFile
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class RunFiles:
    """Run files in one transaction together with their ledger rows.

    Attributes:
        salvage: Objects copied first, in the same transaction (only for `down`).
    """

    id: StepId
    direction: Direction
    files: tuple[FileRun, ...]
    salvage: tuple[CatalogObject, ...] = ()


@dataclass(frozen=True)
class RunAlone:
    """Run the one statement of a file outside a transaction; its effect can be looked up."""

    id: StepId
    direction: Direction
    file: MigrationFile
    statement: Statement
    effect: Effect


class Commits(StrEnum):
    """When what a statement did is there to stay, where DDL commits by itself.

    `ROWS`: with the transaction around it. `ITSELF`: at its own end. `SESSION`: never, it changes
    the session alone and runs again in another one.
    """

    ROWS = "Rows"
    ITSELF = "Itself"
    SESSION = "Session"


@dataclass(frozen=True)
class Piece:
    """One statement of a file that runs statement by statement.

    Attributes:
        makes: What is there afterwards and was not before, as far as its text tells.
        takes: What was there before and is not afterwards.
        tables: Tables that it names.
        sets: Settings of the session that it changes.
        writes: Whether it changes rows, or may.
        repeats: Whether it may run twice whatever it is about (ANALYZE, GRANT ...).
    """

    statement: Statement
    commits: Commits
    makes: tuple[CatalogObject, ...] = ()
    takes: tuple[CatalogObject, ...] = ()
    tables: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    writes: bool = False
    repeats: bool = False

    def digest(self) -> str:
        """Return the sha256 (hex) of its text."""
        return hashlib.sha256(self.statement.text.encode()).hexdigest()


@dataclass(frozen=True)
class RunPieces:
    """Run a file statement by statement, each one recorded before and after.

    Attributes:
        undo: Statements of the file that takes it back, where the project has one (only for `up`).
        salvage: Objects copied first (only for `down`).
        repeatable: Its author says that a statement of it may run twice.
    """

    id: StepId
    direction: Direction
    file: MigrationFile
    pieces: tuple[Piece, ...]
    undo: tuple[Piece, ...] | None = None
    salvage: tuple[CatalogObject, ...] = ()
    repeatable: bool = False


@dataclass(frozen=True)
class Adopt:
    """Record files as applied without running them (`baseline`)."""

    id: StepId
    files: tuple[MigrationFile, ...]


@dataclass(frozen=True)
class SalvageObjects:
    """Copy objects to salvage tables in a transaction of its own, before a foreign tool's down."""

    id: StepId
    objects: tuple[CatalogObject, ...]


@dataclass(frozen=True)
class RunTool:
    """Start the foreign tool once.

    Attributes:
        argv: Words of the command; no shell.
        revisions: What the bookkeeping table must show afterwards, exactly.
        before: What it must show before.
        pieces: Name and digest of each migration that it works on, in the order of the work.
        way: From where to where, for a person.
    """

    id: StepId
    direction: Direction
    argv: tuple[str, ...]
    before: tuple[str, ...]
    revisions: tuple[str, ...]
    pieces: tuple[str, ...] = ()
    way: str = ""


Step = RunFiles | RunAlone | RunPieces | Adopt | SalvageObjects | RunTool
