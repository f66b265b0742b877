"""From the facts of a table to the statements that give another table the same, for PostgreSQL.

Facts are those of `describe_table`: `then` is what is wanted, `now` what is there. Everything is a
difference, so what was begun and interrupted is finished by asking again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name

Facts = Mapping[str, Any]
NOTHING: Final[Facts] = {}

_RELATION: Final = {"r": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}
_ENABLED: Final = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_COMMANDS: Final = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


def name_of(relation: Facts) -> str:
    """Return the quoted name of a relation."""
    return quote_name(relation["table"]["schema"], relation["table"]["name"])


def options(pairs: Sequence[str] | None, prefix: str = "") -> list[str]:
    """Return storage options (`name=value`) as they are written between brackets."""
    split = (each.partition("=") for each in pairs or ())
    return [
        f"{prefix}{quote_identifier(name)} = {quote_literal(value)}" for name, _, value in split
    ]


def by_name(items: Iterable[Facts]) -> dict[str, Facts]:
    """Return items by their names."""
    return {each["name"]: each for each in items}


def comment(thing: str, then: Facts, now: Facts) -> list[str]:
    """Return the statement that gives a thing its comment, where it has another one."""
    if then.get("comment") == now.get("comment"):
        return []
    text = then.get("comment")
    return [f"COMMENT ON {thing} IS {'NULL' if text is None else quote_literal(text)}"]


def rights(
    on: str, then: Sequence[Any] | None, now: Sequence[Any] | None, column: str = ""
) -> list[str]:
    """Return the statements after which exactly those have rights who had them.

    Args:
        on: On what, for example `TABLE x`.
        then: Grantee, privilege, grantable.
        now: The same.
        column: Of which column, between brackets.
    """
    before, after = _by_grantee(then), _by_grantee(now)
    found = []
    for grantee in sorted({*before, *after}):
        if before.get(grantee) == after.get(grantee):
            continue
        who = quote_identifier(grantee) if grantee else "PUBLIC"
        if grantee in after:
            found.append(f"REVOKE ALL{column} ON {on} FROM {who}")
        for more, grantable in (("", False), (" WITH GRANT OPTION", True)):
            granted = [
                word for word, may_grant in before.get(grantee, ()) if may_grant is grantable
            ]
            if granted:
                listed = ", ".join(f"{word}{column}" for word in granted)
                found.append(f"GRANT {listed} ON {on} TO {who}{more}")
    return found


def _by_grantee(acl: Sequence[Any] | None) -> dict[str, list[tuple[str, bool]]]:
    found: dict[str, list[tuple[str, bool]]] = {}
    for grantee, privilege, grantable in acl or ():
        found.setdefault(grantee, []).append((privilege, grantable))
    return found


def owner(thing: str, then: Facts, now: Facts) -> list[str]:
    """Return the statement that gives a thing its owner."""
    if then["owner"] == now.get("owner"):
        return []
    return [f"ALTER {thing} OWNER TO {quote_identifier(then['owner'])}"]


def dress(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give a relation, which stands under its name, all but its columns.

    Owner and rights, rules, triggers, policies, extended statistics, comments.
    """
    table, was = then["table"], now.get("table", NOTHING)
    name, kind = name_of(then), _RELATION[then["table"]["kind"]]
    return [
        *owner(f"{kind} {name}", table, was),
        *rights(f"TABLE {name}", table["acl"], was.get("acl")),
        *_columns(then, now, f"{kind} {name}", name),
        *comment(f"{kind} {name}", table, was),
        *_rules(then, now, name),
        *_triggers(then, now, name),
        *_policies(then, now, name),
        *_row_security(table, was, name),
        *_statistics(then, now),
    ]


def _columns(then: Facts, now: Facts, thing: str, name: str) -> list[str]:
    found, was = [], by_name(now.get("columns", ()))
    for each in then["columns"]:
        column, before = quote_identifier(each["name"]), was.get(each["name"], NOTHING)
        if not each["generated"] and each["default"] != before.get("default"):
            text = "DROP DEFAULT" if each["default"] is None else f"SET DEFAULT {each['default']}"
            found.append(f"ALTER {thing} ALTER COLUMN {column} {text}")
        found += rights(f"TABLE {name}", each["acl"], before.get("acl"), f" ({column})")
        found += comment(f"COLUMN {name}.{column}", each, before)
    return found


def _rules(then: Facts, now: Facts, name: str) -> list[str]:
    """Always again: a rule goes on meaning the table that it was made for."""
    wanted = by_name(then["rules"])
    extra = [each for each in now.get("rules", ()) if each["name"] not in wanted]
    found = [f"DROP RULE {quote_identifier(each['name'])} ON {name}" for each in extra]
    for each in wanted.values():
        rule = quote_identifier(each["name"])
        found.append("CREATE OR REPLACE " + each["definition"].removeprefix("CREATE "))
        if each["enabled"] != "O":
            found.append(f"ALTER TABLE {name} {_ENABLED[each['enabled']]} RULE {rule}")
        found += comment(f"RULE {rule} ON {name}", each, NOTHING)
    return found


def _triggers(then: Facts, now: Facts, name: str) -> list[str]:
    wanted, was = by_name(then["triggers"]), by_name(now.get("triggers", ()))
    gone = [each for each in was if was[each] != wanted.get(each)]
    found = [f"DROP TRIGGER {quote_identifier(each)} ON {name}" for each in gone]
    for each in wanted.values():
        if was.get(each["name"]) == each:
            continue
        trigger = quote_identifier(each["name"])
        found.append(each["definition"])
        if each["enabled"] != "O":
            found.append(f"ALTER TABLE {name} {_ENABLED[each['enabled']]} TRIGGER {trigger}")
        found += comment(f"TRIGGER {trigger} ON {name}", each, NOTHING)
    return found


def _policies(then: Facts, now: Facts, name: str) -> list[str]:
    found = [
        f"DROP POLICY {quote_identifier(each['name'])} ON {name}"
        for each in now.get("policies", ())
    ]
    for each in then["policies"]:
        policy = quote_identifier(each["name"])
        roles = ", ".join(quote_identifier(role) if role else "PUBLIC" for role in each["roles"])
        kind = "PERMISSIVE" if each["permissive"] else "RESTRICTIVE"
        using = f" USING ({each['using']})" if each["using"] else ""
        check = f" WITH CHECK ({each['check']})" if each["check"] else ""
        found.append(
            f"CREATE POLICY {policy} ON {name} AS {kind} FOR {_COMMANDS[each['command']]}"
            f" TO {roles}{using}{check}"
        )
        found += comment(f"POLICY {policy} ON {name}", each, NOTHING)
    return found


def _row_security(then: Facts, now: Facts, name: str) -> list[str]:
    found = []
    if then["rls"] != now.get("rls", False):
        word = "ENABLE" if then["rls"] else "DISABLE"
        found.append(f"ALTER TABLE {name} {word} ROW LEVEL SECURITY")
    if then["forced_rls"] != now.get("forced_rls", False):
        word = "FORCE" if then["forced_rls"] else "NO FORCE"
        found.append(f"ALTER TABLE {name} {word} ROW LEVEL SECURITY")
    return found


def _statistics(then: Facts, now: Facts) -> list[str]:
    del now  # a failed table loses its own before
    found = []
    for each in then["statistics"]:
        name = quote_name(each["schema"], each["name"])
        found += [each["definition"], *owner(f"STATISTICS {name}", each, NOTHING)]
        if each["target"] is not None:
            found.append(f"ALTER STATISTICS {name} SET STATISTICS {each['target']}")
        found += comment(f"STATISTICS {name}", each, NOTHING)
    return found


def publish(then: Facts) -> list[str]:
    """Return the statements that put a table into its publications."""
    found = []
    for each in then["publications"]:
        listed = ", ".join(map(quote_identifier, each["columns"] or ()))
        columns = f" ({listed})" if each["columns"] else ""
        where = f" WHERE ({each['filter']})" if each["filter"] else ""
        found.append(
            f"ALTER PUBLICATION {quote_identifier(each['name'])} ADD TABLE"
            f" {name_of(then)}{columns}{where}"
        )
    return found


def foreign_key(each: Facts) -> list[str]:
    """Return the statements that make a foreign key at once: what is there is not looked at."""
    child, name = quote_name(each["schema"], each["table"]), quote_identifier(each["name"])
    unchecked = each["definition"].endswith((" NOT VALID", " NOT ENFORCED"))
    more = "" if unchecked else " NOT VALID"
    return [
        f"ALTER TABLE {child} ADD CONSTRAINT {name} {each['definition']}{more}",
        *comment(f"CONSTRAINT {name} ON {child}", each, NOTHING),
    ]


def validate(each: Facts) -> str:
    """Return the statement that looks at what is there; it keeps no writer away."""
    child = quote_name(each["schema"], each["table"])
    return f"ALTER TABLE {child} VALIDATE CONSTRAINT {quote_identifier(each['name'])}"


def create_view(then: Facts, *, replace: bool, place: tuple[str, str] | None = None) -> str:
    """Return the statement that makes a view, or a materialised view with its rows.

    Args:
        then: Its facts.
        replace: A plain view of that name is there.
        place: Schema and name, if it is not to be made where it stood.
    """
    table = then["table"]
    name = quote_name(*place) if place else name_of(then)
    listed = options(table["options"])
    more = f" WITH ({', '.join(listed)})" if listed else ""
    if table["tablespace"]:
        more += f" TABLESPACE {quote_identifier(table['tablespace'])}"
    word = "CREATE OR REPLACE" if replace else "CREATE"
    text = table["definition"].rstrip().removesuffix(";")
    return f"{word} {_RELATION[table['kind']]} {name}{more} AS {text}"


def same_columns(then: Facts, now: Facts) -> bool:
    """Return whether a plain view could be replaced without being dropped."""

    def shape(relation: Facts) -> list[tuple[str, str, str]]:
        return [(each["name"], each["type"], each["collation"]) for each in relation["columns"]]

    kinds = {relation["table"]["kind"] for relation in (then, now)}
    return kinds == {"v"} and shape(then) == shape(now)


def drop_view(view: Facts) -> str:
    """Return the statement that drops a view."""
    return f"DROP {_RELATION[view['table']['kind']]} {name_of(view)}"


def sequence_options(each: Facts) -> str:
    """Return what a sequence is made with."""
    cycle = "CYCLE" if each["cycle"] else "NO CYCLE"
    return (
        f"INCREMENT {each['increment']} MINVALUE {each['min']} MAXVALUE {each['max']}"
        f" START {each['start']} CACHE {each['cache']} {cycle}"
    )


def set_sequence(each: Facts, *, exists: bool) -> list[str]:
    """Return the statements that make a sequence, or give it back what it was made with."""
    name = quote_name(each["schema"], each["name"])
    word = "ALTER" if exists else "CREATE"
    return [f"{word} SEQUENCE {name} AS {each['type']} {sequence_options(each)}"]
