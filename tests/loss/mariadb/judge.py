"""Says what a round on MariaDB lost, kept too much, or made different."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.loss.mariadb.shop import COLUMNS, LINKS, Shop, read
from tests.loss.mariadb.writers import KEY_ERRORS, Key, Known, Writer

# What no application may hear, whatever a migration does: definers, locks and views of ours, and
# a table that was made anew under its feet.
_NEVER = {1412, 1449, 1442, 1100, 1099, 1192, 1305, 1356}
_NO_TABLE = 1146


def judge(shop: Shop, writers: list[Writer], base: dict, conflicts: list) -> Iterator[str]:
    """Yield what is lost, too much, or different."""
    known: dict[Key, Known] = {}
    for each in writers:
        known |= each.known
    maybe = {owner for each in writers for owner in each.maybe}
    orphans = {(each[0], each[1].get("id")) for each in conflicts if each[2] == "NoParent"}
    for table in COLUMNS:
        now = read(shop, table)
        for (name, key), each in known.items():
            if name == table and not (key not in now and (table, str(key[0])) in orphans):
                yield from _row(table, key, now.pop(key, None), each, base[table].get(key, {}))
        for key, row in now.items():
            if row.get("owner") not in maybe or table != "accounts":
                yield f"{table} {key} is too much: {row}"
    yield from _dangling(shop)
    yield from _needless(shop, conflicts)
    yield from _numbers(shop, writers)
    yield from _unrecorded(writers, conflicts)


def _dangling(shop: Shop) -> Iterator[str]:
    for child, column, parent in LINKS:
        asked = (
            f"SELECT c.id, c.{column} FROM {child} c LEFT JOIN {parent} p ON p.id = c.{column}"
            f" WHERE c.{column} IS NOT NULL AND p.id IS NULL"
        )
        for key, wanted in shop.deploy.run(asked):
            yield f"{child} {key} refers to {parent} {wanted}, which is not there"


def _needless(shop: Shop, conflicts: list) -> Iterator[str]:
    """Yield rows that were taken out though what they refer to is there."""
    for table, key, kind, _, value in conflicts:
        if kind == "NoParent":
            row = json.loads(value)
            links = [(column, parent) for child, column, parent in LINKS if child == table]
            asked = " + ".join(
                f"(SELECT COUNT(*) FROM {parent} WHERE id = {row[column]})" if row[column] else "1"
                for column, parent in links
            )
            ((there,),) = shop.deploy.run(f"SELECT {asked}")
            if there == len(links):
                yield f"{table} {key} was taken out, and all that it refers to is there: {row}"


def _row(table: str, key: tuple, found: dict | None, known: Known, was: dict) -> Iterator[str]:
    plain = None if found is None else {each: found[each] for each in COLUMNS[table]}
    if plain not in known.states:
        yield f"{table} {key} is {plain} and not one of {known.states[-3:]}"
    elif found is not None and table == "accounts":
        is_doubled = float(found["doubled"]) == 2 * float(found["amount"])
        if found["flag"] != was.get("flag", "b") or not is_doubled:
            yield f"{table} {key}: an untouched column differs: {found}"


def _numbers(shop: Shop, writers: list[Writer]) -> Iterator[str]:
    phases: dict[int, list[str]] = {}
    for each in writers:
        for number, phase in each.numbers:
            phases.setdefault(number, []).append(phase)
    for number, found in phases.items():
        # An ALTER that copies a table while others write to it gives numbers again by itself.
        if len(found) > 1 and not {"migrating", "migrated"} & set(found):
            yield f"the number {number} was given twice: {found}"
    asked = (
        "SELECT AUTO_INCREMENT FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'accounts'"
    )
    ((following,),) = shop.deploy.run(asked)
    if following <= max(phases, default=0):
        yield f"the next number {following} was given before ({max(phases)})"


def _unrecorded(writers: list[Writer], conflicts: list) -> Iterator[str]:
    recorded = {
        (table, str(key["id"]), column, value)
        for table, key, kind, column, value in conflicts
        if kind == "UnknownColumn" and "id" in key
    }
    for each in writers:
        for (table, key), values in each.new.items():
            is_sure = len(each.known[table, key].states) == 1
            for column, value in values.items():
                if is_sure and (table, str(key[0]), column, str(value)) not in recorded:
                    yield f"{table} {key}: {column} = {value} is recorded nowhere"


def judge_errors(errors: Counter, labels: set[str], *, was_killed: bool) -> Iterator[str]:
    """Yield what the application should never have heard.

    Keys of copies and failed tables bind it only where an engine was killed in the exchange.
    """
    is_gone = {"rename table", "drop table"} & labels
    for (phase, code, said), count in errors.items():
        if phase == "migrating":
            continue  # the migration's own ALTER may say anything
        is_ours = "whimbrel_kept" in said or "whimbrel_clone" in said
        if code in KEY_ERRORS and is_ours and not was_killed:
            yield f"the application was bound by a key of ours {count} times, {phase}: {said}"
        if code in _NEVER or (code == _NO_TABLE and not is_gone):
            yield f"the application saw {code} {count} times, {phase}: {said}"
