"""The statements that give a relation under its name what hung on it: rights, triggers, comments.

`then` is what is wanted, `now` what is there: only what differs is said.
"""

from typing import Any

from whimbrel.planning.checkpoint.facts import NOTHING, Facts, by_name, place_of
from whimbrel.planning.dialects import postgresql_dependents as words
from whimbrel.planning.dialects.postgresql_dependents import Raw, fill


def comment(thing: str, then: Facts, now: Facts) -> list[str]:
    """Return the statement that gives a thing its comment, where it has another one."""
    if then.get("comment") == now.get("comment"):
        return []
    return [fill(words.COMMENT, thing=Raw(thing), text=words.literal(then.get("comment")))]


def owner(thing: str, then: Facts, now: Facts) -> list[str]:
    """Return the statement that gives a thing its owner."""
    if then["owner"] == now.get("owner"):
        return []
    return [fill(words.OWNER, thing=Raw(thing), owner=then["owner"])]


def rights(
    thing: str, then: list[Any] | None, now: list[Any] | None, column: str = ""
) -> list[str]:
    """Return the statements after which exactly those have rights who had them.

    Args:
        thing: On what, for example `TABLE x`.
        then: Grantee, privilege, grantable.
        now: The same.
        column: Of which column; "" for the whole thing.
    """
    before, after, found = _by_grantee(then), _by_grantee(now), []
    of = f" ({words.names([column])})" if column else ""
    for grantee in sorted({*before, *after}):
        if before.get(grantee) == after.get(grantee):
            continue
        target = {"thing": Raw(thing), "who": words.roles([grantee])}
        if grantee in after:
            found.append(fill(words.REVOKE, column=Raw(of), **target))
        for more, grantable in (("", False), (" WITH GRANT OPTION", True)):
            granted = [f"{word}{of}" for word, may in before.get(grantee, ()) if may is grantable]
            if granted:
                listed = Raw(", ".join(granted))
                found.append(fill(words.GRANT, rights=listed, more=Raw(more), **target))
    return found


def _by_grantee(acl: list[Any] | None) -> dict[str, list[tuple[str, bool]]]:
    found: dict[str, list[tuple[str, bool]]] = {}
    for grantee, privilege, grantable in acl or ():
        found.setdefault(grantee, []).append((privilege, grantable))
    return found


def dress(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give a relation, which stands under its name, all but its columns.

    Owner and rights, defaults, triggers, extended statistics, comments; rules too if it is a view.
    """
    table, was, name = then["table"], now.get("table", NOTHING), spelled(place_of(then))
    thing = f"{words.RELATION[table['kind']]} {name}"
    return [
        *owner(thing, table, was),
        *rights(f"TABLE {name}", table["acl"], was.get("acl")),
        *_columns(then, now, name),
        *comment(thing, table, was),
        *(guard(then, now) if table["kind"] != "r" else ()),
        *_triggers(then, now, name),
        *_row_security(table, was, name),
        *_statistics(then),
    ]


def guard(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give a relation its rules and policies, which may ask others."""
    name = spelled(place_of(then))
    return [*let_go(now, name), *_rules(then, name), *_policies(then, name)]


def let_go(now: Facts, name: str) -> list[str]:
    """Return the statements that drop rules and policies: they go on meaning what they were for."""
    return [
        fill(words.DROP_ON, kind=Raw(kind), name=each["name"], table=Raw(name))
        for kind, member in (("RULE", "rules"), ("POLICY", "policies"))
        for each in now.get(member, ())
    ]


def spelled(place: tuple[str, str]) -> str:
    """Return a quoted name with its schema."""
    return fill("{name}", name=place)


def _columns(then: Facts, now: Facts, name: str) -> list[str]:
    changes, found, was = [], [], by_name(now.get("columns", ()))
    for each in then["columns"]:
        column, before = each["name"], was.get(each["name"], NOTHING)
        if not each["generated"] and each["default"] != before.get("default"):
            template = words.DROP_DEFAULT if each["default"] is None else words.SET_DEFAULT
            changes.append(fill(template, column=column, text=Raw(each["default"])))
        found += rights(f"TABLE {name}", each["acl"], before.get("acl"), column)
        found += comment(f"COLUMN {name}.{words.names([column])}", each, before)
    kind = Raw(words.RELATION[then["table"]["kind"]])
    if then["table"]["kind"] == "r" and changes:
        changes = [", ".join(changes)]  # a view takes one at a time
    altered = [
        fill(words.ALTER_RELATION, kind=kind, name=Raw(name), change=Raw(each)) for each in changes
    ]
    return [*altered, *found]


def _rules(then: Facts, name: str) -> list[str]:
    found = []
    for each in then["rules"]:
        found += [each["definition"], *_enabled("RULE", each, name)]
    return found


def _enabled(kind: str, each: Facts, name: str) -> list[str]:
    """Return what a rule or a trigger needs besides its definition."""
    found = []
    if each["enabled"] != "O":
        word = Raw(words.ENABLED[each["enabled"]])
        change = Raw(fill(words.ENABLE, word=word, kind=Raw(kind), name=each["name"]))
        found.append(fill(words.ALTER_TABLE, table=Raw(name), change=change))
    return [*found, *comment(f"{kind} {words.names([each['name']])} ON {name}", each, NOTHING)]


def _triggers(then: Facts, now: Facts, name: str) -> list[str]:
    wanted, was = by_name(then["triggers"]), by_name(now.get("triggers", ()))
    found = [
        fill(words.DROP_ON, kind=Raw("TRIGGER"), name=each, table=Raw(name))
        for each in was
        if was[each] != wanted.get(each)
    ]
    for each in wanted.values():
        if was.get(each["name"]) != each:
            found += [each["definition"], *_enabled("TRIGGER", each, name)]
    return found


def _policies(then: Facts, name: str) -> list[str]:
    found = []
    for each in then["policies"]:
        found.append(
            fill(
                words.CREATE_POLICY,
                name=each["name"],
                table=Raw(name),
                kind=Raw("PERMISSIVE" if each["permissive"] else "RESTRICTIVE"),
                command=Raw(words.COMMANDS[each["command"]]),
                roles=words.roles(each["roles"]),
                using=Raw(f" USING ({each['using']})" if each["using"] else ""),
                check=Raw(f" WITH CHECK ({each['check']})" if each["check"] else ""),
            )
        )
        found += comment(f"POLICY {words.names([each['name']])} ON {name}", each, NOTHING)
    return found


def _row_security(then: Facts, now: Facts, name: str) -> list[str]:
    found = []
    for fact, (no, yes) in (("rls", ("DISABLE", "ENABLE")), ("forced_rls", ("NO FORCE", "FORCE"))):
        if then[fact] != now.get(fact, False):
            change = Raw(f"{yes if then[fact] else no} ROW LEVEL SECURITY")
            found.append(fill(words.ALTER_TABLE, table=Raw(name), change=change))
    return found


def _statistics(then: Facts) -> list[str]:
    found = []
    for each in then["statistics"]:
        place = (each["schema"], each["name"])
        thing = f"STATISTICS {spelled(place)}"
        found += [each["definition"], *owner(thing, each, NOTHING)]
        if each["target"] is not None:
            target = Raw(each["target"])
            found.append(fill(words.STATISTICS_TARGET, name=place, text=target))
        found += comment(thing, each, NOTHING)
    return found


def create_view(then: Facts, *, replace: bool, place: tuple[str, str] | None = None) -> str:
    """Return the statement that makes a view, or a materialised view with its rows.

    Args:
        then: Its facts.
        replace: A plain view of that name is there.
        place: Schema and name, if it is not to be made where it stood.
    """
    table, listed = then["table"], words.options(then["table"]["options"])
    more = f" WITH ({', '.join(listed)})" if listed else ""
    with_rows = "" if table["is_populated"] else " WITH NO DATA"
    if table["tablespace"]:
        more += f" TABLESPACE {words.names([table['tablespace']])}"
    return fill(
        words.CREATE_VIEW,
        replace=Raw(" OR REPLACE" if replace else ""),
        kind=Raw(words.RELATION[table["kind"]]),
        name=place or place_of(then),
        more=Raw(more),
        text=Raw(table["definition"].rstrip().removesuffix(";") + with_rows),
    )


def just_made(relation: Facts, grantees: tuple[str, ...]) -> Facts:
    """Return what is known of a relation that was made a moment ago.

    Its owner has all rights, and those have some who get them on whatever is made.
    """
    who = {*grantees, relation["table"]["owner"]}
    return {"table": {"acl": [[each, "", False] for each in sorted(who)]}}


def drop_view(view: Facts) -> str:
    """Return the statement that drops a view."""
    kind = Raw(words.RELATION[view["table"]["kind"]])
    return fill(words.DROP_RELATION, kind=kind, name=place_of(view))
