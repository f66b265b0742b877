"""Questions to the journal of a checkpoint while it is replayed, as text for PostgreSQL."""

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name
from whimbrel.planning.dialects.postgresql_capture import in_true_order
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
    image = "image" if table.has_images else "new"
    names = [f"j.{image} ->> {quote_literal(name)}" for name in table.names_of(column)]
    return (
        f"SELECT {word}(COALESCE({', '.join(names)})::numeric)::bigint"
        f" FROM {quote_name(table.ledger, table.journal)} j WHERE j.number = {table.number}"
        " AND j.seq > $1::bigint"
    )


def take_journal(table: Replayed) -> str:
    """Return the statement that takes what $1 (a snapshot) does not show, above number $2.

    In the order in which it was written, which is not always that of the numbers.
    """
    later = (
        f"(SELECT * FROM {quote_name(table.ledger, table.journal)} j"
        f" WHERE j.number = {table.number} AND j.seq > $2::bigint"
        " AND NOT pg_visible_in_snapshot(j.xid, $1::pg_snapshot))"
    )
    take = _take_images if table.has_images else _take_rows
    return f"INSERT INTO {table.taken} {take(table, in_true_order(later))}"


def _take_images(table: Replayed, rows: str) -> str:
    """Return the query for rows of a journal with images; the key before is a field of `old`."""
    new = ", ".join(_key_of(table, "w"))
    before = [
        f"(f.olds[array_position(f.names, {quote_literal(name)})])::{table.type_of(column)}"
        for column in table.key
        for name in table.names_of(column)
    ]
    return (
        f"SELECT j.place, j.op, j.image, f.olds, f.news, {', '.join(_key_of(table, 'o'))}, {new}"
        f" FROM ({rows}) j"
        " CROSS JOIN LATERAL (SELECT ARRAY(SELECT json_object_keys(j.image)) AS names,"
        f" {_fields('j.old')} AS olds, {_fields('j.new')} AS news OFFSET 0) f"
        f" CROSS JOIN LATERAL json_to_record(j.image) AS w ({_key_record(table)})"
        f" CROSS JOIN LATERAL (SELECT {', '.join(before)} WHERE j.op = 'U'"
        f" UNION ALL SELECT w.* WHERE j.op <> 'U') AS o ({_key_names(table)})"
    )


def _take_rows(table: Replayed, rows: str) -> str:
    """Return the same query for a journal of earlier code: two JSONs, and no text."""
    old, new = ", ".join(_key_of(table, "o")), ", ".join(_key_of(table, "w"))
    values = "CASE WHEN j.op = 'U' THEN ARRAY(SELECT f.value::text FROM json_each({}) f) END"
    return (
        f"SELECT j.place, j.op, COALESCE(j.new, j.old), {values.format('j.old')},"
        f" {values.format('j.new')}, {old}, {new} FROM ({rows}) j"
        f" CROSS JOIN LATERAL json_to_record(COALESCE(j.old, j.new)) AS o ({_key_record(table)})"
        f" CROSS JOIN LATERAL json_to_record(COALESCE(j.new, j.old)) AS w ({_key_record(table)})"
    )


def _fields(row: str) -> str:
    """Return the expression for the fields of a row that is text; no value is NULL."""
    quoted = "replace(substr(m.f[1], 2, length(m.f[1]) - 2), '\"\"', '\"')"
    quoted = (
        f"replace({quoted}, repeat(chr(92), 2), chr(92))"  # a backslash, whatever a setting says
    )
    return (
        f"CASE WHEN {row} IS NOT NULL THEN ARRAY(SELECT CASE WHEN starts_with(m.f[1], '\"')"
        f" THEN {quoted} ELSE NULLIF(m.f[1], '') END"
        f" FROM regexp_matches(substr({row}, 2, length({row}) - 2) || ',',"
        """ '("(?:[^"]|"")*"|[^",]*),', 'g') WITH ORDINALITY AS m (f, n) ORDER BY m.n) END"""
    )


def _key_record(table: Replayed) -> str:
    return ", ".join(
        f"{quote_identifier(name)} {table.type_of(column)}"
        for column in table.key
        for name in table.names_of(column)
    )


def _key_names(table: Replayed) -> str:
    names = [table.names_of(column) for column in table.key]
    return ", ".join(quote_identifier(name) for each in names for name in each)


def _key_of(table: Replayed, row: str) -> list[str]:
    found = [
        [f"{row}.{quote_identifier(name)}" for name in table.names_of(column)]
        for column in table.key
    ]
    return [f"COALESCE({', '.join(names)})" for names in found]
