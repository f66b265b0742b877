"""What hangs on a table, as PostgreSQL's statements: one line each, filled in by `fill`."""

from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name

# How the catalogue writes it, and how a statement does.
RELATION: Final = {"r": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}
STORAGE: Final = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
COMPRESSION: Final = {"": "default", "p": "pglz", "l": "lz4"}
IDENTITY: Final = {"a": "ALWAYS", "d": "BY DEFAULT"}
ENABLED: Final = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
COMMANDS: Final = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
REPLICA_IDENTITY: Final = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING"}

COMMENT: Final = "COMMENT ON {thing} IS {text}"
OWNER: Final = "ALTER {thing} OWNER TO {owner}"
REVOKE: Final = "REVOKE ALL{column} ON {thing} FROM {who}"
GRANT: Final = "GRANT {rights} ON {thing} TO {who}{more}"
ALTER_RELATION: Final = "ALTER {kind} {name} {change}"
ALTER_TABLE: Final = "ALTER TABLE {table} {change}"
SET_DEFAULT: Final = "ALTER COLUMN {column} SET DEFAULT {text}"
DROP_DEFAULT: Final = "ALTER COLUMN {column} DROP DEFAULT"
ALTER_COLUMN: Final = "ALTER COLUMN {column} SET {word} {text}"
SET_OPTIONS: Final = "SET ({options})"
ADD_IDENTITY: Final = (
    "ALTER COLUMN {column} ADD GENERATED {kind} AS IDENTITY (SEQUENCE NAME {sequence} {options})"
)
DROP_IDENTITY: Final = "ALTER COLUMN {column} DROP IDENTITY"
ADD_CONSTRAINT: Final = "ADD CONSTRAINT {name} {definition}"
DROP_CONSTRAINT: Final = "DROP CONSTRAINT IF EXISTS {name}"
RENAME_CONSTRAINT: Final = "RENAME CONSTRAINT {name} TO {new}"
VALIDATE: Final = "VALIDATE CONSTRAINT {name}"
CLUSTER_ON: Final = "CLUSTER ON {index}"
IDENTITY_BY_INDEX: Final = "REPLICA IDENTITY USING INDEX {index}"
SET_TABLESPACE: Final = "SET TABLESPACE {space}"
SET_SCHEMA: Final = "SET SCHEMA {schema}"
RENAME: Final = "RENAME TO {new}"
ENABLE: Final = "{word} {kind} {name}"
DROP_ON: Final = "DROP {kind} IF EXISTS {name} ON {table}"
CREATE_POLICY: Final = (
    "CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {roles}{using}{check}"
)
DROP_STATISTICS: Final = "DROP STATISTICS {name}"
STATISTICS_TARGET: Final = "ALTER STATISTICS {name} SET STATISTICS {text}"
PUBLISH: Final = "ALTER PUBLICATION {name} ADD TABLE {table}{columns}{where}"
DO_NOT_PUBLISH: Final = "ALTER PUBLICATION {name} DROP TABLE {table}"
CREATE_VIEW: Final = "CREATE{replace} {kind} {name}{more} AS {text}"
DROP_RELATION: Final = "DROP {kind} {name}"
CREATE_INDEX: Final = "CREATE {unique}INDEX {name} ON {table} {tail}"
ALTER_INDEX: Final = "ALTER INDEX {index} {change}"
INDEX_STATISTICS: Final = "ALTER COLUMN {number} SET STATISTICS {text}"
SEQUENCE: Final = "{word} SEQUENCE {name} AS {type} {options}"
OWNED_SEQUENCE: Final = "{create} OWNED BY {table}.{column}"
SEQUENCE_OPTIONS: Final = (
    "INCREMENT {increment} MINVALUE {min} MAXVALUE {max} START {start} CACHE {cache} {cycle}"
)
ALTER_SEQUENCE: Final = "ALTER SEQUENCE {name} {change}"
OWNED_BY: Final = "OWNED BY {table}.{column}"
OWNED_BY_NONE: Final = "OWNED BY NONE"
ANALYZE: Final = "ANALYZE {table}"
LOCK: Final = "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"

FIND_BY_OID: Final = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::bigint::oid"
)
# One that no column owns.
FIND_FREE_SEQUENCE: Final = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text"
    " AND c.relname = $2::text AND c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d"
    " WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjsubid > 0)"
)
FIND_BY_NAME: Final = (
    "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1::text AND c.relname = $2::text"
)
# $1: of how many locks. Whoever waits for us looks for a dead-lock after `deadlock_timeout`: until
# then we have given way, so that the error is never the application's.
SHORTEN_LOCK_TIMEOUT: Final = (
    "SELECT set_config('lock_timeout', greatest(1, least(NULLIF(l.setting::int, 0),"
    " d.setting::int / (2 * $1::int)))::text, true) FROM pg_settings l, pg_settings d"
    " WHERE l.name = 'lock_timeout' AND d.name = 'deadlock_timeout'"
)
# Who gets rights on whatever a role makes, by ALTER DEFAULT PRIVILEGES; "" is everybody.
DEFAULT_GRANTEES: Final = (
    "SELECT DISTINCT CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee)::text END"
    " FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) e ORDER BY 1"
)


class Raw(str):
    """Text that `fill` takes as it is: a keyword, a definition of the server's own."""

    __slots__ = ()


Part = str | tuple[str, str] | Raw


def fill(template: str, **parts: Part) -> str:
    """Return a statement: names are quoted, a pair is a name with its schema, `Raw` is left."""
    return template.format_map({name: _spelled(part) for name, part in parts.items()})


def _spelled(part: Part) -> str:
    if isinstance(part, Raw):
        return str(part)
    return quote_name(*part) if isinstance(part, tuple) else quote_identifier(part)


def names(parts: list[str] | tuple[str, ...]) -> Raw:
    """Return quoted names with commas between them."""
    return Raw(", ".join(map(quote_identifier, parts)))


def literal(text: str | None) -> Raw:
    """Return a string constant, or NULL."""
    return Raw("NULL" if text is None else quote_literal(text))


def roles(found: list[str] | tuple[str, ...]) -> Raw:
    """Return roles with commas between them; "" is everybody."""
    return Raw(", ".join(quote_identifier(each) if each else "PUBLIC" for each in found))


def options(pairs: list[str] | None, prefix: str = "") -> list[str]:
    """Return storage options (`name=value`) as they are written between brackets."""
    split = (each.partition("=") for each in pairs or ())
    return [
        f"{prefix}{quote_identifier(name)} = {quote_literal(value)}" for name, _, value in split
    ]


def lock_sequence(sequence: tuple[str, str]) -> str:
    """Return the statement after which nobody else draws from a sequence; it changes nothing.

    LOCK TABLE takes no sequence, and every other ALTER SEQUENCE writes it anew or needs a table.
    """
    owner = "format('ALTER SEQUENCE %s OWNER TO %I', oid::regclass, pg_get_userbyid(relowner))"
    place = quote_literal(quote_name(*sequence))
    change = f"SELECT {owner} FROM pg_class WHERE oid = {place}::regclass"
    return f"DO {quote_literal(f'BEGIN EXECUTE ({change}); END')}"


def next_value(sequence: tuple[str, str], increment: int) -> str:
    """Return the question for the value that a sequence would give next."""
    return (
        f"SELECT last_value + CASE WHEN is_called THEN {increment} ELSE 0 END"
        f" FROM {quote_name(*sequence)}"
    )


def furthest_value(table: tuple[str, str], column: str, *, up: bool) -> str:
    """Return the question for the highest value of a column, or the lowest."""
    word = "max" if up else "min"
    return f"SELECT {word}({quote_identifier(column)})::bigint FROM {quote_name(*table)}"


def set_next(sequence: tuple[str, str], value: int, *, used_up: bool) -> str:
    """Return the statement that lets a sequence go on with a value, or shows it as used up."""
    name = quote_literal(quote_name(*sequence))
    return f"SELECT setval({name}::regclass, {value}, {str(used_up).lower()})"
