"""Reads the catalogue: what the database holds, what a run added, what relations look like."""

import hashlib
from collections.abc import Mapping

from whimbrel.model.facts import ForeignKey
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.dialects.postgresql_catalog import READ_NEW_OBJECTS
from whimbrel.planning.shape import Shape, shape_of
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import as_list, own

# oid and attribute number: they stay when a name changes.
Identity = tuple[str, int, int]


def read_catalog(session: Session, ledger_schema: str) -> frozenset[CatalogObject]:
    """Return everything outside of system schemas and the ledger."""
    return frozenset(read_identities(session, ledger_schema))


def read_identities(session: Session, ledger_schema: str) -> dict[CatalogObject, Identity]:
    """Return everything outside of system schemas and the ledger, with what outlives a rename."""
    return _identities(own(session, session.dialect.catalog.READ_OBJECTS, ledger_schema))


def read_new_identities(
    session: Session, ledger_schema: str, xid: str
) -> dict[CatalogObject, Identity]:
    """Return what was made or changed since a transaction began, the one that is open.

    It costs little however much the database holds: locks are held meanwhile.
    """
    # The 32 bits of an xid as the catalogue's rows carry it, without the epoch.
    plain = str(int(xid) & 0xFFFFFFFF)
    return _identities(own(session, READ_NEW_OBJECTS, ledger_schema, plain))


def _identities(rows: list[Row]) -> dict[CatalogObject, Identity]:
    return {
        CatalogObject(kind, schema, name, part): (kind, oid, number)
        for kind, schema, name, part, oid, number in rows
    }


def added(
    before: Mapping[CatalogObject, Identity], after: Mapping[CatalogObject, Identity]
) -> frozenset[CatalogObject]:
    """Return what is there afterwards and was not there before under any name."""
    known = set(before.values())
    return frozenset(each for each, identity in after.items() if identity not in known)


def read_foreign_keys(session: Session, ledger_schema: str) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of everything outside of system schemas and the ledger."""
    rows = own(session, session.dialect.catalog.READ_FOREIGN_KEYS, ledger_schema)
    return tuple(
        ForeignKey(
            CatalogObject("constraint", schema, table, name),
            tuple(as_list(columns)),
            CatalogObject("table", parent_schema, parent),
            tuple(as_list(keys)),
            on_delete,
            on_update,
        )
        for schema, table, name, columns, parent_schema, parent, keys, on_delete, on_update in rows
    )


def fingerprint(session: Session, ledger_schema: str, besides: frozenset[str] = frozenset()) -> str:
    """Return a digest of all that the catalogue says, behind the version of the question."""
    return read_shape(session, ledger_schema, besides).fingerprint


def read_shape(
    session: Session, ledger_schema: str, besides: frozenset[str] = frozenset()
) -> Shape:
    """Return all that the catalogue says, but for system schemas and the ledger, as digests.

    Relations with columns in their order, constraints, indexes, triggers, rules, policies, owner
    and grants; sequences without their values; schemas, extensions, functions with their text,
    enums with their labels, domains, comments; of rarer objects the names. No rows. Relations named
    in `besides` are left out.
    """
    words = session.dialect.catalog
    question = hashlib.sha256(f"{words.READ_SHAPE}{words.TOLD}".encode()).hexdigest()[:8]
    found = own(session, words.READ_SHAPE, ledger_schema, [*words.TOLD])
    lines = [(str(a), str(b), str(c)) for a, b, c in found]
    return shape_of(f"{question}/{session.version()}", lines, besides)
