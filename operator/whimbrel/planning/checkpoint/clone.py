"""What a clone needs before it can take a table's place, while nobody uses it.

`then` is what is wanted, `now` what the clone is. Everything is a difference, so what was begun and
interrupted is finished by asking again.
"""

from whimbrel.planning.checkpoint.dress import comment, spelled
from whimbrel.planning.checkpoint.facts import NOTHING, Facts, by_name, place_of
from whimbrel.planning.dialects import postgresql_dependents as words
from whimbrel.planning.dialects.postgresql_dependents import Raw, fill


def missing(then: Facts, now: Facts, lost: frozenset[int] = frozenset()) -> list[str]:
    """Return the statements that a clone still needs; `lost` are oids of sequences that are gone.

    Foreign keys are not among them: on a clone they would stop the application's own deletes.
    Indexes and sequences are named for the clone, by number: their own names are taken still.
    """
    table = _table(then, now)
    return [
        *([alter(now, ", ".join(table))] if table else []),
        *_not_null(then, now),
        *([alter(now, ", ".join(columns))] if (columns := _columns(then, now)) else []),
        *_identity(then, now),
        *_lost_sequences(then, now, lost),
        *_indexes(then, now),
        *_checks(then, now),
        *_replica_identity(then, now),
        *_comments(then, now),
    ]


def index_name(clone: str, number: int) -> str:
    """Return the name of an index of a clone."""
    return f"{clone}_i{number}"


def sequence_name(clone: str, number: int) -> str:
    """Return the name of a sequence of a clone."""
    return f"{clone}_s{number}"


def alter(table: Facts, change: str) -> str:
    """Return a change of a table."""
    return fill(words.ALTER_TABLE, table=place_of(table), change=Raw(change))


def sequence_options(each: Facts) -> Raw:
    """Return what a sequence was made with."""
    facts = ("increment", "min", "max", "start", "cache")
    cycle = Raw("CYCLE" if each["cycle"] else "NO CYCLE")
    numbers = {name: Raw(each[name]) for name in facts}
    return Raw(fill(words.SEQUENCE_OPTIONS, cycle=cycle, **numbers))


def _table(then: Facts, now: Facts) -> list[str]:
    table, was, found = then["table"], now["table"], []
    if table["tablespace"] != was["tablespace"]:
        found.append(fill(words.SET_TABLESPACE, space=table["tablespace"] or "pg_default"))
    wanted = words.options(table["options"]) if table["options"] != was["options"] else []
    if table["toast_options"] != was["toast_options"]:
        wanted += words.options(table["toast_options"], "toast.")
    if wanted:
        found.append(fill(words.SET_OPTIONS, options=Raw(", ".join(wanted))))
    return found


def _columns(then: Facts, now: Facts) -> list[str]:
    was, found = by_name(now["columns"]), []
    named = {each["columns"][0] for each in then["constraints"] if each["kind"] == "n"}
    for each in then["columns"]:
        name, before = each["name"], was[each["name"]]
        target = "-1" if each["statistics"] is None else str(each["statistics"])
        for fact, word, text in (
            ("storage", "STORAGE", words.STORAGE[each["storage"]]),
            ("compression", "COMPRESSION", words.COMPRESSION[each["compression"]]),
            ("statistics", "STATISTICS", target),
            ("options", "", f"({', '.join(words.options(each['options']))})"),
            ("not_null", "NOT NULL", ""),
        ):
            # A NOT NULL that has a name is made as a constraint.
            is_named = fact == "not_null" and (name in named or not each[fact])
            if each[fact] != before[fact] and not is_named:
                parts = {"column": name, "word": Raw(word), "text": Raw(text)}
                found.append(fill(words.ALTER_COLUMN, **parts))
    return found


def _not_null(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give NOT NULL constraints their names (PostgreSQL 18)."""
    was = {each["columns"][0]: each for each in now["constraints"] if each["kind"] == "n"}
    found = []
    for each in then["constraints"]:
        before = was.get(each["columns"][0]) if each["kind"] == "n" else each
        if before is None:
            found.append(_add(each))
        elif before["definition"] != each["definition"]:
            found += [fill(words.DROP_CONSTRAINT, name=before["name"]), _add(each)]
        elif before["name"] != each["name"]:
            found.append(fill(words.RENAME_CONSTRAINT, name=before["name"], new=each["name"]))
    return [alter(now, each) for each in found]


def _add(each: Facts, name: str = "") -> str:
    definition = Raw(each["definition"])
    return fill(words.ADD_CONSTRAINT, name=name or each["name"], definition=definition)


def _checks(then: Facts, now: Facts) -> list[str]:
    was = by_name(now["constraints"])
    wanted = [each for each in then["constraints"] if each["kind"] == "c"]
    return [alter(now, _add(each)) for each in wanted if each["name"] not in was]


def _identity(then: Facts, now: Facts) -> list[str]:
    was, columns, found = by_name(now["columns"]), by_name(then["columns"]), []
    for number, each in enumerate(then["sequences"]):
        if each["identity"] and not was[each["column"]]["identity"]:
            change = fill(
                words.ADD_IDENTITY,
                column=each["column"],
                kind=Raw(words.IDENTITY[columns[each["column"]]["identity"]]),
                sequence=(now["table"]["schema"], sequence_name(now["table"]["name"], number)),
                options=sequence_options(each),
            )
            found.append(alter(now, change))
    return found


def _lost_sequences(then: Facts, now: Facts, lost: frozenset[int]) -> list[str]:
    was, found = by_name(now["sequences"]), []
    for number, each in enumerate(then["sequences"]):
        name = sequence_name(now["table"]["name"], number)
        if each["oid"] in lost and not each["identity"] and name not in was:
            made = (now["table"]["schema"], name)
            create = Raw(make_sequence("CREATE", each, made))
            parts = {"table": place_of(now), "column": each["column"]}
            found.append(fill(words.OWNED_SEQUENCE, create=create, **parts))
    return found


def make_sequence(word: str, each: Facts, name: tuple[str, str]) -> str:
    """Return the statement that makes a sequence, or gives it back what it was made with."""
    options, kind = sequence_options(each), Raw(each["type"])
    return fill(words.SEQUENCE, word=Raw(word), name=name, type=kind, options=options)


def _indexes(then: Facts, now: Facts) -> list[str]:
    was, constraints, found = by_name(now["indexes"]), by_name(then["constraints"]), []
    for number, each in enumerate(then["indexes"]):
        name = index_name(now["table"]["name"], number)
        before = was.get(name, NOTHING)
        if not before and each["constraint"]:
            found.append(alter(now, _add(constraints[each["constraint"]], name)))
        elif not before:
            found.append(_create(each, place_of(now), name))
        found += _settings(each, before, (now["table"]["schema"], name))
        for fact, template in (
            ("clustered", words.CLUSTER_ON),
            ("replica_identity", words.IDENTITY_BY_INDEX),
        ):
            if each[fact] and not before.get(fact):
                found.append(alter(now, fill(template, index=name)))
    return found


def _create(each: Facts, table: tuple[str, str], name: str) -> str:
    unique, tail = Raw("UNIQUE " if each["unique"] else ""), Raw(each["tail"])
    return fill(words.CREATE_INDEX, unique=unique, name=name, table=table, tail=tail)


def _settings(each: Facts, before: Facts, index: tuple[str, str]) -> list[str]:
    changes = []
    if each["constraint"] and each["options"] and each["options"] != before.get("options"):
        listed = Raw(", ".join(words.options(each["options"])))
        changes.append(fill(words.SET_OPTIONS, options=listed))
    if each["tablespace"] and each["tablespace"] != before.get("tablespace"):
        changes.append(fill(words.SET_TABLESPACE, space=each["tablespace"]))
    if each["statistics"] != before.get("statistics"):
        changes += [
            fill(words.INDEX_STATISTICS, number=Raw(number), text=Raw(target))
            for number, target in (each["statistics"] or {}).items()
        ]
    found = [fill(words.ALTER_INDEX, index=index, change=Raw(change)) for change in changes]
    return [*found, *comment(f"INDEX {spelled(index)}", each, before)]


def _replica_identity(then: Facts, now: Facts) -> list[str]:
    """Return the statement that says how replication tells rows, where no index does."""
    word = words.REPLICA_IDENTITY.get(then["table"]["replica_identity"])
    if word is None or then["table"]["replica_identity"] == now["table"]["replica_identity"]:
        return []
    return [alter(now, f"REPLICA IDENTITY {word}")]


def _comments(then: Facts, now: Facts) -> list[str]:
    """Return the statements that give constraints their comments."""
    was, table = by_name(now["constraints"]), now["table"]["name"]
    numbers = {each["constraint"]: n for n, each in enumerate(then["indexes"])}
    found = []
    for each in then["constraints"]:
        has_index = each["kind"] in {"p", "u", "x"}
        name = index_name(table, numbers[each["name"]]) if has_index else each["name"]
        if each["kind"] != "f":
            thing = f"CONSTRAINT {words.names([name])} ON {spelled(place_of(now))}"
            found += comment(thing, each, was.get(name, NOTHING))
    return found
