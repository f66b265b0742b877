"""Which tables a checkpoint on MariaDB can cover, and what they are made of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.dialects import mariadb_checkpoint as words
from whimbrel.planning.dialects.mariadb_catalog import show_create
from whimbrel.planning.dialects.mariadb_checkpoint import Column, Subject
from whimbrel.planning.dialects.mariadb_checkpoint_keys import Key
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.mariadb.keys import both_ways, read_keys
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

_MOST_COLUMNS: Final = 500  # InnoDB: 1017 in one table


@dataclass(frozen=True)
class Table:
    """A table that is to be covered.

    Attributes:
        kind: As information_schema says it.
        options: The same.
        key: Columns of the primary key; () where there is none.
        has_short_key: A column of the key counts with its first characters only.
        odd_indexes: Indexes that are no trees, and what they are.
        keys: Foreign keys of it and of others that point at it.
        odd_keys: What no checkpoint can keep of these: name, child, parent, why.
        triggers: Names of triggers on it.
        definition: What SHOW CREATE TABLE says, without its name and counter.
        counter: The next number of AUTO_INCREMENT, 0 for none.
    """

    schema: str
    name: str
    kind: str
    engine: str
    options: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    has_short_key: bool
    odd_indexes: tuple[tuple[str, str], ...]
    keys: tuple[Key, ...]
    odd_keys: tuple[tuple[str, str, str, str], ...]
    triggers: tuple[str, ...]
    definition: str
    counter: int

    def __str__(self) -> str:
        """Return schema and name."""
        return f"{self.schema}.{self.name}"

    def manifest(self) -> dict[str, Any]:
        """Return what a restore needs to know."""
        columns = [list(astuple(each)) for each in self.columns]
        return {
            "columns": columns,
            "key": list(self.key),
            "definition": self.definition,
            "counter": self.counter,
            "keys": [each.manifest() for each in self.keys],
        }


@dataclass(frozen=True)
class Closure:
    """Tables that are covered together; notes about what could not be told."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


def subject_of(checkpoint: Checkpoint, covered: Covered) -> Subject:
    """Return a covered table as the statements about it need it."""
    every = [Column(*each) for each in covered.manifest["columns"]]
    key = (each for name in covered.key for each in every if each.name == name)
    return Subject(
        names_of(checkpoint.schema, checkpoint.id),
        checkpoint.id,
        covered.number,
        covered.table,
        tuple(each for each in every if not each.is_generated),
        tuple(key),
    )


def find_closure(session: Session, named: Iterable[tuple[str, str]], ledger_schema: str) -> Closure:
    """Return the named tables, if all of them can be covered.

    Raises:
        RefusedError: One of them cannot, or this server cannot; the sentence says why.
    """
    refuse_server(session)
    home = session.home()
    tables = []
    for schema, name in sorted(set(named)):
        if schema not in {"", home}:
            raise RefusedError(
                "TableNotCovered",
                f"{schema}.{name} is not in the database {home} that the URL names: on MariaDB a "
                "checkpoint covers tables of that one only",
            )
        tables.append(_read(session, str(home), name, ledger_schema))
    for table in tables:
        for refuse in _REFUSALS:
            refuse(table)
    covered = {each.name for each in tables}
    for name in both_ways((key for table in tables for key in table.keys), covered):
        raise RefusedError(
            "TableNotCovered",
            f"{name} refers to covered tables and is referred to by others of them: cover it too; "
            "nothing was changed",
        )
    for child in sorted({key.child for table in tables for key in table.keys} - covered):
        for (trigger,) in own(session, words.TRIGGERS, home, child, f"{ledger_schema}_capture_"):
            raise RefusedError(
                "TableNotCovered",
                f"{child} refers to covered tables and has the trigger {trigger}: who holds it for "
                "the restore would also hold what that uses; nothing was changed",
            )
    return Closure(tuple(tables))


def refuse_server(session: Session) -> None:
    """Refuse a server on which the way back cannot be proven.

    Raises:
        RefusedError: The sentence says what to change.
    """
    cluster, by_statement, read_only, impatient, folds = own(session, words.SERVER)[0]
    reasons = (
        (cluster, "a node of a Galera cluster, whose other nodes do not wait for our locks"),
        (by_statement, "writing its binary log by statements: set binlog_format to MIXED or ROW"),
        (read_only, "read-only"),
        (impatient, "letting others before who waits for a table: set max_write_lock_count higher"),
        (folds, "changing the case of tables' names (lower_case_table_names is not 0)"),
    )
    for is_so, what in reasons:
        if is_so:
            told = f"a checkpoint cannot be had on this server, as it is {what}"
            raise RefusedError("CheckpointNotPossible", told)


def _read(session: Session, schema: str, name: str, ledger_schema: str) -> Table:
    found = own(session, words.TABLE_FACTS, schema, name)
    if not found:
        raise RefusedError(
            "TableMissing",
            f"there is no table {schema}.{name} to take a checkpoint of: correct its name in "
            "spec.checkpoint.tables",
        )
    kind, engine, options, _ = found[0]
    if name.startswith(f"{ledger_schema}_"):
        raise RefusedError("TableNotCovered", f"{name} is a table of the ledger")
    ours = f"{ledger_schema}_capture_"
    key = own(session, words.KEY, schema, name)
    counter = own(session, words.AUTO_INCREMENT, name)
    is_known = kind == "BASE TABLE" and not words.clash([name])
    definition = str(own(session, show_create("TABLE", name))[0][1]) if is_known else ""
    return Table(
        schema,
        name,
        kind,
        engine,
        options,
        tuple(_column(row) for row in own(session, words.COLUMNS, schema, name)),
        tuple(row[0] for row in key),
        any(row[1] is not None for row in key),
        tuple((row[0], row[1]) for row in own(session, words.INDEX_TYPES, schema, name)),
        read_keys(session, schema, name),
        tuple(_odd_keys(session, schema, name)),
        tuple(row[0] for row in own(session, words.TRIGGERS, schema, name, ours)),
        words.definition(definition, name),
        int(counter[0][0]) if counter else 0,
    )


def _odd_keys(session: Session, schema: str, name: str) -> Iterator[tuple[str, str, str, str]]:
    for key, child, parent, changes, is_far in own(session, words.FOREIGN_KEYS, schema, name):
        if changes:
            yield key, child, parent, "changes rows by itself, which fires no trigger"
        if is_far:
            yield key, child, parent, "links it to another database"


def _column(row: tuple[Any, ...]) -> Column:
    name, full_type, kind, charset, collation, generated, counted, needed = row
    flags = (bool(generated), bool(counted), bool(needed))
    return Column(name, full_type, kind, charset, collation, *flags)


def _refused(table: Table, why: str) -> RefusedError:
    return RefusedError(
        "TableNotCovered",
        f"{table} cannot be covered by a checkpoint on MariaDB: {why}; nothing was changed",
    )


def is_no_plain_table(table: Table) -> None:
    """Refuse views, sequences, and tables that keep their history."""
    if table.kind != "BASE TABLE":
        raise _refused(table, f"it is a {table.kind.lower()}")
    if " PERIOD FOR " in table.definition or "WITH SYSTEM VERSIONING" in table.definition:
        raise _refused(table, "it has periods of time")


def is_of_another_engine(table: Table) -> None:
    """Refuse tables without transactions, partitions, and files in places of their own."""
    if table.engine != "InnoDB":
        raise _refused(table, f"its engine is {table.engine} and not InnoDB")
    if "partitioned" in table.options or "PARTITION BY" in table.definition:
        raise _refused(table, "it is partitioned")
    if "DIRECTORY=" in table.definition.rpartition("\n)")[2].upper():
        raise _refused(table, "its files lie in a directory of their own")


def has_no_key(table: Table) -> None:
    """Refuse tables whose rows cannot be told apart."""
    if not table.key:
        raise _refused(table, "it has no primary key")
    if table.has_short_key:
        raise _refused(table, "its primary key is the beginning of a column's values")


def has_odd_keys(table: Table) -> None:
    """Refuse tables that a foreign key changes, or through which it changes others."""
    for name, child, parent, why in table.odd_keys[:1]:
        raise _refused(table, f"the foreign key {name} of {child} to {parent} {why}")


def has_triggers(table: Table) -> None:
    """Refuse tables whose triggers write elsewhere, and would go with the failed table."""
    for name in table.triggers[:1]:
        raise _refused(table, f"it has the trigger {name}")


def has_too_many_columns(table: Table) -> None:
    """Refuse what a journal has no room for: it has two columns for each."""
    if len(table.columns) + len(table.key) > _MOST_COLUMNS:
        raise _refused(table, f"it has too many columns (at most {_MOST_COLUMNS} with its key)")


def has_odd_parts(table: Table) -> None:
    """Refuse what we have not proven: types, indexes and names."""
    for name, kind in table.odd_indexes[:1]:
        raise _refused(table, f"its index {name} is {kind}")
    for column in table.columns:
        if not column.is_known_type:
            raise _refused(table, f"its column {column.name} is of type {column.type}")
        if column.is_generated and column.name in table.key:
            raise _refused(table, f"its key has the generated column {column.name}")
    ends = (name for e in table.keys for name in (e.child, e.parent, *e.columns, *e.refs))
    names = (table.name, *(each.name for each in table.columns), *ends)
    if odd := words.clash(names):
        raise _refused(table, f"the name {odd} has a $ before a digit")
    if max(table.name, "\uffee") == table.name:
        raise _refused(table, "its name sorts behind every other")


_REFUSALS: Final[tuple[Callable[[Table], None], ...]] = (
    is_no_plain_table,
    is_of_another_engine,
    has_no_key,
    has_odd_keys,
    has_triggers,
    has_too_many_columns,
    has_odd_parts,
)
