"""The exchange of a failed table and its clone, as text for PostgreSQL."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from whimbrel.planning.dialects import postgresql_dependents as dependents
from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.planning.dialects.postgresql_dependents import Facts

# Text of ours alone is sent as one piece; it may hold no name without a schema.
PIN_TRANSACTION: Final = "SET LOCAL search_path = pg_catalog, pg_temp"
FIND_RELATION: Final = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::bigint::oid"
)
HAS_RELATION: Final = (
    "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1::text AND c.relname = $2::text"
)


def lock_tables(names: Iterable[tuple[str, str]]) -> str:
    """Return the statement that keeps everybody away from tables, always in the same order."""
    listed = ", ".join(quote_name(*each) for each in sorted(set(names)))
    return f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE"


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


def set_next(each: Facts, value: int) -> str:
    """Return the statement that lets a sequence go on with a value, or shows that it is used up."""
    used_up = not each["min"] <= value <= each["max"]
    last = (each["max"] if each["increment"] > 0 else each["min"]) if used_up else value
    called = "true" if used_up else "false"
    name = quote_name(each["schema"], each["name"]).replace("'", "''")
    return f"SELECT setval('{name}'::regclass, {last}, {called})"


def set_aside(
    live: Facts, then: Facts, place: tuple[str, str], triggers: Iterable[str]
) -> list[str]:
    """Return the statements that take a failed table out of the way, to `place`.

    It keeps its rows and its indexes, and nothing that could reach another table: a foreign key
    would stop the application's deletes, a publication would go on publishing it.
    """
    name, (schema, kept) = dependents.name_of(live), place
    own = quote_identifier(live["table"]["schema"])
    there = f"{own}.{quote_identifier(kept)}"
    who = {grantee for grantee, *_ in live["table"]["acl"] or ()} - {live["table"]["owner"]}
    who |= {who for each in live["columns"] for who, *_ in each["acl"] or ()}
    revoked = [quote_identifier(each) if each else "PUBLIC" for each in sorted(who)]
    return [
        *(f"DROP TRIGGER IF EXISTS {quote_identifier(each)} ON {name}" for each in triggers),
        *_detach(live, name),
        *_part_sequences(live, then, kept),
        *(
            f"ALTER INDEX {own}.{quote_identifier(each['name'])} RENAME TO"
            f" {quote_identifier(f'{kept}_i{number}')}"
            for number, each in enumerate(live["indexes"])
        ),
        f"ALTER TABLE {name} RENAME TO {quote_identifier(kept)}",
        f"ALTER TABLE {there} SET SCHEMA {quote_identifier(schema)}",
        *(f"REVOKE ALL ON {quote_name(*place)} FROM {each}" for each in revoked),
    ]


def _detach(live: Facts, name: str) -> list[str]:
    foreign = [each for each in live["constraints"] if each["kind"] == "f"]
    return [
        *(
            f"ALTER PUBLICATION {quote_identifier(each['name'])} DROP TABLE {name}"
            for each in live["publications"]
        ),
        *(
            f"ALTER TABLE {quote_name(each['schema'], each['table'])} DROP CONSTRAINT IF EXISTS"
            f" {quote_identifier(each['name'])}"
            for each in (*live["inbound"], *foreign)
        ),
        *(
            f"DROP STATISTICS {quote_name(each['schema'], each['name'])}"
            for each in live["statistics"]
        ),
    ]


def _part_sequences(live: Facts, then: Facts, kept: str) -> list[str]:
    """Let go of the sequences that stay, and rename those that go: their names are needed."""
    stay = {each["oid"] for each in then["sequences"] if not each["identity"]}
    found = []
    for number, each in enumerate(live["sequences"]):
        name = quote_name(each["schema"], each["name"])
        if each["oid"] in stay:
            found.append(f"ALTER SEQUENCE {name} OWNED BY NONE")
        else:
            found.append(f"ALTER SEQUENCE {name} RENAME TO {quote_identifier(f'{kept}_s{number}')}")
    return found


def put_in_place(then: Facts, clone: Facts, sequences: Mapping[int, tuple[str, str]]) -> list[str]:
    """Return the statements that give a prepared clone the name, and all that hangs on it.

    Foreign keys, publications and views come later, when all tables stand.

    Args:
        then: What the table was like.
        clone: What the clone is like.
        sequences: Where the sequences are now that columns owned, by oid.
    """
    schema, now = then["table"]["schema"], clone["table"]["name"]
    own, name = quote_identifier(schema), dependents.name_of(then)
    return [
        f"ALTER TABLE {dependents.name_of(clone)} SET SCHEMA {own}",
        f"ALTER TABLE {own}.{quote_identifier(now)} RENAME TO"
        f" {quote_identifier(then['table']['name'])}",
        *(
            f"ALTER INDEX {own}.{quote_identifier(f'{now}_i{number}')} RENAME TO"
            f" {quote_identifier(each['name'])}"
            for number, each in enumerate(then["indexes"])
        ),
        *_sequences(then, now, sequences, name),
        *dependents.dress(then, clone),
        *_owned(then, name),
    ]


def _sequences(
    then: Facts, clone: str, sequences: Mapping[int, tuple[str, str]], name: str
) -> list[str]:
    found = []
    for number, each in enumerate(then["sequences"]):
        own, called = quote_identifier(each["schema"]), quote_identifier(each["name"])
        if each["identity"]:
            made = quote_identifier(f"{clone}_s{number}")
            found.append(f"ALTER SEQUENCE {own}.{made} RENAME TO {called}")
            continue
        there = sequences.get(each["oid"])
        if there and there[0] != each["schema"]:
            found.append(f"ALTER SEQUENCE {quote_name(*there)} SET SCHEMA {own}")
        if there and there[1] != each["name"]:
            found.append(f"ALTER SEQUENCE {own}.{quote_identifier(there[1])} RENAME TO {called}")
        found += dependents.set_sequence(each, exists=bool(there))
    return found


def _owned(then: Facts, name: str) -> list[str]:
    """Return what only works once the table has its owner: a sequence must have the same."""
    found = []
    for each in then["sequences"]:
        sequence = quote_name(each["schema"], each["name"])
        if not each["identity"]:
            found += dependents.owner(f"SEQUENCE {sequence}", each, dependents.NOTHING)
            column = quote_identifier(each["column"])
            found.append(f"ALTER SEQUENCE {sequence} OWNED BY {name}.{column}")
        now = [] if each["identity"] else [["", "", False]]
        found += dependents.rights(f"SEQUENCE {sequence}", each["acl"], now)
        found += dependents.comment(f"SEQUENCE {sequence}", each, {"comment": ""})
    return found


def stale_views(then: Iterable[Facts], live: Iterable[Facts]) -> list[Facts]:
    """Return the views that must go before others can be made, those that read others first.

    A view that the migration made or changed, and whatever reads it.
    """
    wanted = {dependents.name_of(each): each for each in then}
    stale: dict[str, Facts] = {}
    for each in live:
        name, table = dependents.name_of(each), each["table"]
        was = wanted.get(name)
        reads = {quote_name(*read) for read in table["reads"] or ()}
        is_other = bool(table.get("is_other"))  # it reads something else under a name of ours
        if was is None or is_other or reads & stale.keys() or not _may_stay(was, each):
            stale[name] = each
    return list(reversed(stale.values()))


def _may_stay(then: Facts, live: Facts) -> bool:
    """Tell whether a view can be replaced, or can be read until it is made again."""
    both_kept = then["table"]["kind"] == live["table"]["kind"] == "m"
    return both_kept or dependents.same_columns(then, live)


def is_late(view: Facts, views: Iterable[Facts]) -> bool:
    """Tell whether a view is made again after the exchange: materialised, or reads such a one."""
    kinds = {(each["table"]["schema"], each["table"]["name"]): each for each in views}
    if view["table"]["kind"] == "m":
        return True
    reads = [kinds.get(tuple(each)) for each in view["table"]["reads"] or ()]
    return any(is_late(each, kinds.values()) for each in reads if each is not None)
