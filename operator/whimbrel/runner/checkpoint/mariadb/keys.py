"""Foreign keys of covered tables on MariaDB: taken along by the exchange, and given back after it.

Copies get their keys while the rename waits and the application with it, so no moment is without
them. What only the names of keys need comes afterwards; it can be begun again at any step.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from whimbrel.model.errors import FailedError, HeldError
from whimbrel.planning.dialects import (
    mariadb_checkpoint as words,
    mariadb_checkpoint_keys as texts,
)
from whimbrel.planning.dialects.mariadb_checkpoint_keys import Key
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.mariadb.hand import alone_with
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


def read_keys(session: Session, schema: str, table: str) -> tuple[Key, ...]:
    """Return the foreign keys of a table and those that point at it, within its database."""
    found = []
    rows = own(session, texts.READ_KEYS, schema, table)
    for (name, child, parent, *rules), parts in groupby(rows, key=lambda row: tuple(row[:5])):
        pairs = [part[5:] for part in parts]
        columns, refs = (tuple(pair[n] for pair in pairs) for n in (0, 1))
        indexes = _indexes(session, child).items()
        index = next((each for each, listed in indexes if listed == columns), "")
        found.append(Key(name, child, parent, columns, refs, rules[0], rules[1], index))
    return tuple(found)


def _indexes(session: Session, table: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of each index of a table."""
    rows = own(session, texts.READ_INDEXES, table)
    groups = groupby(rows, key=lambda row: str(row[0]))
    return {name: tuple(column for _, column in parts) for name, parts in groups}


@dataclass(frozen=True)
class Linked:
    """Foreign keys of a checkpoint's tables.

    Attributes:
        wanted: As they were; but those of tables that are gone and not covered.
        others: Tables that are not covered and linked to covered ones, then or now.
        children: Those of them that refer to covered ones.
        going: Keys that the migration added and that the exchange cannot take along: a table that
            is not covered would be linked to covered ones in both directions.
    """

    wanted: tuple[Key, ...]
    others: tuple[str, ...]
    children: tuple[str, ...]
    going: tuple[Key, ...]


def wanted_keys(checkpoint: Checkpoint) -> tuple[Key, ...]:
    """Return the keys that covered tables had, and those of others that pointed at them."""
    kept = (each for covered in checkpoint.tables for each in covered.manifest.get("keys", ()))
    return tuple(dict.fromkeys(map(texts.kept_key, kept)))


def standing_keys(checkpoint: Checkpoint, session: Session) -> tuple[Key, ...]:
    """Return those of `wanted_keys` whose tables are there, or come back."""
    then = {each.table for each in checkpoint.tables}
    return tuple(
        each
        for each in wanted_keys(checkpoint)
        if each.child in then or own(session, words.IS_LINKABLE, each.child)
    )


def read_linked(checkpoint: Checkpoint, live: dict[int, str | None], session: Session) -> Linked:
    """Return what is linked to the covered tables.

    Raises:
        HeldError: A key cannot come back; nothing has changed.
    """
    wanted = standing_keys(checkpoint, session)
    then = {each.table for each in checkpoint.tables}
    covered = then.union(name for name in live.values() if name is not None)
    schema = checkpoint.tables[0].schema
    present = {key for each in covered for key in read_keys(session, schema, each)}
    _expect_names(checkpoint, wanted, present, session)
    for key in {*wanted, *present}:
        if key.child not in covered:
            _expect_child(checkpoint, wanted, key, session)
    both = both_ways([*wanted, *present], covered)
    going = {e for e in present if {e.child, e.parent} & both and not any(map(e.is_like, wanted))}
    keys = {*wanted, *(present - going)}
    others = {end for each in keys for end in (each.child, each.parent)} - covered
    there = tuple(sorted(each for each in others if own(session, words.IS_LINKABLE, each)))
    for key in wanted:
        if key.parent not in then.union(there):
            raise _blocked(key, f"{key.parent} is no InnoDB table or gone: make it again")
    children = {each.child for each in keys}
    return Linked(wanted, there, tuple(e for e in there if e in children), tuple(going))


def both_ways(keys: Iterable[Key], covered: Collection[str]) -> set[str]:
    """Return tables that are not covered, refer to covered ones and are referred to by others."""
    keys = list(keys)
    children = {each.child for each in keys if each.parent in covered}
    return {each.parent for each in keys if each.child in covered}.intersection(children) - {
        *covered
    }


def _expect_names(
    checkpoint: Checkpoint, wanted: Iterable[Key], present: Iterable[Key], session: Session
) -> None:
    """Hold where a key of a table that is not covered has got the name of one that comes back."""
    known = {(each.child, each.name) for each in present}
    for each in wanted:
        for (table,) in own(session, texts.WHO_HAS, each.name):
            if (table, each.name) not in known and table not in copies(checkpoint).values():
                told = f"{each.name} is the name of a key of {table} now: give that another one"
                raise _blocked(each, told)


def _expect_child(
    checkpoint: Checkpoint, wanted: Iterable[Key], key: Key, session: Session
) -> None:
    """Hold where a table that is not covered has got a trigger, or another name."""
    ours = f"{checkpoint.schema}_capture_"
    for (trigger,) in own(session, words.TRIGGERS, checkpoint.tables[0].schema, key.child, ours):
        told = f"who holds that table would hold what its trigger {trigger} uses: drop the trigger"
        raise _blocked(key, told)
    for was in set(wanted_keys(checkpoint)).difference(wanted):
        if replace(was, child=key.child, parent=key.parent).is_like(key):
            raise _blocked(was, f"its name is {key.child} now: give it its name back")


def _blocked(key: Key, why: str) -> HeldError:
    return HeldError(
        "RestoreBlocked",
        f"{key.child} would refer to {key.parent} (foreign key {key.name}), but {why}, then retry; "
        "nothing has been changed back",
    )


def copies(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the name of each copy, by that of its table."""
    names = names_of(checkpoint.schema, checkpoint.id)
    return {each.table: names.clone(each.number) for each in checkpoint.tables}


def in_copies(checkpoint: Checkpoint, keys: tuple[Key, ...]) -> list[Key]:
    """Return keys as they are while the copies stand for their tables."""
    of = copies(checkpoint)
    return [
        replace(e, child=of.get(e.child, e.child), parent=of.get(e.parent, e.parent)) for e in keys
    ]


def link_copies(checkpoint: Checkpoint, keys: tuple[Key, ...], session: Session) -> None:
    """Give the copies the keys of their tables, which go with them when they are renamed.

    A name that the server made up goes with them too; others are given back afterwards.
    """
    names, of = names_of(checkpoint.schema, checkpoint.id), copies(checkpoint)
    session.run(texts.UNCHECKED)
    for table, copy in of.items():
        then = tuple(each for each in keys if each.child == table)
        add = [
            replace(now, name=_on_the_way(was, copy, f"{names.passing(copy)}{place}"))
            for place, (was, now) in enumerate(zip(then, in_copies(checkpoint, then), strict=True))
        ]
        if statement := texts.alter(copy, (), add):
            session.run(statement)


def _on_the_way(key: Key, copy: str, passing: str) -> str:
    """Return the name of a copy's key: one made up from a table's name changes with that."""
    begin = f"{key.child}_ibfk_"
    return f"{copy}{key.name[len(key.child) :]}" if key.name.startswith(begin) else passing


def link_children(checkpoint: Checkpoint, linked: Linked, session: Session) -> None:
    """Let tables that are not covered refer to the copies too, for what these will be."""
    names = names_of(checkpoint.schema, checkpoint.id)
    session.run(texts.UNCHECKED)
    for table in linked.children:
        mine = in_copies(checkpoint, tuple(e for e in linked.wanted if e.child == table))
        add = [replace(e, name=f"{names.passing(table)}{n}") for n, e in enumerate(mine)]
        if statement := texts.alter(table, (), add):
            session.run(statement)


def unlink_children(checkpoint: Checkpoint, session: Session) -> None:
    """Let tables of others refer to copies and failed ones no more, and give indexes names back.

    Whoever drops a table to which a key leads leaves a key that refuses every row.
    """
    ours, schema = {*copies(checkpoint).values(), *_kept(checkpoint)}, checkpoint.tables[0].schema
    standing = standing_keys(checkpoint, session)
    keys = {*standing, *(key for each in ours for key in read_keys(session, schema, each))}
    then = {each.table for each in checkpoint.tables}
    for table in sorted({each.child for each in keys} - ours - then):
        _drop_towards(checkpoint, table, ours, session)
        wanted = tuple(each for each in standing if each.child == table)
        while statement := _index_back(checkpoint, table, wanted, session):
            session.run(statement)


def unlink_copies(checkpoint: Checkpoint, session: Session) -> None:
    """Take the keys of copies away, where a restore got no further: they bind the application."""
    for copy in copies(checkpoint).values():
        _drop_towards(checkpoint, copy, None, session)


def _drop_towards(
    checkpoint: Checkpoint, table: str, parents: Collection[str] | None, session: Session
) -> None:
    keys = read_keys(session, checkpoint.tables[0].schema, table)
    mine = [e for e in keys if e.child == table and (parents is None or e.parent in parents)]
    if statement := texts.alter(table, mine, ()):
        session.run(statement)


def free_kept(checkpoint: Checkpoint, session: Session) -> None:
    """Take the keys of failed tables away: they bind the application too, and keep names."""
    session.run(texts.UNCHECKED)
    for each in _kept(checkpoint):
        _drop_towards(checkpoint, each, None, session)


def free_children(checkpoint: Checkpoint, linked: Linked, session: Session) -> None:
    """Let tables that are not covered refer to the failed ones no more."""
    for each in linked.children:
        _drop_towards(checkpoint, each, _kept(checkpoint), session)


def settle(checkpoint: Checkpoint, desk: Desk, session: Session) -> None:
    """Give each key the place and the name that it had; again, where it was cut off.

    Raises:
        TransientError: A table is not to be had; call it again.
        HeldError: The server refuses it; the tables are exchanged.
    """
    free_kept(checkpoint, session)
    what = "giving foreign keys back"
    for each, wanted in _wishes(checkpoint, session).items():
        try:
            while statement := _next(checkpoint, each, wanted, session):
                until_unlocked(desk, what, partial(alone_with, session, statement, desk))
        except FailedError as error:
            raise HeldError(
                "NotAsBefore",
                f"the tables are exchanged, but the foreign keys of {each} are not as they were "
                f"before: {error.message}; mend that, then retry",
            ) from error


def unsettled(checkpoint: Checkpoint, session: Session) -> str:
    """Return a table whose keys are not as they were, or ""."""
    then = {each.table for each in checkpoint.tables}
    for table, wanted in _wishes(checkpoint, session).items():
        present = [e for e in _present(checkpoint, table, session) if e.parent in then]
        if {replace(e, index="") for e in wanted if e.parent in then} != {
            replace(each, index="") for each in present
        }:
            return table
    return ""


def _kept(checkpoint: Checkpoint) -> list[str]:
    names = names_of(checkpoint.schema, checkpoint.id)
    return [names.kept(each.number) for each in checkpoint.tables]


def _wishes(checkpoint: Checkpoint, session: Session) -> dict[str, tuple[Key, ...]]:
    """Return the keys that tables are to have: covered ones, and others that are linked to them."""
    wanted, kept = standing_keys(checkpoint, session), _kept(checkpoint)
    tables = [each.table for each in checkpoint.tables]
    schema = checkpoint.tables[0].schema
    linked = [key for each in (*kept, *tables) for key in read_keys(session, schema, each)]
    tables += sorted({each.child for each in (*linked, *wanted)} - {*kept, *tables})
    return {table: tuple(each for each in wanted if each.child == table) for table in tables}


def _present(checkpoint: Checkpoint, table: str, session: Session) -> list[Key]:
    """Return the keys of a table that a restore sees to."""
    ours = {*_kept(checkpoint), *(each.table for each in checkpoint.tables)}
    keys = read_keys(session, checkpoint.tables[0].schema, table)
    return [e for e in keys if e.child == table and (table in ours or e.parent in ours)]


def _next(checkpoint: Checkpoint, table: str, wanted: tuple[Key, ...], session: Session) -> str:
    """Return the next statement on the way to the keys that a table is to have, or ""."""
    names = names_of(checkpoint.schema, checkpoint.id)
    present = _present(checkpoint, table, session)
    return texts.towards(table, present, wanted, names.passing(table)) or _index_back(
        checkpoint, table, wanted, session
    )


def _index_back(
    checkpoint: Checkpoint, table: str, wanted: tuple[Key, ...], session: Session
) -> str:
    """Return the statement that gives an index the name that it had, or ""."""
    names = names_of(checkpoint.schema, checkpoint.id)
    indexes = _indexes(session, table)
    for each in wanted:
        for name, columns in indexes.items():
            is_ours = name == each.name or name.startswith(names.passing(table))
            if is_ours and columns == each.columns and each.index not in {"", *indexes}:
                return texts.rename_index(table, name, each.index)
    return ""
