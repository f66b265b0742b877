"""The exchange of failed tables and their clones, as a list of statements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from whimbrel.planning.checkpoint.clone import (
    alter,
    index_name,
    make_sequence,
    sequence_name,
)
from whimbrel.planning.checkpoint.dress import (
    comment,
    create_view,
    dress,
    drop_view,
    guard,
    just_made,
    let_go,
    owner,
    rights,
    spelled,
)
from whimbrel.planning.checkpoint.facts import (
    NOTHING,
    Facts,
    foreign_keys,
    is_checked,
    is_late,
    merged_views,
    place_of,
    stale_views,
)
from whimbrel.planning.dialects import postgresql_dependents as words
from whimbrel.planning.dialects.postgresql_dependents import Raw, fill


@dataclass(frozen=True)
class Side:
    """A covered table before the exchange.

    Attributes:
        then: What it was like.
        live: What the failed table is like, None where the migration has dropped it.
        clone: What the clone is like.
        kept: Where the failed table goes.
        sequences: Where the sequences are now that columns owned, by oid.
        views: Those that read the failed table, and those that have taken a name that is needed.
        grantees: Who gets rights on whatever is made (ALTER DEFAULT PRIVILEGES).
    """

    then: Facts
    live: Facts | None
    clone: Facts
    kept: tuple[str, str]
    sequences: Mapping[int, tuple[str, str]]
    views: tuple[Facts, ...]
    grantees: tuple[str, ...] = ()


def exchange(sides: tuple[Side, ...], triggers: Iterable[str]) -> list[str]:
    """Return the statements of the exchange, in their order; `triggers` are those of the capture.

    The failed tables go first, so that all names are free.
    """
    live_views = merged_views(side.views for side in sides)
    views = merged_views(side.then["views"] for side in sides)
    stale = stale_views(views, live_views)
    live = [side.live for side in sides if side.live]
    found = [each for side in live for each in let_go(side, spelled(place_of(side)))]
    found += [drop_view(each) for each in stale]
    found += [_drop_foreign_key(each) for each in foreign_keys(live)]
    for side in sides:
        if side.live:
            found += _set_aside(side, side.live, tuple(triggers))
    for side in sides:
        found += _put_in_place(side)
    for each in foreign_keys(side.then for side in sides):
        found += _foreign_key(each)
    found += [each for side in sides for each in _publish(side.then)]
    found += [each["again"][1] for side in sides for each in side.then["publications"]]
    gone = {place_of(each) for each in stale}
    there = {place_of(each): each for each in live_views if place_of(each) not in gone}
    for view in views:
        if not is_late(view, views):
            replace = place_of(view) in there
            now = there.get(place_of(view)) or just_made(view, sides[0].grantees)
            found += [create_view(view, replace=replace), *dress(view, now)]
    return found + [each for side in sides for each in guard(side.then, side.clone)]


def _rename(thing: str, place: tuple[str, str], new: str) -> str:
    change = Raw(fill(words.RENAME, new=new))
    return fill(words.ALTER_RELATION, kind=Raw(thing), name=place, change=change)


def _move(thing: str, place: tuple[str, str], schema: str) -> str:
    change = Raw(fill(words.SET_SCHEMA, schema=schema))
    return fill(words.ALTER_RELATION, kind=Raw(thing), name=place, change=change)


def _set_aside(side: Side, live: Facts, triggers: tuple[str, ...]) -> list[str]:
    """Return the statements that take a failed table out of the way.

    It keeps its rows and its indexes, and nothing that could reach another table, as foreign keys,
    rules and policies, which are gone already, and publications do.
    """
    schema, (ledger, kept), table = live["table"]["schema"], side.kept, Raw(spelled(place_of(live)))
    who = {grantee for grantee, *_ in live["table"]["acl"] or ()} - {live["table"]["owner"]}
    who |= {grantee for each in live["columns"] for grantee, *_ in each["acl"] or ()}
    thing = Raw(f"TABLE {spelled(side.kept)}")
    return [
        *(fill(words.DROP_ON, kind=Raw("TRIGGER"), name=each, table=table) for each in triggers),
        *(
            fill(words.DO_NOT_PUBLISH, name=each["name"], table=table)
            for each in live["publications"]
        ),
        *(
            fill(words.DROP_STATISTICS, name=(each["schema"], each["name"]))
            for each in live["statistics"]
        ),
        *_part_sequences(side, live),
        *(
            _rename("INDEX", (schema, each["name"]), index_name(kept, number))
            for number, each in enumerate(live["indexes"])
        ),
        _rename("TABLE", place_of(live), kept),
        _move("TABLE", (schema, kept), ledger),
        *(
            fill(words.REVOKE, column=Raw(""), thing=thing, who=words.roles([each]))
            for each in sorted(who)
        ),
    ]


def _part_sequences(side: Side, live: Facts) -> list[str]:
    """Let go of the sequences that stay; drop or rename those that go: their names are needed."""
    stay = {each["oid"] for each in side.then["sequences"] if not each["identity"]}
    replaced, found = {each["column"] for each in side.then["sequences"]}, []
    for number, each in enumerate(live["sequences"]):
        place = (each["schema"], each["name"])
        if each["oid"] in stay:
            change = Raw(words.OWNED_BY_NONE)
            found.append(fill(words.ALTER_SEQUENCE, name=place, change=change))
        elif each["column"] in replaced:
            found += _drop_sequence(each, live)
        else:
            found.append(_rename("SEQUENCE", place, sequence_name(side.kept[1], number)))
    return found


def _drop_sequence(each: Facts, live: Facts) -> list[str]:
    """Drop a sequence in whose place another one goes on.

    Who waits for it, and looked its name up before the exchange, would draw from it afterwards
    what the other one gives too.
    """
    if each["identity"]:
        return [alter(live, fill(words.DROP_IDENTITY, column=each["column"]))]
    unused = alter(live, fill(words.DROP_DEFAULT, column=each["column"]))
    name = (each["schema"], each["name"])
    return [unused, fill(words.DROP_RELATION, kind=Raw("SEQUENCE"), name=name)]


def _put_in_place(side: Side) -> list[str]:
    """Return the statements that give a prepared clone the name, and all that hangs on it.

    Foreign keys, publications, views, rules and policies come later, when all tables stand.
    """
    then, clone = side.then, side.clone
    (schema, name), now = place_of(then), clone["table"]["name"]
    return [
        _move("TABLE", place_of(clone), schema),
        _rename("TABLE", (schema, now), name),
        *(
            _rename("INDEX", (schema, index_name(now, number)), each["name"])
            for number, each in enumerate(then["indexes"])
        ),
        *_sequences(side, now),
        *dress(then, clone),
        *_owned(side),
    ]


def _sequences(side: Side, clone: str) -> list[str]:
    found = []
    for number, each in enumerate(side.then["sequences"]):
        schema, name = each["schema"], each["name"]
        there = None if each["identity"] else side.sequences.get(each["oid"])
        if there is None:
            found.append(_rename("SEQUENCE", (schema, sequence_name(clone, number)), name))
            continue
        if there[0] != schema:
            found.append(_move("SEQUENCE", there, schema))
        if there[1] != name:
            found.append(_rename("SEQUENCE", (schema, there[1]), name))
        found.append(make_sequence("ALTER", each, (schema, name)))
    return found


def _owned(side: Side) -> list[str]:
    """Return what only works once the table has its owner: a sequence must have the same."""
    found, table = [], Raw(spelled(place_of(side.then)))
    stayed = {each["oid"]: each for each in (side.live or NOTHING).get("sequences", ())}
    made = {each["column"]: each for each in side.clone["sequences"]}
    for each in side.then["sequences"]:
        place = (each["schema"], each["name"])
        thing = f"SEQUENCE {spelled(place)}"
        now = made.get(each["column"]) or stayed.get(each["oid"], NOTHING)
        if each["column"] not in made:
            change = Raw(fill(words.OWNED_BY, table=table, column=each["column"]))
            found += owner(thing, each, NOTHING)
            found.append(fill(words.ALTER_SEQUENCE, name=place, change=change))
        found += rights(thing, each["acl"], now.get("acl"))
        found += comment(thing, each, now)
    return found


def _drop_foreign_key(each: Facts) -> str:
    change = Raw(fill(words.DROP_CONSTRAINT, name=each["name"]))
    return fill(words.ALTER_TABLE, table=(each["schema"], each["table"]), change=change)


def _foreign_key(each: Facts) -> list[str]:
    """Return the statements that make a foreign key at once: what is there is not looked at."""
    child = (each["schema"], each["table"])
    definition = Raw(each["definition"] + (" NOT VALID" if is_checked(each) else ""))
    change = Raw(fill(words.ADD_CONSTRAINT, name=each["name"], definition=definition))
    thing = f"CONSTRAINT {words.names([each['name']])} ON {spelled(child)}"
    return [
        fill(words.ALTER_TABLE, table=child, change=change),
        *comment(thing, each, NOTHING),
    ]


def validate(each: Facts) -> str:
    """Return the statement that looks at what is there; it keeps no writer away."""
    change = Raw(fill(words.VALIDATE, name=each["name"]))
    return fill(words.ALTER_TABLE, table=(each["schema"], each["table"]), change=change)


def _publish(then: Facts) -> list[str]:
    """Return the statements that put a table into its publications, made again if need be."""
    found = []
    for each in then["publications"]:
        columns = Raw(f" ({words.names(each['columns'])})" if each["columns"] else "")
        where = Raw(f" WHERE ({each['filter']})" if each["filter"] else "")
        parts: dict[str, words.Part] = {"table": place_of(then), "columns": columns, "where": where}
        found += [each["again"][0], fill(words.PUBLISH, name=each["name"], **parts)]
    return found


def replace_rows_view(view: Facts, now: Facts, fresh: Facts, old: str) -> list[str]:
    """Return the statements that put a new materialised view into an old one's place.

    Args:
        view: What it was like.
        now: What stands there; it is read until then and goes to the ledger's schema.
        fresh: The new one, in the ledger's schema.
        old: Its name there.
    """
    (ledger, made), (schema, name), kind = place_of(fresh), place_of(view), "MATERIALIZED VIEW"
    found: list[str] = []
    if now and now["table"]["kind"] != "m":
        found.append(drop_view(now))
    elif now:
        found += [
            *(
                _rename("INDEX", (schema, each["name"]), index_name(old, number))
                for number, each in enumerate(now["indexes"])
            ),
            _rename(kind, (schema, name), old),
            _move(kind, (schema, old), ledger),
        ]
    return [
        *found,
        _move(kind, place_of(fresh), schema),
        _rename(kind, (schema, made), name),
        *(
            _rename("INDEX", (schema, index_name(made, number)), each["name"])
            for number, each in enumerate(view["indexes"])
        ),
        *dress(view, fresh),
    ]
