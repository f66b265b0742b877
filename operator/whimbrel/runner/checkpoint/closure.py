"""Which tables a checkpoint must cover together, and which it cannot cover."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.checkpoint.bodies import Body, read_body
from whimbrel.planning.dialects import postgresql_checkpoint as words
from whimbrel.planning.dialects.postgresql import quote_name
from whimbrel.runner.checkpoint.owner_login import needs_login
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own

_DEEPEST: Final = 20  # functions that call functions
_TRUNCATE: Final = (
    "TRUNCATE of a covered table by the application fails as long as the checkpoint is kept, as no "
    "journal can hold its rows: let it use DELETE meanwhile"
)


@dataclass(frozen=True)
class Table:
    """A table that is to be covered.

    Attributes:
        kind: As `pg_class.relkind` has it.
        persistence: As `pg_class.relpersistence` has it.
        is_related: It is a partition or inherits, or others from it.
        is_ours: We may do what its owner may.
        hides_rows: Its policies hold for us too.
        key: Columns of a key without NULLs; () where there is none.
    """

    schema: str
    name: str
    oid: int
    kind: str
    persistence: str
    is_related: bool
    owner: str
    is_ours: bool
    hides_rows: bool
    key: tuple[str, ...]

    def __str__(self) -> str:
        """Return schema and name."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Closure:
    """Tables that are covered together.

    Attributes:
        tables: Those that were named and what their foreign keys, triggers and rules change, by
            name.
        notes: Sentences about what could not be told, and what the application will notice.
    """

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


def find_closure(session: Session, named: Iterable[tuple[str, str]], ledger_schema: str) -> Closure:
    """Return the named tables and all that a change of them changes too, as far as can be told.

    Raises:
        RefusedError: One of them cannot be covered; the sentence says why.
    """
    _expect_temporary(session)
    oids = {_oid(session, *each, ledger_schema) for each in named}
    notes = {_TRUNCATE}
    while True:
        reached = _cascades(session, oids) | _written(session, oids, ledger_schema, notes)
        if reached <= oids:
            break
        oids |= reached
    tables = tuple(_table(row) for row in own(session, words.READ_TABLE_FACTS, sorted(oids)))
    for refuse in _REFUSALS:
        for table in tables:
            refuse(table)
    _refuse_others(session, tables)
    needs_login(session, {table.owner for table in tables}, [table.oid for table in tables])
    notes |= {_published(name) for (name,) in own(session, words.READ_PUBLICATIONS_OF_ALL)}
    return Closure(tables, tuple(sorted(notes)))


def _expect_temporary(session: Session) -> None:
    may, database, role = own(session, words.MAY_MAKE_TEMPORARY)[0]
    if not may:
        raise RefusedError(
            "CheckpointNotPossible",
            f"{role} may make no temporary tables, in which a restore works; nothing was changed; "
            f"a database administrator runs: GRANT TEMPORARY ON DATABASE {database} TO {role};",
        )


def _published(publication: str) -> str:
    return (
        f"the publication {publication} is FOR ALL TABLES, so it publishes copies and journal too, "
        "and a subscriber without such tables stops: before the run, make it one FOR TABLE ... or "
        "FOR TABLES IN SCHEMA ..."
    )


def _oid(session: Session, schema: str, name: str, ledger_schema: str) -> int:
    found = own(session, words.FIND_RELATION, quote_name(schema, name))[0][0]
    if found is None:
        raise RefusedError(
            "TableMissing",
            f"there is no table {schema}.{name} to take a checkpoint of: correct its name in "
            "spec.checkpoint.tables",
        )
    if schema == ledger_schema:
        raise RefusedError(
            "TableNotCovered",
            f"{schema}.{name} belongs to the ledger and cannot be covered by a checkpoint: take it "
            "out of spec.checkpoint.tables",
        )
    return int(found)


def _table(row: Row) -> Table:
    values = (*row[:9], tuple(row[9]))
    return Table(*values)


def _cascades(session: Session, oids: Collection[int]) -> set[int]:
    return {oid for (oid,) in own(session, words.READ_CASCADES, sorted(oids))}


def _written(
    session: Session, oids: Collection[int], ledger_schema: str, notes: set[str]
) -> set[int]:
    """Return tables that triggers of these tables write, and take notes of what cannot be told."""
    writes: set[tuple[str, str]] = set()
    functions = own(session, words.READ_TRIGGER_FUNCTIONS, sorted(oids))
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        functions = [each for each in functions if each[0] not in seen]
        if not functions:
            break
        seen |= {each[0] for each in functions}
        bodies = [_body(each, notes) for each in functions]
        writes |= {each for body in bodies for each in body.writes}
        calls = sorted({each for body in bodies for each in body.calls})
        functions = own(session, words.READ_FUNCTIONS, calls)
    schemas, names = [each[0] for each in sorted(writes)], [each[1] for each in sorted(writes)]
    found = own(session, words.READ_TABLES_NAMED, schemas, names, ledger_schema)
    return {oid for (oid,) in found}


def _body(function: Row, notes: set[str]) -> Body:
    _, schema, name, language, text = function
    body = read_body(language, text)
    if body.is_open:
        notes.add(
            f"what the function {schema}.{name}, which triggers of covered tables run, writes "
            "cannot be told from its text: name the tables that it changes in "
            "spec.checkpoint.tables"
        )
    return body


def _refused(table: Table, why: str) -> RefusedError:
    return RefusedError(
        "TableNotCovered",
        f"{table} cannot be covered by a checkpoint: {why}; nothing was changed, and another "
        "strategy can do without a checkpoint of it",
    )


def is_no_plain_table(table: Table) -> None:
    """Refuse views, foreign tables, partitioned tables ..."""
    kinds = {"p": "a partitioned table", "f": "a foreign table", "v": "a view"}
    if table.kind != "r":
        raise _refused(table, f"it is {kinds.get(table.kind, 'no ordinary table')}")


def is_partition_or_inherits(table: Table) -> None:
    """Refuse a table whose rows are also those of another one."""
    if table.is_related:
        raise _refused(table, "it is a partition, or inherits from a table, or a table from it")


def is_not_logged(table: Table) -> None:
    """Refuse a table that a crash empties, and one of a session."""
    if table.persistence != "p":
        kind = "temporary" if table.persistence == "t" else "unlogged"
        raise _refused(table, f"it is {kind}")


def has_no_key(table: Table) -> None:
    """Refuse a table whose rows cannot be told apart."""
    if not table.key:
        raise _refused(
            table,
            "it has no primary key and no unique index on columns that are NOT NULL, which tells "
            "its rows apart",
        )


def belongs_to_somebody_else(table: Table) -> None:
    """Refuse a table on which we may not make triggers, or that we could not put back."""
    if not table.is_ours:
        raise _refused(
            table,
            f"it belongs to {table.owner}, whose rights our login does not have; a database "
            f'administrator runs: GRANT "{table.owner}" TO the login of spec.database',
        )


def hides_its_rows(table: Table) -> None:
    """Refuse a table of which we would copy a part."""
    if table.hides_rows:
        raise _refused(
            table,
            "its row security is FORCED and holds for our login too, so a copy would not have all "
            "rows: give the login BYPASSRLS",
        )


_REFUSALS: Final[tuple[Callable[[Table], None], ...]] = (
    is_no_plain_table,
    is_partition_or_inherits,
    is_not_logged,
    belongs_to_somebody_else,
    has_no_key,
    hides_its_rows,
)


def _refuse_others(session: Session, tables: Sequence[Table]) -> None:
    """Refuse several owners: one could forge writes to the table of another.

    A type's owner may make a cast to json. It runs when a row is captured, with the right to write
    the journal, and the journal is what a restore carries out.
    """
    owners = sorted({table.owner for table in tables})
    if len(owners) > 1:
        raise RefusedError(
            "SeveralOwners",
            f"the tables {', '.join(map(str, tables))} belong to {' and '.join(owners)}: one of "
            "them could forge writes to the tables of the other in a checkpoint; give them one "
            "owner, or name those of one owner only",
        )
    for schema, name, owner, has_cast in own(
        session, words.READ_TYPES, [table.oid for table in tables]
    ):
        if owner not in {None, *owners}:
            raise RefusedError(
                "SeveralOwners",
                f"the type {schema}.{name} in the covered tables belongs to {owner}, and the "
                f"tables to {owners[0]}: its owner could forge writes to them in a checkpoint; run "
                f'ALTER TYPE ... OWNER TO "{owners[0]}"',
            )
        if has_cast:
            raise RefusedError(
                "TableNotCovered",
                f"the type {schema}.{name} in the covered tables has a cast to json, so the "
                "journal of a checkpoint would hold what the cast makes of a value and not the "
                "value; drop the cast, or do without a checkpoint of these tables",
            )
