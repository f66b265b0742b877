"""What names mean on MariaDB, which of them a restore brings back, and names of our own."""

from collections.abc import Iterable
from dataclasses import replace

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.checkpoint.touches import Known, known
from whimbrel.planning.dialects.mariadb_checkpoint import Names
from whimbrel.planning.dialects.mariadb_checkpoint_capture import READ_TRIGGERS
from whimbrel.runner.checkpoint.manifest import Checkpoint, short_id
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


def names_of(schema: str, checkpoint: str) -> Names:
    """Return the names of the objects of a checkpoint."""
    return Names(schema, short_id(checkpoint))


def known_names(session: Session, catalog: Iterable[CatalogObject]) -> Known:
    """Return what the names in a plan's statements mean."""
    items = tuple(catalog)
    routines = frozenset(each.name for each in items if each.kind == "function")
    found = known(items, session.home() or "", {})
    return replace(found, routines=routines, has_one_schema=True)


def labels(session: Session, checkpoint: Checkpoint) -> set[str]:
    """Return the tables that a restore brings back, under their names of then and of now."""
    names = names_of(checkpoint.schema, checkpoint.id)
    now = {str(table) for _, table, _ in own(session, READ_TRIGGERS, names.triggers)}
    return now | {each.table for each in checkpoint.tables}
