"""Opens a checkpoint: what may be covered, capture, one copy of all tables; then it is ready."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from whimbrel.model.errors import FailedError, HeldError, RefusedError, WhimbrelError
from whimbrel.planning.dialects.postgresql_checkpoint import (
    Names,
    clone_name,
    journal_name,
    kept_name,
)
from whimbrel.planning.dialects.postgresql_manifest import SET_CAPTURE_ROLE
from whimbrel.runner.checkpoint.capture import attach, make_capture
from whimbrel.runner.checkpoint.closure import Closure, Table, find_closure
from whimbrel.runner.checkpoint.copy import copy_tables
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    Mapping,
    State,
    as_mappings,
    moved,
    open_checkpoints,
    read_checkpoint,
    short_id,
    words_of,
)
from whimbrel.runner.checkpoint.owner_login import as_owner
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.checkpoint.transplant import describe_table
from whimbrel.runner.checkpoint.watch import expect_login
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import as_json


@dataclass(frozen=True)
class Wanted:
    """A checkpoint as it is asked for.

    Attributes:
        id: Id of the run that opens it.
        run: The same.
        tables: Schema and name of the tables; what follows from them is covered too.
        login: Login of the migration.
        keep_for: Seconds.
        max_journal: Bytes.
        on_conflict: `Record` or `Hold`.
        mappings: Columns that the migration renames.
        own_login: `login` is how the names of all logins begin that are made for this run alone,
            so that nobody else can have a session of one.
        our_pids: Sessions of `login` that are ours.
        name: What our sessions are called, where none but they run the migration: then others of
            `login` are the application. Else "".
    """

    id: str
    run: str
    tables: tuple[tuple[str, str], ...]
    login: str
    keep_for: float
    max_journal: int
    on_conflict: str = "Record"
    mappings: tuple[Mapping, ...] = ()
    own_login: bool = False
    our_pids: tuple[int, ...] = ()
    name: str = ""

    @property
    def short(self) -> str:
        """Return what the names of its objects end with."""
        return short_id(self.id)


def open_checkpoint(wanted: Wanted, desk: Desk) -> Checkpoint:
    """Return a checkpoint that is ready: the one of this run that is there, or a new one.

    What an earlier attempt did not bring to its end is taken away first.

    Raises:
        RefusedError: It cannot be had; nothing is left of it, and the sentence says what to change.
        FailedError: The server refused a part of it; nothing is left of it.
        TransientError: Busy, or the connection broke: call it again.
        HeldError: The ledger holds another one that a person must see to first.
    """
    found = clear_way(wanted, desk, discard)
    if found is not None:
        return found
    if not wanted.own_login:
        expect_login(desk.session, wanted.login, wanted.our_pids)
    closure = find_closure(desk.session, wanted.tables, desk.ledger.schema)
    for note in closure.notes:
        desk.tell(f"checkpoint: {note}")
    manifests = [_described(desk.session, each, closure) for each in closure.tables]
    begin = partial(_begin, wanted, desk, closure, manifests)
    begun = until_unlocked(desk, "opening the checkpoint", begin)
    try:
        return _finish(begun, desk, wanted.name)
    except (RefusedError, FailedError):
        discard(begun, desk)
        raise


def clear_way(
    wanted: Wanted, desk: Desk, discard: Callable[[Checkpoint, Desk], None]
) -> Checkpoint | None:
    """Return this run's checkpoint if it is ready; take away what never became so.

    Raises:
        RefusedError: Another run's is kept.
        HeldError: This run's was used already.
    """
    for each in open_checkpoints(desk.ledger):
        if each.id == wanted.id and each.state is State.READY:
            return each
        if each.state not in {State.CAPTURING, State.CLOSING}:
            raise _occupied(each, wanted)
        discard(each, desk)
    if (before := read_checkpoint(desk.ledger, wanted.id)) is not None and before.snapshot:
        raise used(before)
    return None


def _occupied(found: Checkpoint, wanted: Wanted) -> WhimbrelError:
    if found.id == wanted.id:
        return used(found)
    return RefusedError(
        "CheckpointOpen",
        f"the database keeps the checkpoint of run {found.id} until {found.kept_until:%F %T %Z}, "
        "and there is one at a time: close it, or wait until then",
    )


def used(found: Checkpoint) -> HeldError:
    """Return the end of a run that has had its checkpoint."""
    return HeldError(
        "CheckpointUsed",
        f"the checkpoint of run {found.id} is {found.state} while this run is not over, and a run "
        "has one only: a retry goes on with what is left of the migration, as a new run with a "
        "checkpoint of its own",
    )


def _described(session: Session, table: Table, closure: Closure) -> dict[str, object]:
    manifest = describe_table(session, table.schema, table.name)
    covered = {each.oid for each in closure.tables}
    asked = [sentence for sentence, by in manifest["asked"] if by not in covered]
    for sentence in (*manifest["unsupported"], *asked):
        raise RefusedError(
            "TableNotCovered",
            f"{table} cannot be covered by a checkpoint: {sentence}; nothing was changed",
        )
    return manifest


def _begin(
    wanted: Wanted, desk: Desk, closure: Closure, manifests: list[dict[str, object]]
) -> Checkpoint:
    """Write the manifest and make journal and function, in one transaction."""
    ledger, names = desk.ledger, Names(desk.ledger.schema, wanted.short)
    with desk.session.transaction():
        desk.guard(desk.session)
        insert_checkpoint(wanted, ledger, journal_name(wanted.short))
        for number, (table, manifest) in enumerate(
            zip(closure.tables, manifests, strict=True), start=1
        ):
            _cover(wanted, desk, number, table, manifest)
        oids = [each.oid for each in closure.tables]
        role = make_capture(desk.session, names, wanted.max_journal, oids)
        ledger.rows(SET_CAPTURE_ROLE, wanted.id, role)
        return begun_checkpoint(wanted, ledger)


def insert_checkpoint(wanted: Wanted, ledger: Ledger, journal: str) -> None:
    """Write its row instead of what an earlier attempt left, in the transaction that is open."""
    words = words_of(ledger)
    ledger.rows(words.FORGET_COVERED, wanted.id)
    ledger.rows(words.FORGET_CHECKPOINT, wanted.id)
    ledger.rows(
        words.INSERT_CHECKPOINT,
        wanted.id,
        wanted.run,
        wanted.login,
        wanted.own_login,
        journal,
        wanted.keep_for,
        wanted.max_journal,
        wanted.on_conflict,
        as_mappings(wanted.mappings),
    )


def begun_checkpoint(wanted: Wanted, ledger: Ledger) -> Checkpoint:
    """Return what was just written."""
    begun = read_checkpoint(ledger, wanted.id)
    if begun is None:
        raise HeldError("LedgerDamaged", f"the checkpoint of run {wanted.id} is not in the ledger")
    return begun


def _cover(
    wanted: Wanted, desk: Desk, number: int, table: Table, manifest: dict[str, object]
) -> None:
    desk.ledger.rows(
        words_of(desk.ledger).INSERT_COVERED,
        wanted.id,
        number,
        table.schema,
        table.name,
        table.oid,
        list(table.key),
        clone_name(wanted.short, number),
        kept_name(wanted.short, number),
        as_json(manifest),
    )


def _finish(begun: Checkpoint, desk: Desk, name: str) -> Checkpoint:
    """Capture first, then copy: what is written in between is in both, and replayed by its key."""
    capture: dict[int, str] = {}
    for covered in begun.tables:
        capture |= attach(desk, begun, covered, name)
    with as_owner(begun, desk) as ours:  # it computes generated columns
        copy = partial(copy_tables, ours, begun, capture)
        until_unlocked(ours, "copying the covered tables", copy)
    return ready_checkpoint(begun, desk)


def ready_checkpoint(begun: Checkpoint, desk: Desk) -> Checkpoint:
    """Return a checkpoint as it is when it is ready, and tell of it."""
    ready = read_checkpoint(desk.ledger, begun.id)
    if ready is None or ready.state is not State.READY:
        raise moved(begun.id, ready, State.READY)
    desk.tell(f"checkpoint: {len(ready.tables)} tables, {sum(t.rows for t in ready.tables)} rows")
    return ready
