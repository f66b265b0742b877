"""What names mean on PostgreSQL, and which of them a restore brings back."""

from collections.abc import Iterable
from dataclasses import replace

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.checkpoint.routines import Source
from whimbrel.planning.checkpoint.touches import Known, known
from whimbrel.planning.dialects import postgresql_covering as words
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


def known_names(session: Session, catalog: Iterable[CatalogObject]) -> Known:
    """Return what the names in a plan's statements mean."""
    parts = {(row[0], row[1]): (row[2], row[3]) for row in own(session, words.READ_PARTS)}
    keys = frozenset(((row[0], row[1]), (row[2], row[3])) for row in own(session, words.READ_KEYS))
    functions: dict[str, tuple[Source, ...]] = {}
    for name, *source in own(session, words.READ_WRITERS):
        functions[name] = (*functions.get(name, ()), (source[0], source[1]))
    found = known(catalog, session.home() or "", parts)
    return replace(found, children=keys, functions=functions)


def labels(session: Session, checkpoint: Checkpoint) -> set[str]:
    """Return the relations that a restore brings back, under their names of then and of now."""
    oids = [each.oid for each in checkpoint.tables]
    found = own(session, words.READ_NAMES, oids)
    told = {f"{schema}.{name}" for schema, name in found}
    for each in checkpoint.tables:
        told.add(str(each))
        for view in each.manifest["views"]:
            told.add(f"{view['table']['schema']}.{view['table']['name']}")
        told |= {f"{item['schema']}.{item['name']}" for item in each.manifest["sequences"]}
    return told
