"""What a run added on MariaDB: gone with a restore, but tables are kept with their rows."""

from typing import Final

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.dialects import mariadb_checkpoint as words
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.sessions import own

KINDS: Final = ("event", "trigger", "view", "table", "sequence", "function")


def label(each: CatalogObject) -> str:
    """Return what the catalogue's shape calls the relation that something is, or is of."""
    return each.name


def take_away(ledger: Ledger, checkpoint: Checkpoint, added: tuple[CatalogObject, ...]) -> None:
    """Drop what was added; what holds rows is renamed, and goes with the failed tables.

    Each statement commits by itself, and again is safe.
    """
    names = names_of(checkpoint.schema, checkpoint.id)
    taken = {name for (name,) in own(ledger.session, words.OUR_TABLES, names.added(""))}
    free = (name for name in map(names.added, map(str, range(1, 10_000))) if name not in taken)
    for each in added:
        if each.kind == "table":
            ledger.session.run(words.rename(each.name, next(free)))
            continue
        for statement in words.drop(each.kind, each.part or each.name):
            ledger.session.run(statement)
