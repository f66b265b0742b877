"""Rows on MariaDB that would refer to rows that are not there, once the tables are restored."""

from collections.abc import Collection, Iterable

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.planning.dialects.mariadb_checkpoint_keys import (
    UNCHECKED,
    Key,
    count_orphans,
    end_orphans,
    take_out_orphans,
)
from whimbrel.runner.checkpoint.conflicts import held_by_conflicts
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.mariadb.hand import first
from whimbrel.runner.checkpoint.mariadb.keys import in_copies, standing_keys
from whimbrel.runner.checkpoint.mariadb.tables import Table, subject_of
from whimbrel.runner.session import Session


def expect_parents(tables: tuple[Table, ...], session: Session) -> None:
    """Refuse tables with rows that refer to none already: they could not be told from later ones.

    Raises:
        RefusedError: The sentence names the key.
    """
    keys = {each for table in tables for each in table.keys}
    for key in sorted(keys, key=lambda each: each.name):
        if count := _count(key, session):
            raise RefusedError(
                "TableNotCovered",
                f"{count} rows of {key.child} refer to rows of {key.parent} that are not there "
                f"(foreign key {key.name}), so no checkpoint can keep them: mend or delete them; "
                "nothing was changed",
            )


def expect_no_orphans(checkpoint: Checkpoint, wanted: tuple[Key, ...], session: Session) -> None:
    """Hold where rows of others would refer to none, or ours and a person is to decide.

    The application waits meanwhile, and the copies are complete. What would be taken out of them
    is, for the look at tables of others: then all is as it was.

    Raises:
        HeldError: Nothing has been changed back.
    """
    covered, found = {each.table for each in checkpoint.tables}, 0
    pairs = list(zip(wanted, in_copies(checkpoint, wanted), strict=True))
    seen = covered if checkpoint.on_conflict == "Hold" else _feeding(wanted, covered)
    mine = [now for key, now in pairs if key.child in covered.intersection(seen)]
    session.run("START TRANSACTION")
    try:
        while more := sum(_end(now, session) for now in mine):
            found += more
        for key, now in pairs:
            if key.child not in covered and (count := _count(now, session)):
                raise HeldError(
                    "RestoreBlocked",
                    f"{count} rows of {key.child} would refer to rows of {key.parent} that the "
                    f"restore takes away (foreign key {key.name}); nothing has been changed back: "
                    "delete them, or let them refer to others, then retry",
                )
    finally:
        session.run("ROLLBACK")
    if found and checkpoint.on_conflict == "Hold":
        raise held_by_conflicts(found)


def _feeding(keys: Iterable[Key], covered: Collection[str]) -> set[str]:
    """Return tables that others refer to, and those whose rows these need in turn."""
    keys = list(keys)
    found = {each.parent for each in keys if each.child not in covered}
    while more := {each.parent for each in keys if each.child in found} - found:
        found |= more
    return found


def _end(key: Key, session: Session) -> int:
    if count := _count(key, session):
        session.run(end_orphans(key))
    return count


def take_orphans_out(checkpoint: Checkpoint, session: Session) -> None:
    """Record restored rows that refer to none, and those that refer to these, and take them out.

    Each key is looked at again until none has any. Again is safe: what is recorded is gone.

    Raises:
        HeldError: Rows of tables that are not covered refer to them: they came since the exchange.
    """
    covered = {each.table: each for each in checkpoint.tables}
    standing = standing_keys(checkpoint, session)
    mine = [each for each in standing if each.child in covered]
    session.run(UNCHECKED)
    while any(_take_out(checkpoint, each, session) for each in mine):
        pass
    for key in standing:
        if key.child not in covered and (count := _count(key, session)):
            raise HeldError(
                "RestoreDiffers",
                f"the tables are exchanged, but {count} rows of {key.child} refer to rows of "
                f"{key.parent} that are not there (foreign key {key.name}): delete them, or let "
                "them refer to others, then retry",
            )


def _take_out(checkpoint: Checkpoint, key: Key, session: Session) -> bool:
    covered = next(each for each in checkpoint.tables if each.table == key.child)
    if not _count(key, session):
        return False
    with session.transaction():
        session.run(take_out_orphans(subject_of(checkpoint, covered), key))
    return True


def _count(key: Key, session: Session) -> int:
    return int(str(first(session, count_orphans(key))[0]))
