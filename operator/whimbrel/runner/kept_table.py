"""The own table of a tool whose files we run: read as the truth, and kept as the tool keeps it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.facts import Applied, Facts, Unfinished
from whimbrel.model.order import Order
from whimbrel.model.spec import Spec
from whimbrel.model.steps import CatalogObject, Direction, MigrationFile
from whimbrel.planning.file_tool import KeptTable
from whimbrel.planning.tools.registry import file_tool
from whimbrel.runner.bookkeeping import find_table, read_table, refuse_twice
from whimbrel.runner.session import Session, Value
from whimbrel.runner.sessions import own


@dataclass(frozen=True)
class Kept:
    """The table in one database.

    Attributes:
        title: Whose table it is.
        place: Its schema and name.
        exists: False where the first file that is applied makes it.
    """

    title: str
    table: KeptTable
    place: tuple[str, str]
    exists: bool

    def run(self, session: Session, statement: str, *values: Value) -> list[tuple[object, ...]]:
        """Run one of the table's statements."""
        return list(own(session, self.text(session, statement), *values))

    def text(self, session: Session, statement: str) -> str:
        """Return one of the table's statements with its name."""
        return statement.replace("{t}", session.dialect.server.quote_name(*self.place))

    def without(self, objects: frozenset[CatalogObject]) -> frozenset[CatalogObject]:
        """Return objects without the table and its key: no migration added them."""
        schema, name = self.place
        own_names = {name, f"{name}_pkey"}
        return frozenset(
            each for each in objects if each.schema != schema or each.name not in own_names
        )


def find_kept(session: Session, spec: Spec) -> Kept | None:
    """Return the table of the spec's tool, made or not; None where the tool has none.

    Raises:
        RefusedError: Two could be meant, or it is not where the files would run.
    """
    tool = file_tool(spec.migrations.tool)
    table = tool.tables.get(session.dialect.name)
    if table is None:
        return None
    found = find_table(session, spec, table.name, table.columns)
    named = spec.migrations.bookkeeping
    home = session.home()
    if named is not None:
        # What is the default on PostgreSQL means the connected database where there are no schemas.
        schema = home if session.dialect.commits_ddl else named.schema_name
        return Kept(tool.title, table, found or (schema or "", named.table), exists=bool(found))
    if home is None:
        raise RefusedError(
            "SchemaMissing",
            "the search path names no schema that exists: create it, or correct the URL's ?schema=",
        )
    if found is not None and found[0] != home:
        raise RefusedError(
            "BookkeepingElsewhere",
            f"the database holds {'.'.join(found)}, but the files would run in schema {home}: add "
            f"?schema={found[0]} to the URL, or name the table of this project in "
            "migrations.bookkeeping",
        )
    return Kept(tool.title, table, (home, table.name), exists=found is not None)


def with_kept(facts: Facts, kept: Kept | None, session: Session, order: Order) -> Facts:
    """Return facts in which the table says what is applied, and the ledger what we know of it.

    Raises:
        RefusedError: It cannot be taken as it is, or the ledger's rows are another project's.
        TransientError: The tool itself is at work.
    """
    if kept is None:
        return facts
    rows = _rows(kept, session) if kept.exists else []
    applied = {row[1]: row[3] for row in rows if row[4] == "applied"}
    begun = {version for version, _ in facts.half}
    unfinished = tuple(
        Unfinished(row, version, since, said, is_ours=version in begun)
        for row, version, _, _, state, since, said in rows
        if state == "unfinished"
    )
    others = [row for row in unfinished if not row.is_ours]
    if others and kept.run(session, kept.table.is_locked) == [(True,)]:
        raise _at_work(kept)
    known = {row.version: row for row in facts.applied if applied.get(row.version) == row.checksum}
    _refuse_others(facts, known, order.owner())
    history = order.spec.migrations.history
    its_own = [
        Applied(history, version, name, checksum, "", "", "", None, frozenset())
        for _, version, name, checksum, state, *_ in rows
        if state == "applied" and version not in known
    ]
    return replace(facts, applied=(*its_own, *known.values()), unfinished=unfinished)


def _rows(kept: Kept, session: Session) -> list[tuple[str, ...]]:
    read = read_table(session, kept.text(session, kept.table.read), kept.place)
    rows = [tuple(map(str, row)) for row in read]
    refuse_twice(tuple(row[1] for row in rows if row[4] == "applied"), kept.place)
    return rows


def _refuse_others(facts: Facts, known: dict[str, Applied], owner: str) -> None:
    """Refuse a history in which another object keeps what this table does not hold."""
    others = [row for row in facts.applied if row.version not in known and row.owner != owner]
    if others:
        raise RefusedError(
            "Conflict",
            f"history {others[0].history!r} of the ledger is used by {others[0].owner} for another "
            "table: give this project its own spec.migrations.history",
        )


def enter(kept: Kept | None, session: Session, *, may_create: bool = True) -> None:
    """Be alone with the table, and have it there; in a transaction, unless making it commits.

    Raises:
        TransientError: The tool itself is at work.
    """
    if kept is None:
        return
    if kept.run(session, kept.table.try_lock) != [(True,)]:
        raise _at_work(kept)
    if may_create and not kept.exists:
        kept.run(session, kept.table.create)


def resolve(kept: Kept | None, session: Session, rows: Iterable[Unfinished]) -> None:
    """Say of rows without an end what the tool says of one of which nothing stayed."""
    ended = [row.id for row in rows]
    if kept is not None and ended:
        kept.run(session, kept.table.undo, ended)


def begin(kept: Kept, session: Session, file: MigrationFile, rows: Iterable[Unfinished]) -> None:
    """Write the row of a file that begins, in the transaction that is open; `rows` were before it.

    Raises:
        TransientError: Somebody else has written there since the plan was made.
    """
    resolve(kept, session, rows)
    begun = kept.run(session, kept.table.begin, file.version, file.checksum)
    _refuse_changed(kept, file, begun)


def record(
    kept: Kept, session: Session, direction: Direction, file: MigrationFile, statement: str
) -> None:
    """Write or remove the row of a file, in the transaction that is open.

    Raises:
        TransientError: Somebody else has written there since the plan was made.
    """
    if direction is Direction.DOWN:
        changed = kept.run(session, kept.table.remove, file.version)
    else:
        changed = kept.run(session, statement, file.version, file.checksum)
    _refuse_changed(kept, file, changed)


def _refuse_changed(kept: Kept, file: MigrationFile, changed: list[tuple[object, ...]]) -> None:
    """Plan again where a statement changed nothing of what the plan knew.

    Raises:
        TransientError: Somebody else has written there since.
    """
    if not changed:
        raise TransientError(
            "DatabaseChanged",
            f"somebody else has changed {'.'.join(kept.place)} at {file.version} meanwhile; it is "
            "planned again",
        )


def _at_work(kept: Kept) -> TransientError:
    return TransientError(
        "ToolAtWork", f"{kept.title} itself is migrating this database: it holds its own lock"
    )
