"""The journal of a checkpoint, replayed on the clone of a table, as text for PostgreSQL.

Column by column, the last writer wins: an update brings only what it has really changed, so what
the migration did to other columns of the row stays undone. All of it runs under the pinned search
path, in one transaction for each round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name

REPEATABLE_READ: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
# As the capture function pins them, so that text is read as it was written. No policy may hide a
# row; compiling a question takes longer than asking it.
PIN_FORMATS: Final = (
    "SELECT set_config(name, setting, true) FROM (VALUES ('DateStyle', 'ISO, YMD'),"
    " ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('bytea_output', 'hex'),"
    " ('extra_float_digits', '3'), ('row_security', 'off'), ('jit', 'off'))"
    " AS s (name, setting)"
)
# What we see, the oldest transaction that runs, and ours: it begins after all that have drawn a
# number not above those that we see. (Not the bound of what we see: younger ones may run.)
READ_SNAPSHOT: Final = (
    "SELECT pg_current_snapshot()::text, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
    " pg_current_xact_id()::text::bigint"
)
# Around rows that the old shape may refuse.
SAVEPOINT: Final = "SAVEPOINT whimbrel_rows"
RELEASE: Final = "RELEASE SAVEPOINT whimbrel_rows"
ROLLBACK_TO: Final = f"ROLLBACK TO SAVEPOINT whimbrel_rows; {RELEASE}"
JSON: Final = ("json", "jsonb")


@dataclass(frozen=True)
class Replayed:
    """A covered table for the statements of this module.

    Attributes:
        ledger: Schema of the ledger.
        checkpoint: Id of the checkpoint.
        number: What the journal calls the table.
        title: What people call it.
        columns: Facts of its columns (`describe_table`), in their order.
        renamed: New name to old name, of columns that the migration renames.
        live: Quoted name of the failed table, or "" where its rows cannot be found by the key.
        same: Columns that it has with the same type.
        missing: Columns that the migration dropped: the application could not write them.
        unlike: Columns that have another type there: its text may mean nothing to the old one.
        has_images: The journal's format (`HAS_IMAGES`).
    """

    ledger: str
    checkpoint: str
    number: int
    title: str
    journal: str
    clone: str
    key: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    renamed: tuple[tuple[str, str], ...] = ()
    live: str = ""
    same: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    unlike: frozenset[str] = frozenset()
    has_images: bool = True

    @property
    def target(self) -> str:
        """Return the quoted name of the clone."""
        return quote_name(self.ledger, self.clone)

    @property
    def taken(self) -> str:
        """Return the quoted name of the table with this round's part of the journal."""
        return quote_name("pg_temp", f"{self.clone}_taken")

    @property
    def patch(self) -> str:
        """Return the quoted name of the table with what happens to each row."""
        return quote_name("pg_temp", f"{self.clone}_patch")

    @property
    def known(self) -> list[str]:
        """Return the columns that can be written."""
        return [each["name"] for each in self.columns if not each["generated"]]

    def names_of(self, column: str) -> list[str]:
        """Return the names that a column has had, the old one first."""
        return [column, *(new for new, old in self.renamed if old == column)]

    def type_of(self, column: str) -> str:
        """Return the type of a column as text."""
        (found,) = [each["type"] for each in self.columns if each["name"] == column]
        return str(found)


def begin_round(table: Replayed) -> str:
    """Return the statements that make the two tables of a round; they go with `end_round`."""
    # A publication FOR ALL TABLES would forbid to change others, which have no key. Where a server
    # crashes right after a transaction that made an UNLOGGED table was undone, it may not start
    # again (15, 16 and 18: "could not create file ...: File exists").
    keys = [f"{k} {table.type_of(name)}" for k, name in _places("k", table.key)]
    news = [f"{n} {table.type_of(name)}" for n, name in _places("n", table.key)]
    lasts = [f"{last} {table.type_of(name)}" for last, name in _places("l", table.key)]
    typed = ", ".join([*keys, *news])
    return (
        f'CREATE TEMPORARY TABLE {table.taken} (seq numeric, op "char", image json, olds text[],'
        f" news text[], {typed});"
        f' CREATE TEMPORARY TABLE {table.patch} (place bigint, op "char", {typed},'
        f" patch json, texts json, base {table.target}, {', '.join(lasts)})"
    )


def end_round(table: Replayed) -> str:
    """Return the statement that takes the tables of a round away."""
    return f"DROP TABLE {table.patch}, {table.taken}"


def read_moves(table: Replayed) -> str:
    """Return the question for the changes of a key, each a window of its own: before it, it."""
    return (
        "SELECT s.before::text, s.seq::text FROM (SELECT *, COALESCE(lag(seq) OVER"
        f" (ORDER BY seq), 0) AS before FROM {table.taken}) s WHERE {_moved(table)} ORDER BY s.seq"
    )


def make_patch(table: Replayed) -> str:
    """Return the statement that says what happens to each row, above number $1 up to $2.

    Its places go on after $3.

    Recorded as conflicts, never dropped in silence: changes of rows that are not in the clone,
    which the migration made or gave another key; rows whose key the application could only give
    again because the migration took them away; values of columns that the old shape does not know.
    A row that was deleted and inserted again has a place for each: what referred to it has gone
    with the first.
    """
    k = _columns("k", table.key)
    both = _listed([*k, *_columns("n", table.key)], "e.")
    found, is_there = _match(table, "k", "e"), f"c.{quote_identifier(table.key[0])} IS NOT NULL"
    nothing, no_column, lost = "''", "'UnknownColumn'", "'ReplacedRow'"
    stranger = "CASE e.final WHEN 'D' THEN 'MigrationRowDeleted' ELSE 'MigrationRow' END"
    return (
        f"{_written(table)},"
        f" patches AS (SELECT {', '.join(k)}, json_object_agg(name, value) AS patch,"
        " json_object_agg(name, text) AS texts FROM written"
        f" WHERE name = ANY ({_array(table.known)}) GROUP BY {', '.join(k)}),"
        f" unknown AS ({_record(table, no_column, 'w.name', 'w.value')} FROM written w"
        f" WHERE name <> ALL ({_array([each['name'] for each in table.columns])})"
        " AND (w.op = 'U' OR w.value::text <> 'null')),"
        f" strangers AS ({_record(table, stranger, nothing, 'e.seen', 'e')}"
        f" FROM ends e LEFT JOIN {table.target} c ON {found}"
        f" WHERE (e.first <> 'I' AND NOT ({is_there})) OR (e.last = 'D' AND e.final = 'U')),"
        f" replaced AS ({_record(table, lost, nothing, 'row_to_json(c.*)', 'e')}"
        f" FROM (SELECT {', '.join(k)} FROM ends WHERE first = 'I' AND last <> 'D'"
        f" UNION ALL SELECT {_listed(_columns('n', table.key), 'e.')} FROM ends e"
        f" JOIN {table.target} c ON {found} WHERE {_moved(table, 'e.')}) e"
        f" JOIN {table.target} c ON {found})"
        f" INSERT INTO {table.patch} SELECT $3::bigint + row_number() OVER (ORDER BY"
        f" {_listed(k, 'e.')}),"
        f" w.op, {both}, s.patch, s.texts, CASE WHEN w.op <> 'I' THEN c.* END"
        f" FROM ends e LEFT JOIN patches s ON ({_listed(k, 's.')}) = ({_listed(k, 'e.')})"
        f" LEFT JOIN {table.target} c ON {found} CROSS JOIN LATERAL unnest("
        " CASE WHEN e.last = 'D' THEN ARRAY['D'] WHEN e.cut IS NULL THEN ARRAY['U']"
        f" WHEN e.went AND {is_there} THEN ARRAY['D', 'I'] ELSE ARRAY['I'] END::\"char\"[]) w (op)"
        f" WHERE ({is_there} AND CASE e.last WHEN 'D' THEN e.first <> 'I'"
        " ELSE s.patch IS NOT NULL END)"
        " OR (e.cut IS NOT NULL AND e.last <> 'D')"
    )


def _written(table: Replayed) -> str:
    """Return the queries `ends` (of each row) and `written` (each column's last value).

    What was written before a row was inserted, for the last time, is of another row; what was
    written after it was deleted is of a row of the migration's.
    """
    k = _columns("k", table.key)
    both, keys, name = [*k, *_columns("n", table.key)], _listed(k, "p."), _old_name(table)
    return (
        f"WITH part AS MATERIALIZED (SELECT * FROM {table.taken}"
        " WHERE seq > $1::numeric AND seq <= $2::numeric),"
        f" ends AS MATERIALIZED (SELECT {', '.join(both)}, max(seq) FILTER (WHERE op = 'I') AS cut,"
        " bool_or(op = 'D') AS went, (array_agg(op ORDER BY seq))[1] AS first,"
        " (array_agg(op ORDER BY seq DESC))[1] AS final,"
        " CASE WHEN max(seq) FILTER (WHERE op = 'D')"
        " > COALESCE(max(seq) FILTER (WHERE op = 'I'), 0) THEN 'D'"
        " ELSE (array_agg(op ORDER BY seq DESC))[1] END AS last,"
        " (array_agg(image ORDER BY seq DESC))[1] AS seen"
        f" FROM part GROUP BY {', '.join(both)}),"
        f" written AS MATERIALIZED (SELECT DISTINCT ON ({keys}, {name})"
        f" {keys}, {name} AS name, f.value, p.news[f.n] AS text, p.op"
        f" FROM part p JOIN ends e ON ({keys}) = ({_listed(k, 'e.')})"
        " CROSS JOIN LATERAL json_each(p.image) WITH ORDINALITY AS f (key, value, n)"
        " WHERE e.last <> 'D' AND p.op <> 'D' AND p.seq >= COALESCE(e.cut, 0)"
        " AND (p.op = 'I' OR p.olds[f.n] IS DISTINCT FROM p.news[f.n])"
        f" ORDER BY {keys}, {name}, p.seq DESC, f.key = {name} DESC)"
    )


def _match(table: Replayed, letter: str, row: str) -> str:
    """Return the condition that a row `c` of the clone has the key of another row."""
    return " AND ".join(
        f"c.{quote_identifier(name)} = {row}.{place}" for place, name in _places(letter, table.key)
    )


def _match_live(table: Replayed) -> str:
    """Return the condition that a row `c` of the failed table is that of a patch `p`."""
    numbers = range(1, len(table.key) + 1)
    pairs = zip(table.key, (f"COALESCE(p.l{n}, p.n{n})" for n in numbers), strict=True)
    return " AND ".join(f"c.{quote_identifier(name)} = {place}" for name, place in pairs)


def follow_key(table: Replayed) -> str:
    """Return the statement that says under which key rows are now that moved after number $1.

    Of the places after $2.
    """
    k, n, last = (_columns(letter, table.key) for letter in "knl")
    now, then = _listed(n, "t."), _listed(k, "t.")
    return (
        f"WITH RECURSIVE moves AS MATERIALIZED (SELECT * FROM {table.taken}"
        f" WHERE seq > $1::numeric AND {_moved(table)}),"
        f" way (place, at, {', '.join(n)}) AS (SELECT p.place, $1::numeric, {_listed(n, 'p.')}"
        f" FROM {table.patch} p WHERE p.place > $2::bigint"
        f" UNION ALL SELECT w.place, t.seq, {now} FROM way w CROSS JOIN LATERAL"
        f" (SELECT * FROM moves t WHERE ({then}) = ({_listed(n, 'w.')}) AND t.seq > w.at"
        " ORDER BY t.seq LIMIT 1) t)"
        f" UPDATE {table.patch} p SET ({', '.join(last)}) = ROW({_listed(n, 'w.')})"
        " FROM (SELECT DISTINCT ON (place) * FROM way ORDER BY place, at DESC) w"
        " WHERE w.place = p.place AND w.at > $1::numeric"
    )


def remove_rows(table: Replayed) -> str:
    """Return the statement that takes every row out that comes back changed, or not at all.

    Of the places after $1. All of them first: between two states that are both right a value that
    must be unique may have gone from one row to another.
    """
    return (
        f"WITH gone AS (DELETE FROM {table.target} c USING {table.patch} p"
        f" WHERE {_match(table, 'k', 'p')} AND p.place > $1::bigint)"
        f" DELETE FROM {table.target} c USING {table.patch} p"
        f" WHERE {_match(table, 'n', 'p')} AND {_moved(table, 'p.')} AND p.place > $1::bigint"
    )


def put_rows(table: Replayed) -> str:
    """Return the statement that puts rows $1 to $2 of the patch in, as they must be now."""
    columns = [each for each in table.columns if not each["generated"]]
    listed = ", ".join(quote_identifier(each["name"]) for each in columns)
    values = ", ".join(_value(each, table) for each in columns)
    live = f" LEFT JOIN {table.live} c ON {_match_live(table)}" if table.live else ""
    return (
        f"INSERT INTO {table.target} ({listed}) OVERRIDING SYSTEM VALUE"
        f" SELECT {values} FROM {table.patch} p"
        f" CROSS JOIN LATERAL json_populate_record(p.base, p.patch) AS r{live}"
        " WHERE p.op <> 'D' AND p.place BETWEEN $1::bigint AND $2::bigint ORDER BY p.place"
    )


def patched_columns(table: Replayed) -> str:
    """Return the question for the columns that row $1 brings, but for the key of an inserted one.

    Without its key there is no such row.
    """
    return (
        f"SELECT f.key FROM {table.patch} p CROSS JOIN LATERAL json_each(p.patch) f"
        f" WHERE p.place = $1::bigint AND (p.op = 'U' OR f.key <> ALL ({_array(table.key)}))"
    )


def record_misfit(table: Replayed) -> str:
    """Return the statement that records columns $2 of row $1 as conflicts and leaves them out.

    Without columns the whole row is recorded.
    """
    insert = _record(table, "'DoesNotFit'", "f.key", "f.value", "p")
    each, all_of_it = "SELECT f.key, f.value FROM json_each(p.patch) f", quote_literal("")
    return (
        f"WITH told AS ({insert} FROM {table.patch} p CROSS JOIN LATERAL"
        f" ({each} WHERE f.key = ANY ($2::text[])"
        f" UNION ALL SELECT {all_of_it}, p.patch WHERE cardinality($2::text[]) = 0) f"
        " WHERE p.place = $1::bigint)"
        f" UPDATE {table.patch} p SET patch = (SELECT json_object_agg(f.key, f.value)"
        f" FROM ({each}) f WHERE f.key <> ALL ($2::text[])) WHERE p.place = $1::bigint"
    )


def put_back(table: Replayed) -> str:
    """Return the statement that puts row $1 in as it was, because its change does not fit."""
    listed = ", ".join(map(quote_identifier, table.known))
    values = ", ".join(f"(p.base).{quote_identifier(each)}" for each in table.known)
    return (
        f"INSERT INTO {table.target} ({listed}) OVERRIDING SYSTEM VALUE SELECT {values}"
        f" FROM {table.patch} p WHERE p.place = $1::bigint AND p.op = 'U'"
    )


def last_place(table: Replayed) -> str:
    """Return the question for the last row of the patch."""
    return f"SELECT COALESCE(max(place), 0) FROM {table.patch}"


def _value(column: Mapping[str, Any], table: Replayed) -> str:
    """Return the expression for a column: of the patch, else as it was, else the default.

    JSON does not tell everything of a value that is no scalar: a JSON null in it is like no value,
    an array begins anywhere. Its text tells that; where there is none, or the type has become
    another, the failed table is asked: if it has a value that looks the same, that is it.
    """
    name, literal = quote_identifier(column["name"]), quote_literal(column["name"])
    none = quote_literal("null")
    found, patched = f"r.{name}", f"p.patch -> {literal}"
    is_scalar = column["is_scalar"] and column["base"] not in JSON
    if table.has_images and not is_scalar and column["name"] not in table.unlike:
        text = f"(p.texts ->> {literal})::{column['type']}"
        found = f"CASE WHEN {patched} IS NULL THEN r.{name} ELSE {text} END"
    elif column["base"] in JSON:  # verbatim; what was populated may have been written anew
        # Where there must be a value, what looks like none is a JSON null.
        text = f"({patched})::text"
        new = f"{text if column['not_null'] else f'NULLIF({text}, {none})'}::{column['type']}"
        found = f"CASE WHEN {patched} IS NULL THEN r.{name} ELSE {new} END"
    if not table.has_images and table.live and column["name"] in table.same and not is_scalar:
        # Blanks around a document do not come out of another document again.
        same = f"btrim(to_json(c.{name})::text, E' \\t\\n\\r') = ({patched})::text"
        found = f"CASE WHEN {same} THEN c.{name} ELSE {found} END"
    if column["default"] is None or column["name"] not in table.missing:
        return found
    missing = f"p.op = 'I' AND {patched} IS NULL"
    return f"CASE WHEN {missing} THEN {column['default']} ELSE {found} END"


def record(table: Replayed, kind: str, key: str) -> str:
    """Return an INSERT of conflicts up to its column and value; kind and key are expressions."""
    return (
        f"INSERT INTO {quote_identifier(table.ledger)}.checkpoint_conflict"
        " (checkpoint, number, key, kind, column_name, value)"
        f" SELECT {quote_literal(table.checkpoint)}, {table.number}, {key}, {kind}"
    )


def _record(table: Replayed, kind: str, column: str, value: str, row: str = "w") -> str:
    """Return an INSERT of conflicts up to its FROM; an alias in it has the key's columns."""
    pairs = [f"{quote_literal(name)}, {row}.{place}" for place, name in _places("k", table.key)]
    key = f"json_build_object({', '.join(pairs)})"
    return f"{record(table, kind, key)}, {column}, {value}"


def key_of_row(table: Replayed, row: str) -> str:
    """Return the expression for the key of a row of the clone, as JSON."""
    pairs = [f"{quote_literal(name)}, {row}.{quote_identifier(name)}" for name in table.key]
    return f"json_build_object({', '.join(pairs)})"


def _places(letter: str, key: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{letter}{number}", name) for number, name in enumerate(key, 1)]


def _columns(letter: str, key: Sequence[str], prefix: str = "") -> list[str]:
    return [f"{prefix}{place}" for place, _ in _places(letter, key)]


def _listed(names: Sequence[str], prefix: str) -> str:
    return ", ".join(f"{prefix}{each}" for each in names)


def _moved(table: Replayed, prefix: str = "") -> str:
    """Return the condition that a change gave its row another key."""
    pairs = zip(_columns("k", table.key), _columns("n", table.key), strict=True)
    return "(" + " OR ".join(f"{prefix}{old} <> {prefix}{new}" for old, new in pairs) + ")"


def _old_name(table: Replayed) -> str:
    """Return the expression for the old name of the column `f.key`."""
    cases = [f"WHEN {quote_literal(new)} THEN {quote_literal(old)}" for new, old in table.renamed]
    return f"CASE f.key {' '.join(cases)} ELSE f.key END" if cases else "f.key"


def _array(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(quote_literal, names))}]::text[]"
