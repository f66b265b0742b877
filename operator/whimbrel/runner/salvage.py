"""Copies what a way back would take away to tables in the ledger's schema, before it runs."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel.model.order import Order
from whimbrel.model.steps import CatalogObject, SalvageObjects
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.records import (
    expired_salvage,
    finish_step,
    forget_salvage,
    read_salvage,
    record_salvage,
)
from whimbrel.runner.runs import read_runs, same_object
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.sessions import as_list, own
from whimbrel.runner.step_work import Place, StepFailedError, Work
from whimbrel.runner.transactions import End

_LONGEST_RUN: Final = 40  # an identifier has 63 bytes, "salvage_" and "_9999" take 13


@dataclass(frozen=True)
class _Source:
    """A table of which something is copied.

    Attributes:
        columns: The columns that would go; empty when the whole table goes.
    """

    schema: str
    table: str
    columns: tuple[str, ...]

    def holds(self, part: "_Source") -> bool:
        """Return whether the copy holds what would go of a partition, too."""
        return not self.columns or (bool(part.columns) and {*part.columns} <= {*self.columns})

    def __str__(self) -> str:
        """Return the words that the ledger keeps."""
        named = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{self.schema}.{self.table}{named}"


def run_salvage(step: SalvageObjects, work: Work) -> tuple[str, ...]:
    """Carry out the step in a transaction of its own; return the names of the new tables.

    Raises:
        StepFailedError: Nothing was copied.
    """
    place = Place(doing="the copy of what would be lost (salvage)")
    try:
        with work.ledger.session.transaction():
            work.guard(work.ledger.session)
            for statement in work.ledger.session.dialect.catalog.READ_XID:
                place.xid = own(work.ledger.session, statement)[0][0]
            names = salvage_objects(work, step.objects)
            finish_step(work.ledger, work.run, step.id)
    except SERVER_ERRORS as error:
        failure = StepFailedError(step.id, place, error)
        failure.end = work.prove(place.xid) if place.xid else End.ABORTED
        raise failure from error
    return names


def salvage_objects(work: Work, objects: Iterable[CatalogObject]) -> tuple[str, ...]:
    """Copy tables and columns that hold data, in the transaction that is open.

    Every table is locked first, so that no write can fall between the copy and the way back.
    Objects that do not exist or hold nothing leave no table.
    """
    session = work.ledger.session
    words = session.dialect.catalog
    sources = [each for each in _sources(objects) if _columns_of(work.ledger, each)]
    for source in sources:
        for statement in words.lock_table(source.schema, source.table):
            own(session, statement)
    for statement in words.BEFORE_COPY:
        own(session, statement)
    sources = _each_row_once(work.ledger, sources)
    made = _last_number(work)
    names: list[str] = []
    for source in sources:
        name = salvage_name(work.run, made + len(names) + 1)
        if _copied(work, source, name):
            names.append(name)
    for statement in words.AFTER_COPY:
        own(session, statement)
    return tuple(names)


def salvage_name(run: str, number: int) -> str:
    """Return the name of a salvage table, in the ledger's schema."""
    if len(run.encode()) > _LONGEST_RUN:
        run = hashlib.sha256(run.encode()).hexdigest()[:_LONGEST_RUN]
    return f"salvage_{run}_{number}"


def drop_expired(ledger: Ledger) -> tuple[str, ...]:
    """Drop the salvage tables whose time is over; return their names."""
    with ledger.session.transaction():
        expired = [each.table_name for each in expired_salvage(ledger)]
        for name in expired:
            words = ledger.session.dialect.catalog
            own(ledger.session, words.drop_table(*words.ledger_table(ledger.schema, name)))
            forget_salvage(ledger, name)
    return tuple(expired)


def kept_salvage(ledger: Ledger, order: Order) -> tuple[str, ...]:
    """Return the salvage tables of all runs of an object, the newest first."""
    ours = {run.id for run in read_runs(ledger) if same_object(order, run)}
    return tuple(each.table_name for each in read_salvage(ledger)[::-1] if each.run in ours)


def _last_number(work: Work) -> int:
    names = [each.table_name for each in read_salvage(work.ledger) if each.run == work.run]
    return max((int(name.rpartition("_")[2]) for name in names), default=0)


def _sources(objects: Iterable[CatalogObject]) -> list[_Source]:
    items = sorted(objects)
    tables = {(each.schema, each.name) for each in items if each.kind == "table"}
    columns: dict[tuple[str, str], list[str]] = {}
    for each in items:
        if each.kind == "column" and (each.schema, each.name) not in tables:
            columns.setdefault((each.schema, each.name), []).append(each.part)
    whole = [_Source(*each, ()) for each in tables]
    parts = [_Source(*table, tuple(names)) for table, names in columns.items()]
    return sorted([*whole, *parts], key=lambda source: (source.schema, source.table))


def _each_row_once(ledger: Ledger, sources: Sequence[_Source]) -> list[_Source]:
    """Leave out partitions of what is copied as well; asked under the locks."""
    copied = {(each.schema, each.table): each for each in sources}
    twice = set()
    for schema, table, *parent in own(
        ledger.session, ledger.session.dialect.catalog.READ_PARTITIONS
    ):
        part, whole = copied.get((schema, table)), copied.get(tuple(parent))
        if part is not None and whole is not None and whole.holds(part):
            twice.add(part)
    return [each for each in sources if each not in twice]


def _columns_of(ledger: Ledger, source: _Source) -> tuple[str, ...]:
    """Return the columns that would go and hold something of their own; () where there are none."""
    found = own(
        ledger.session, ledger.session.dialect.catalog.READ_COLUMNS, source.schema, source.table
    )
    if not source.columns:
        return tuple(name for name, _ in found)
    return tuple(name for name, derived in found if name in source.columns and not derived)


def _copied(work: Work, source: _Source, name: str) -> bool:
    ledger, words = work.ledger, work.ledger.session.dialect.catalog
    # Read again: only now, under the lock, is it certain.
    columns = _columns_of(ledger, source) if source.columns else ()
    question = words.has_data(source.schema, source.table, columns)
    if not own(ledger.session, question)[0][0]:
        return False
    shown = _shown(ledger, source, columns)
    target = words.ledger_table(ledger.schema, name)
    copy = words.copy_table(target, (source.schema, source.table), shown, columns)
    own(ledger.session, copy)
    rows: int = own(ledger.session, words.count_rows(*target))[0][0]
    record_salvage(ledger, work.run, name, str(source), kept=(rows, work.keep_salvage))
    work.tell(f"salvage: {rows} rows of {source} kept in {'.'.join(target)}")
    return True


def _shown(ledger: Ledger, source: _Source, columns: Sequence[str]) -> tuple[str, ...]:
    """Return key and columns; () for the whole row, where there is no key."""
    words = ledger.session.dialect.catalog
    key = own(ledger.session, words.READ_KEY, source.schema, source.table)
    if not columns or not key:
        return ()
    return tuple(dict.fromkeys([*as_list(key[0][0]), *columns]))
