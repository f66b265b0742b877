"""What a clone needs before it can take a table's place, as text for PostgreSQL.

Facts are those of `describe_table`: `then` is what is wanted, `now` what is there. Everything is a
difference, so what was begun and interrupted is finished by asking again.
"""

from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.planning.dialects.postgresql_dependents import (
    NOTHING,
    Facts,
    by_name,
    comment,
    name_of,
    options,
    sequence_options,
)

_STORAGE: Final = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
_COMPRESSION: Final = {"": "default", "p": "pglz", "l": "lz4"}
_IDENTITY: Final = {"a": "ALWAYS", "d": "BY DEFAULT"}
_REPLICA_IDENTITY: Final = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING"}


def prepare_columns(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give the columns of a clone their settings, in one pass."""
    was, commands = by_name(now["columns"]), []
    named = {each["columns"][0] for each in then["constraints"] if each["kind"] == "n"}
    for each in then["columns"]:
        before, column = was[each["name"]], f"ALTER COLUMN {quote_identifier(each['name'])}"
        if each["storage"] != before["storage"]:
            commands.append(f"{column} SET STORAGE {_STORAGE[each['storage']]}")
        if each["compression"] != before["compression"]:
            commands.append(f"{column} SET COMPRESSION {_COMPRESSION[each['compression']]}")
        if each["statistics"] != before["statistics"]:
            target = -1 if each["statistics"] is None else each["statistics"]
            commands.append(f"{column} SET STATISTICS {target}")
        if each["options"] != before["options"]:
            commands.append(f"{column} SET ({', '.join(options(each['options']))})")
        if each["not_null"] and not before["not_null"] and each["name"] not in named:
            commands.append(f"{column} SET NOT NULL")
    return [f"ALTER TABLE {name_of(now)} {', '.join(commands)}"] if commands else []


def prepare_not_null(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give NOT NULL constraints their names (PostgreSQL 18)."""
    wanted = [each for each in then["constraints"] if each["kind"] == "n"]
    was = {each["columns"][0]: each for each in now["constraints"] if each["kind"] == "n"}
    found = []
    for each in wanted:
        before = was.get(each["columns"][0])
        if before is None or before["definition"] != each["definition"]:
            if before is not None:
                found.append(_drop_constraint(name_of(now), before))
            found.append(_add_constraint(name_of(now), each))
        elif before["name"] != each["name"]:
            found.append(
                f"ALTER TABLE {name_of(now)} RENAME CONSTRAINT {quote_identifier(before['name'])}"
                f" TO {quote_identifier(each['name'])}"
            )
    return found


def _add_constraint(table: str, each: Facts, name: str = "") -> str:
    called = quote_identifier(name or each["name"])
    return f"ALTER TABLE {table} ADD CONSTRAINT {called} {each['definition']}"


def _drop_constraint(table: str, each: Facts) -> str:
    return f"ALTER TABLE {table} DROP CONSTRAINT {quote_identifier(each['name'])}"


def prepare_checks(then: Facts, now: Facts) -> list[str]:
    """Return the statements that add CHECK constraints; each looks at what is there."""
    was = by_name(now["constraints"])
    return [
        _add_constraint(name_of(now), each)
        for each in then["constraints"]
        if each["kind"] == "c" and each["name"] not in was
    ]


def prepare_identity(then: Facts, now: Facts) -> list[str]:
    """Return the statements that make identity columns, with sequences named for the clone."""
    was, columns = by_name(now["columns"]), by_name(then["columns"])
    found = []
    for number, each in enumerate(then["sequences"]):
        if each["identity"] and not was[each["column"]]["identity"]:
            name = quote_name(now["table"]["schema"], f"{now['table']['name']}_s{number}")
            kind = _IDENTITY[columns[each["column"]]["identity"]]
            found.append(
                f"ALTER TABLE {name_of(now)} ALTER COLUMN {quote_identifier(each['column'])}"
                f" ADD GENERATED {kind} AS IDENTITY (SEQUENCE NAME {name} {sequence_options(each)})"
            )
    return found


def prepare_table(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give a clone its storage options and its place."""
    table, was, found = then["table"], now["table"], []
    if table["tablespace"] != was["tablespace"]:
        space = quote_identifier(table["tablespace"] or "pg_default")
        found.append(f"ALTER TABLE {name_of(now)} SET TABLESPACE {space}")
    wanted = options(table["options"]) if table["options"] != was["options"] else []
    if table["toast_options"] != was["toast_options"]:
        wanted += options(table["toast_options"], "toast.")
    if wanted:
        found.append(f"ALTER TABLE {name_of(now)} SET ({', '.join(wanted)})")
    return found


def prepare_indexes(then: Facts, now: Facts, prefix: str) -> list[str]:
    """Return the statements that build indexes, also those of constraints, named by number."""
    was, constraints = by_name(now["indexes"]), by_name(then["constraints"])
    schema, target, found = now["table"]["schema"], name_of(now), []
    for number, each in enumerate(then["indexes"]):
        name = f"{prefix}_i{number}"
        index = quote_name(schema, name)
        before = was.get(name, NOTHING)
        if not before and each["constraint"]:
            found.append(_add_constraint(target, constraints[each["constraint"]], name))
        elif not before:
            unique = "UNIQUE " if each["unique"] else ""
            found.append(
                f"CREATE {unique}INDEX {quote_identifier(name)} ON {target} {each['tail']}"
            )
        found += _settings_of_index(each, before, index)
        if each["clustered"] and not before.get("clustered"):
            found.append(f"ALTER TABLE {target} CLUSTER ON {quote_identifier(name)}")
        if each["replica_identity"] and not before.get("replica_identity"):
            found.append(
                f"ALTER TABLE {target} REPLICA IDENTITY USING INDEX {quote_identifier(name)}"
            )
    return found


def _settings_of_index(each: Facts, before: Facts, index: str) -> list[str]:
    found = []
    if each["constraint"] and each["options"] and each["options"] != before.get("options"):
        found.append(f"ALTER INDEX {index} SET ({', '.join(options(each['options']))})")
    if each["tablespace"] and each["tablespace"] != before.get("tablespace"):
        found.append(f"ALTER INDEX {index} SET TABLESPACE {quote_identifier(each['tablespace'])}")
    if each["statistics"] != before.get("statistics"):
        found += [
            f"ALTER INDEX {index} ALTER COLUMN {number} SET STATISTICS {target}"
            for number, target in (each["statistics"] or {}).items()
        ]
    return [*found, *comment(f"INDEX {index}", each, before)]


def prepare_identity_of_rows(then: Facts, now: Facts) -> list[str]:
    """Return the statement that says how replication tells rows, where no index does."""
    word = _REPLICA_IDENTITY.get(then["table"]["replica_identity"])
    if word is None or then["table"]["replica_identity"] == now["table"]["replica_identity"]:
        return []
    return [f"ALTER TABLE {name_of(now)} REPLICA IDENTITY {word}"]


def prepare_comments(then: Facts, now: Facts, prefix: str) -> list[str]:
    """Return the statements that give constraints their comments."""
    was, target = by_name(now["constraints"]), name_of(now)
    indexes = {
        each["constraint"]: n for n, each in enumerate(then["indexes"]) if each["constraint"]
    }
    found = []
    for each in then["constraints"]:
        if each["kind"] == "f":
            continue
        number = indexes.get(each["name"])
        name = each["name"] if number is None else f"{prefix}_i{number}"
        thing = f"CONSTRAINT {quote_identifier(name)} ON {target}"
        found += comment(thing, each, was.get(name, NOTHING))
    return found
