"""MariaDB's catalogue as text: what the connected database holds, and what it looks like."""

from collections.abc import Sequence
from typing import Final

from whimbrel.planning.dialects.mariadb import quote_identifier, quote_name

# No table of anybody else's has a name that sorts behind this one.
LAST: Final = "\uffee"
# $1 is the ledger's schema: tables of ours begin with it and an underscore, some behind all others.
_OURS: Final = (
    "(LEFT({0}, CHAR_LENGTH($1) + 1) = CONCAT($1, '_')"
    f" OR LEFT({{0}}, CHAR_LENGTH($1) + 2) = CONCAT('{LAST}', $1, '_'))"
)


def _here(schema: str, table: str) -> str:
    return f"{schema} = DATABASE() AND NOT {_OURS.format(table)}"


_KIND: Final = (
    "CASE t.TABLE_TYPE WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END"
)
_OBJECTS: Final = f"""
SELECT {_KIND} AS kind, t.TABLE_NAME AS name, '' AS part
FROM information_schema.TABLES t WHERE {_here("t.TABLE_SCHEMA", "t.TABLE_NAME")}
UNION ALL
SELECT 'column', c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
WHERE {_here("c.TABLE_SCHEMA", "c.TABLE_NAME")} AND t.TABLE_TYPE LIKE '%TABLE'
UNION ALL
SELECT DISTINCT 'index', s.TABLE_NAME, s.INDEX_NAME FROM information_schema.STATISTICS s
WHERE {_here("s.TABLE_SCHEMA", "s.TABLE_NAME")}
UNION ALL
SELECT 'constraint', k.TABLE_NAME, k.CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS k
WHERE {_here("k.TABLE_SCHEMA", "k.TABLE_NAME")} AND k.CONSTRAINT_TYPE IN ('FOREIGN KEY', 'CHECK')
UNION ALL
SELECT 'trigger', g.EVENT_OBJECT_TABLE, g.TRIGGER_NAME FROM information_schema.TRIGGERS g
WHERE g.TRIGGER_SCHEMA = DATABASE() AND NOT {_OURS.format("g.TRIGGER_NAME")}
UNION ALL
SELECT 'function', r.ROUTINE_NAME, '' FROM information_schema.ROUTINES r
WHERE r.ROUTINE_SCHEMA = DATABASE()
UNION ALL
SELECT 'event', e.EVENT_NAME, '' FROM information_schema.EVENTS e
WHERE e.EVENT_SCHEMA = DATABASE()
"""
# No number of the server's own outlives a rename and may be read without PROCESS: the name's
# digest stands for it, and renames are followed by the text of the file.
_NUMBER: Final = (
    "CAST(CONV(LEFT(SHA2(CONCAT_WS('/', o.kind, HEX(o.name), HEX(o.part)), 256), 15), 16, 10)"
    " AS UNSIGNED)"
)
READ_OBJECTS: Final = f"SELECT o.kind, DATABASE(), o.name, o.part, {_NUMBER}, 0 FROM ({_OBJECTS}) o"

# The constraint with its columns, what they refer to, what is done on DELETE and on UPDATE.
READ_FOREIGN_KEYS: Final = f"""
SELECT DATABASE(), f.TABLE_NAME, f.CONSTRAINT_NAME, JSON_ARRAYAGG(k.COLUMN_NAME),
    k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, JSON_ARRAYAGG(k.REFERENCED_COLUMN_NAME),
    f.DELETE_RULE, f.UPDATE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS f
JOIN information_schema.KEY_COLUMN_USAGE k ON k.CONSTRAINT_SCHEMA = f.CONSTRAINT_SCHEMA
    AND k.TABLE_NAME = f.TABLE_NAME AND k.CONSTRAINT_NAME = f.CONSTRAINT_NAME
    AND k.REFERENCED_COLUMN_NAME IS NOT NULL
WHERE {_here("f.CONSTRAINT_SCHEMA", "f.TABLE_NAME")}
GROUP BY 2, 3, 5, 6, 8, 9 ORDER BY 2, 3
"""

TOLD: Final[tuple[str, ...]] = ()


def _line(kind: str, label: str, *parts: str) -> str:
    words = ", ".join(f"COALESCE({part}, '-')" for part in parts)
    return f"SELECT '{kind}', {label}, CONCAT_WS('|', {words})"


# Each row is one line of the fingerprint. Nothing here grows with the rows of a table.
READ_SHAPE: Final = f"""
{
    _line(
        "table",
        "t.TABLE_NAME",
        "t.TABLE_TYPE",
        "t.ENGINE",
        "t.TABLE_COLLATION",
        "t.ROW_FORMAT",
        "t.CREATE_OPTIONS",
        "t.TABLE_COMMENT",
    )
}
FROM information_schema.TABLES t WHERE {_here("t.TABLE_SCHEMA", "t.TABLE_NAME")}
UNION ALL
{
    _line(
        "column",
        "c.TABLE_NAME",
        "c.COLUMN_NAME",
        "c.COLUMN_TYPE",
        "c.IS_NULLABLE",
        "c.COLUMN_DEFAULT",
        "c.EXTRA",
        "c.COLLATION_NAME",
        "c.GENERATION_EXPRESSION",
        "c.COLUMN_COMMENT",
    )
}
FROM information_schema.COLUMNS c WHERE {_here("c.TABLE_SCHEMA", "c.TABLE_NAME")}
UNION ALL
{_line("order", "c.TABLE_NAME", "c.ORDINAL_POSITION", "c.COLUMN_NAME")}
FROM information_schema.COLUMNS c WHERE {_here("c.TABLE_SCHEMA", "c.TABLE_NAME")}
UNION ALL
{
    _line(
        "index",
        "s.TABLE_NAME",
        "s.INDEX_NAME",
        "s.SEQ_IN_INDEX",
        "s.COLUMN_NAME",
        "s.NON_UNIQUE",
        "s.SUB_PART",
        "s.COLLATION",
        "s.INDEX_TYPE",
        "s.INDEX_COMMENT",
        "s.IGNORED",
    )
}
FROM information_schema.STATISTICS s WHERE {_here("s.TABLE_SCHEMA", "s.TABLE_NAME")}
UNION ALL
{
    _line(
        "key",
        "k.TABLE_NAME",
        "k.CONSTRAINT_NAME",
        "k.ORDINAL_POSITION",
        "k.COLUMN_NAME",
        "k.REFERENCED_TABLE_SCHEMA",
        "k.REFERENCED_TABLE_NAME",
        "k.REFERENCED_COLUMN_NAME",
    )
}
FROM information_schema.KEY_COLUMN_USAGE k WHERE {_here("k.TABLE_SCHEMA", "k.TABLE_NAME")}
UNION ALL
{_line("foreign key", "f.TABLE_NAME", "f.CONSTRAINT_NAME", "f.UPDATE_RULE", "f.DELETE_RULE")}
FROM information_schema.REFERENTIAL_CONSTRAINTS f
WHERE {_here("f.CONSTRAINT_SCHEMA", "f.TABLE_NAME")}
UNION ALL
{_line("check", "h.TABLE_NAME", "h.CONSTRAINT_NAME", "h.LEVEL", "h.CHECK_CLAUSE")}
FROM information_schema.CHECK_CONSTRAINTS h WHERE {_here("h.CONSTRAINT_SCHEMA", "h.TABLE_NAME")}
UNION ALL
{
    _line(
        "view",
        "v.TABLE_NAME",
        "v.VIEW_DEFINITION",
        "v.CHECK_OPTION",
        "v.DEFINER",
        "v.SECURITY_TYPE",
        "v.ALGORITHM",
    )
}
FROM information_schema.VIEWS v WHERE v.TABLE_SCHEMA = DATABASE()
UNION ALL
{
    _line(
        "trigger",
        "g.EVENT_OBJECT_TABLE",
        "g.TRIGGER_NAME",
        "g.ACTION_TIMING",
        "g.EVENT_MANIPULATION",
        "g.ACTION_ORDER",
        "g.ACTION_STATEMENT",
        "g.DEFINER",
        "g.SQL_MODE",
    )
}
FROM information_schema.TRIGGERS g WHERE g.TRIGGER_SCHEMA = DATABASE()
AND NOT {_OURS.format("g.TRIGGER_NAME")}
UNION ALL
{
    _line(
        "routine",
        "r.ROUTINE_NAME",
        "r.ROUTINE_TYPE",
        "r.DTD_IDENTIFIER",
        "r.ROUTINE_DEFINITION",
        "r.IS_DETERMINISTIC",
        "r.SQL_DATA_ACCESS",
        "r.SECURITY_TYPE",
        "r.DEFINER",
        "r.SQL_MODE",
        "r.ROUTINE_COMMENT",
    )
}
FROM information_schema.ROUTINES r WHERE r.ROUTINE_SCHEMA = DATABASE()
UNION ALL
{
    _line(
        "event",
        "e.EVENT_NAME",
        "e.EVENT_DEFINITION",
        "e.INTERVAL_VALUE",
        "e.INTERVAL_FIELD",
        "e.STATUS",
        "e.ON_COMPLETION",
        "e.DEFINER",
        "e.SQL_MODE",
    )
}
FROM information_schema.EVENTS e WHERE e.EVENT_SCHEMA = DATABASE()
UNION ALL
{_line("grant", "p.TABLE_NAME", "p.GRANTEE", "p.PRIVILEGE_TYPE", "p.IS_GRANTABLE")}
FROM information_schema.TABLE_PRIVILEGES p WHERE {_here("p.TABLE_SCHEMA", "p.TABLE_NAME")}
"""

ENGINES: Final = (
    "SELECT t.TABLE_NAME, t.ENGINE FROM information_schema.TABLES t"
    " JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE"
    " WHERE t.TABLE_SCHEMA = DATABASE() AND e.TRANSACTIONS = 'NO'"
    " AND JSON_CONTAINS($1, JSON_QUOTE(t.TABLE_NAME))"
)

# $1 name of a tool's table, $2 its columns, $3 its database; NULL, or what is the default on
# PostgreSQL, for the one that is connected to.
FIND_TABLES: Final = (
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME FROM information_schema.COLUMNS c"
    " WHERE c.TABLE_SCHEMA = COALESCE(NULLIF($3, 'public'), DATABASE()) AND c.TABLE_NAME = $1"
    " AND JSON_CONTAINS($2, JSON_QUOTE(c.COLUMN_NAME))"
    " GROUP BY c.TABLE_SCHEMA, c.TABLE_NAME HAVING COUNT(*) = JSON_LENGTH($2)"
)

READ_XID: Final[tuple[str, ...]] = ()  # there is no id to ask for afterwards
BEFORE_COPY: Final[tuple[str, ...]] = ()
AFTER_COPY: Final[tuple[str, ...]] = ()
READ_COLUMNS: Final = (
    "SELECT c.COLUMN_NAME, c.GENERATION_EXPRESSION IS NOT NULL FROM information_schema.COLUMNS c"
    " JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)"
    " WHERE c.TABLE_SCHEMA = $1 AND c.TABLE_NAME = $2 AND t.TABLE_TYPE LIKE '%TABLE'"
    " ORDER BY c.ORDINAL_POSITION"
)
READ_PARTITIONS: Final = "SELECT NULL FROM DUAL WHERE FALSE"  # they are no tables
READ_KEY: Final = (
    "SELECT JSON_ARRAYAGG(s.COLUMN_NAME ORDER BY s.SEQ_IN_INDEX)"
    " FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = $1 AND s.TABLE_NAME = $2"
    " AND s.INDEX_NAME = 'PRIMARY' HAVING COUNT(*) > 0"
)


def ledger_table(schema: str, name: str) -> tuple[str, str]:
    """Return database ("" for the one that is connected to) and name of a table of the ledger."""
    return "", f"{schema}_{name}"


def lock_table(schema: str, name: str) -> tuple[str, ...]:
    """Return nothing: under LOCK TABLES no table can be made."""
    del schema, name
    return ()


def has_data(schema: str, name: str, columns: Sequence[str]) -> str:
    """Return the question whether a table has rows, or values in the given columns."""
    return f"SELECT EXISTS (SELECT 1 FROM {quote_name(schema, name)}{_any_value(columns)})"


def copy_table(
    copy: tuple[str, str], source: tuple[str, str], shown: Sequence[str], columns: Sequence[str]
) -> str:
    """Return the statement that copies what would be lost; an unfinished copy is replaced."""
    listed = ", ".join(quote_identifier(each) for each in shown) or "*"
    return (
        f"CREATE OR REPLACE TABLE {quote_name(*copy)} ENGINE=InnoDB AS SELECT {listed}"
        f" FROM {quote_name(*source)}{_any_value(columns)}"
    )


def count_rows(schema: str, name: str) -> str:
    """Return the question how many rows a table has."""
    return f"SELECT COUNT(*) FROM {quote_name(schema, name)}"


def drop_table(schema: str, name: str) -> str:
    """Return the statement that drops a table of ours."""
    return f"DROP TABLE IF EXISTS {quote_name(schema, name)}"


def show_create(kind: str, name: str) -> str:
    """Return the question for a thing's whole definition; kind is TABLE (views too), TRIGGER ..."""
    return f"SHOW CREATE {kind} {quote_identifier(name)}"


def select_rows(schema: str, table: str, columns: Sequence[str], order: str) -> str:
    """Return the query for columns of a tool's table, as text."""
    listed = ", ".join(f"CAST({quote_identifier(each)} AS CHAR)" for each in columns)
    by = quote_identifier(order) if order else "1"
    return f"SELECT {listed} FROM {quote_name(schema, table)} ORDER BY {by}"


def _any_value(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    return " WHERE " + " OR ".join(f"{quote_identifier(each)} IS NOT NULL" for each in columns)
