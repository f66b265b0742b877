"""Reads the tool's own bookkeeping table; what it shows is the truth about what is applied."""

import psycopg

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec
from whimbrel.planning.tools import alembic
from whimbrel.runner.sessions import Session, own


class UnreadableError(RefusedError):
    """The bookkeeping cannot be read as it is: two tables could be meant, or a right is missing."""


def read_revisions(session: Session, spec: Spec) -> tuple[str, ...]:
    """Return the revisions that the database is at; none where there is no table.

    Raises:
        UnreadableError: Two tables could be meant, or this login may not read it.
    """
    tables = _tables(session, spec)
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
        rows = own(session, alembic.select_revisions(schema, table))
    except psycopg.errors.InsufficientPrivilege:
        raise UnreadableError(
            "BookkeepingNotReadable",
            f"this login may not read {schema}.{table}: the migrations must run as its owner, "
            "or grant it SELECT, INSERT, UPDATE and DELETE on it",
        ) from None
    # Sorted here: the server sorts by the collation of the database.
    return tuple(sorted(str(row[0]) for row in rows))


def _tables(session: Session, spec: Spec) -> list[tuple[str, str]]:
    place = spec.migrations.bookkeeping
    table = place.table if place else alembic.TABLE
    schema = place.schema_name if place else None
    rows = own(session, alembic.FIND_TABLES, table, alembic.COLUMN, schema)
    return [(str(row[0]), str(row[1])) for row in rows]
