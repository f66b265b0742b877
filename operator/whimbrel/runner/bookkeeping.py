"""Reads the tool's own bookkeeping table; what it shows is the truth about what is applied."""

import psycopg

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec
from whimbrel.planning.tools.foreign import FIND_TABLES, Books, select_rows
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.sessions import Session, own


class UnreadableError(RefusedError):
    """The bookkeeping cannot be taken as it is: ambiguous, a right missing, a row twice."""


def read_revisions(session: Session, spec: Spec) -> tuple[str, ...]:
    """Return the revisions that the table shows; none where there is no table.

    In the order in which they were applied, where the table tells.

    Raises:
        UnreadableError: Two tables could be meant, this login may not read it, or it holds a row
            twice.
    """
    books = foreign_tool(spec.migrations.tool).books
    tables = _tables(session, spec, books)
    if not tables:
        return ()
    if len(tables) > 1:
        names = " and ".join(f"{schema}.{table}" for schema, table in tables)
        raise UnreadableError(
            "BookkeepingAmbiguous",
            f"the database holds {names}: say in migrations.bookkeeping which one this project "
            "writes",
        )
    schema, table = tables[0]
    try:
        rows = own(session, select_rows(schema, table, books))
    except psycopg.errors.InsufficientPrivilege:
        raise UnreadableError(
            "BookkeepingNotReadable",
            f"this login may not read {schema}.{table}: the migrations must run as its owner, "
            "or grant it SELECT, INSERT, UPDATE and DELETE on it",
        ) from None
    found = tuple(":".join(map(str, row)) for row in rows)
    _refuse_twice(found, f"{schema}.{table}")
    # Sorted here: the server sorts by the collation of the database.
    return found if books.order else tuple(sorted(found))


def _refuse_twice(rows: tuple[str, ...], table: str) -> None:
    twice = sorted({each for each in rows if rows.count(each) > 1})
    if twice:
        raise UnreadableError(
            "AppliedTwice",
            f"{table} holds {', '.join(twice)} more than once: two migrators ran it at the same "
            "time, so what it does may be there twice; undo what is there twice and delete the "
            "rows that are too many",
        )


def _tables(session: Session, spec: Spec, books: Books) -> list[tuple[str, str]]:
    place = spec.migrations.bookkeeping
    table = place.table if place else books.table
    schema = place.schema_name if place else None
    rows = own(session, FIND_TABLES, table, [*books.columns], schema)
    return [(str(row[0]), str(row[1])) for row in rows]
