"""Questions to the journal of a checkpoint while it is replayed, as text for PostgreSQL."""

from whimbrel.planning.dialects.postgresql import quote_literal, quote_name
from whimbrel.planning.dialects.postgresql_replay import Replayed


def count_journal(table: Replayed) -> str:
    """Return the question how many changes $1 (a snapshot) does not show, above $2; and the last.

    The last is asked of the index alone: any number will do that no later write comes below.
    """
    journal = quote_name(table.ledger, table.journal)
    return (
        f"SELECT count(*), COALESCE((SELECT max(seq) FROM {journal}), 0) FROM {journal} j"
        " WHERE j.seq > $2::bigint AND NOT pg_visible_in_snapshot(j.xid, $1::pg_snapshot)"
    )


def furthest_written(table: Replayed, column: str, *, up: bool) -> str:
    """Return the question for the furthest value of a column in the journal, above number $1."""
    word = "max" if up else "min"
    names = [f"j.new ->> {quote_literal(name)}" for name in table.names_of(column)]
    return (
        f"SELECT {word}(COALESCE({', '.join(names)})::numeric)::bigint"
        f" FROM {quote_name(table.ledger, table.journal)} j WHERE j.number = {table.number}"
        " AND j.seq > $1::bigint"
    )
