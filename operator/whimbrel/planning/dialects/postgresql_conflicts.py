"""Where what could not be put back stands, as text for PostgreSQL: under the key of its row."""

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal
from whimbrel.planning.dialects.postgresql_replay import Replayed


def follow_conflicts(table: Replayed) -> str:
    """Return the statement after which conflicts stand under the key that number $1 gave a row.

    Not where the old shape refused that key: the row stands under the one before then. Nor of a
    row that was replaced: it is told of under the key that was given again.
    """
    columns = [quote_identifier(name) for name in table.key]
    same = " AND ".join(f"t.k{n} = t.n{n}" for n, _ in enumerate(columns, 1))
    stays = " AND ".join(f"c.{name} = t.k{n}" for n, name in enumerate(columns, 1))
    return (
        f"UPDATE {quote_identifier(table.ledger)}.checkpoint_conflict x"
        f" SET key = {_key(table, 't.n')} FROM {table.taken} t"
        f" WHERE t.seq = $1::numeric AND NOT ({same}) AND x.number = {table.number}"
        f" AND x.checkpoint = {quote_literal(table.checkpoint)}"
        f" AND x.key::jsonb = {_key(table, 't.k')}::jsonb"
        f" AND x.kind <> 'ReplacedRow' AND NOT EXISTS (SELECT FROM {table.target} c WHERE {stays})"
    )


def key_of_place(table: Replayed) -> str:
    """Return the question for the key of row $1 of the patch, as text."""
    return f"SELECT {_key(table, 'p.k')}::text FROM {table.patch} p WHERE p.place = $1::bigint"


def _key(table: Replayed, column: str) -> str:
    pairs = [f"{quote_literal(name)}, {column}{n}" for n, name in enumerate(table.key, 1)]
    return f"json_build_object({', '.join(pairs)})"
