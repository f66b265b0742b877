"""The manifest of a checkpoint: its rows in the ledger, and the states that it goes through."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects.dialect import CheckpointWords
from whimbrel.planning.dialects.postgresql_checkpoint import Names
from whimbrel.runner.ledger import Ledger, read_tables
from whimbrel.runner.session import Row
from whimbrel.runner.sessions import as_json

T = TypeVar("T")


class State(StrEnum):
    """How far a checkpoint is.

    Attributes:
        CAPTURING: Writes are being captured and tables copied; no statement of the migration runs.
        READY: It can be restored.
        RESTORING: A restore prepares; nothing that an application sees has changed yet.
        RESTORED: The tables are back; the failed ones are kept.
        CLOSING: It is being taken away.
        CLOSED: Nothing of it is left but these rows.
    """

    CAPTURING = "Capturing"
    READY = "Ready"
    RESTORING = "Restoring"
    RESTORED = "Restored"
    CLOSING = "Closing"
    CLOSED = "Closed"


# From where a state may be reached. To come to where one is already is no mistake.
_FROM: Final[dict[State, tuple[State, ...]]] = {
    State.CAPTURING: (),
    State.READY: (State.CAPTURING, State.RESTORING),
    State.RESTORING: (State.READY,),
    State.RESTORED: (State.RESTORING,),
    State.CLOSING: (State.CAPTURING, State.READY, State.RESTORING, State.RESTORED),
    State.CLOSED: (State.CLOSING,),
}


@dataclass(frozen=True)
class Mapping:
    """A column that the migration renames: what is written to the new one belongs to the old one.

    Attributes:
        table: Schema and name of the table before the migration, with a point between them.
        old: Name before.
        new: Name in the new shape.
    """

    table: str
    old: str
    new: str


@dataclass(frozen=True)
class Covered:
    """A table of a checkpoint.

    Attributes:
        number: From 1; what the journal calls it.
        oid: The table itself, whatever it is called by now.
        key: The columns of a key without NULLs.
        clone: Name of its copy in the ledger's schema.
        kept: Name of the failed table in the ledger's schema, after a restore.
        manifest: What it was like before the migration (`transplant.describe_table`).
        rows: Rows of the clone.
        bytes: Size of the clone.
        checksum: Of the clone, as it was when the checkpoint became ready.
    """

    number: int
    schema: str
    table: str
    oid: int
    key: tuple[str, ...]
    clone: str
    kept: str
    manifest: dict[str, Any]
    rows: int = 0
    bytes: int = 0
    checksum: str = ""

    def __str__(self) -> str:
        """Return schema and name."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as the ledger has it.

    Attributes:
        id: Id of the run that opened it.
        run: The same, or the run that restores it.
        login: Login of the migration, whose writes are not captured.
        own_login: `login` is how the names of all logins begin that were made for this run alone.
        journal: Name of the journal in the ledger's schema.
        snapshot: What the clones show; the journal's later transactions are not in them yet.
        kept_until: Triggers do nothing afterwards, and everything may be dropped.
        max_journal: Bytes that the journal may have.
        on_conflict: `Record` or `Hold`.
        capture_role: Owner of the capture function, "" until it is there.
        capture: Digests of function and triggers as they must be (`capture.read_capture`).
        reason: Why it is of no use any more, or "".
        is_expired: `kept_until` is over, by the server's clock when this was read.
        schema: The ledger's, where all its tables are.
    """

    id: str
    run: str
    state: State
    login: str
    own_login: bool
    journal: str
    snapshot: str
    opened_at: datetime
    kept_until: datetime
    max_journal: int
    on_conflict: str
    mappings: tuple[Mapping, ...]
    capture_role: str
    capture: dict[int, str]
    reason: str
    is_expired: bool
    schema: str
    tables: tuple[Covered, ...]

    @property
    def names(self) -> Names:
        """Return the names of its objects."""
        return Names(self.schema, short_id(self.id))


@dataclass(frozen=True)
class Conflict:
    """A write of the application that the old shape has no place for.

    Attributes:
        table: Schema and name, with a point between them.
        key: Key of the row.
        kind: What was in the way.
        column: Column of the new shape, or "".
        value: Its value, or the whole row.
    """

    number: int
    table: str
    key: Any
    kind: str
    column: str
    value: Any
    at: datetime


def short_id(checkpoint: str) -> str:
    """Return twelve characters for names of objects: a run's id may have any length."""
    return hashlib.sha256(checkpoint.encode()).hexdigest()[:12]


def words_of(ledger: Ledger) -> CheckpointWords:
    """Return the statements about the rows of checkpoints for this kind of server."""
    return ledger.session.dialect.checkpoint


def has_checkpoints(ledger: Ledger) -> bool:
    """Tell whether this ledger can have any: not an older one that nobody upgraded yet."""
    return "checkpoint" in read_tables(ledger)


def read_checkpoint(ledger: Ledger, checkpoint: str) -> Checkpoint | None:
    """Return a checkpoint by the id of the run that opened it, or None."""
    if not has_checkpoints(ledger):
        return None
    found = ledger.rows(words_of(ledger).READ_CHECKPOINT, checkpoint)
    return _checkpoint(ledger, found[0]) if found else None


def read_checkpoints(ledger: Ledger) -> tuple[Checkpoint, ...]:
    """Return all checkpoints, closed ones too, oldest first."""
    if not has_checkpoints(ledger):
        return ()
    return tuple(_checkpoint(ledger, row) for row in ledger.rows(words_of(ledger).READ_CHECKPOINTS))


def open_checkpoints(ledger: Ledger) -> tuple[Checkpoint, ...]:
    """Return the checkpoints of which something is left in the database: one at most."""
    return tuple(each for each in read_checkpoints(ledger) if each.state is not State.CLOSED)


def _checkpoint(ledger: Ledger, row: Row) -> Checkpoint:
    mappings = tuple(Mapping(**each) for each in _parsed(row[11]))
    capture = {int(oid): digest for oid, digest in _parsed(row[13]).items()}
    covered = tuple(_covered(each) for each in ledger.rows(words_of(ledger).READ_COVERED, row[0]))
    values = (
        *row[:2],
        State(row[2]),
        row[3],
        bool(row[4]),
        *row[5:7],
        *map(_in_utc, row[7:9]),
        *row[9:11],
        mappings,
        row[12],
        capture,
        row[14],
        bool(row[15]),
        ledger.schema,
        covered,
    )
    return Checkpoint(*values)


def _covered(row: Row) -> Covered:
    values = (*row[:4], tuple(_parsed(row[4])), *row[5:7], _parsed(row[7]), *row[8:])
    return Covered(*values)


def _parsed(value: T) -> T:
    """Return what a column holds that is JSON, as text where the server has no type for it."""
    found: T = json.loads(value) if isinstance(value, str) else value
    return found


def _in_utc(value: datetime) -> datetime:
    """Return a time of the ledger, which is UTC where the server's type has no zone."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def read_conflicts(ledger: Ledger, checkpoint: str) -> tuple[Conflict, ...]:
    """Return what the restore of a checkpoint could not map back, oldest first."""
    if not has_checkpoints(ledger):
        return ()
    rows = ledger.rows(words_of(ledger).READ_CONFLICTS, checkpoint)
    return tuple(_conflict(row) for row in rows)


def _conflict(row: Row) -> Conflict:
    key, kind, column, value, at = row[3:]
    table = f"{row[1]}.{row[2]}"
    return Conflict(row[0], table, _parsed(key), kind, column, value, at)


def set_state(ledger: Ledger, checkpoint: str, state: State, *, reason: str = "") -> None:
    """Take a checkpoint to another state, in the transaction that is open.

    Raises:
        HeldError: It is in a state from which there is no way there.
    """
    allowed = [each.value for each in (*_FROM[state], state)]
    if not ledger.rows(words_of(ledger).SET_STATE, checkpoint, state.value, allowed, reason):
        raise moved(checkpoint, read_checkpoint(ledger, checkpoint), state)


def moved(checkpoint: str, found: Checkpoint | None, state: State) -> HeldError:
    """Return the end of work on a checkpoint that is not what it was."""
    now = f"is {found.state}" if found else "is not in the ledger"
    return HeldError(
        "CheckpointMoved",
        f"the checkpoint of run {checkpoint} {now} and cannot become {state}: somebody else has "
        "worked on it; nothing was changed: find out who, then retry",
    )


def set_snapshot(ledger: Ledger, checkpoint: str, snapshot: str) -> None:
    """Record what the clones show now, in the transaction that made them so."""
    ledger.rows(words_of(ledger).SET_SNAPSHOT, checkpoint, snapshot)


def set_reason(ledger: Ledger, checkpoint: str, reason: str) -> None:
    """Record why a checkpoint is of no use any more."""
    ledger.rows(words_of(ledger).SET_REASON, checkpoint, reason)


def as_mappings(mappings: tuple[Mapping, ...]) -> str:
    """Return mappings as the ledger keeps them."""
    return as_json([{"table": each.table, "old": each.old, "new": each.new} for each in mappings])
