"""Reads the tool's own bookkeeping table; what it shows is the truth about what is applied."""

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own


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
    columns = (*books.columns, *books.further)
    found_table = find_table(session, spec, books.table, columns)
    if found_table is None:
        return ()
    words = session.dialect.catalog
    question = words.select_rows(*found_table, books.columns, books.order)
    rows = read_table(session, question, found_table)
    found = tuple(":".join(map(str, row)) for row in rows)
    refuse_twice(found, found_table)
    # Sorted here: the server sorts by the collation of the database.
    return found if books.order else tuple(sorted(found))


def find_table(
    session: Session, spec: Spec, name: str, columns: tuple[str, ...]
) -> tuple[str, str] | None:
    """Return schema and name of a tool's own table, None where there is none.

    Raises:
        UnreadableError: Two tables could be meant.
    """
    place = spec.migrations.bookkeeping
    table = place.table if place else name
    schema = place.schema_name if place else None
    rows = own(session, session.dialect.catalog.FIND_TABLES, table, [*columns], schema)
    if len(rows) > 1:
        names = " and ".join(f"{schema}.{table}" for schema, table in rows)
        raise UnreadableError(
            "BookkeepingAmbiguous",
            f"the database holds {names}: say in migrations.bookkeeping which one this project "
            "writes",
        )
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def read_table(session: Session, statement: str, place: tuple[str, str]) -> list[Row]:
    """Return the rows of a tool's own table.

    Raises:
        UnreadableError: This login may not read it.
    """
    try:
        return own(session, statement)
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise
        raise UnreadableError(
            "BookkeepingNotReadable",
            f"this login may not read {'.'.join(place)}: the migrations must run as its owner, "
            "or grant it SELECT, INSERT, UPDATE and DELETE on it",
        ) from None


def refuse_twice(rows: tuple[str, ...], place: tuple[str, str]) -> None:
    """Refuse rows of which one stands there twice.

    Raises:
        UnreadableError: ``AppliedTwice``.
    """
    twice = sorted({each for each in rows if rows.count(each) > 1})
    if twice:
        raise UnreadableError(
            "AppliedTwice",
            f"{'.'.join(place)} holds {', '.join(twice)} more than once: two migrators ran it at "
            "the same time, so what it does may be there twice; undo what is there twice and "
            "delete the rows that are too many",
        )
