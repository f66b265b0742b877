"""How what a migration added goes again: dropped, or taken to the ledger's schema with its rows."""

from typing import Final

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name

DEPENDENT: Final = "2BP01"  # something else hangs on what is to be dropped
# In the order in which they may go: those that others hang on come last.
_KINDS: Final = ("table", "materialized view", "view", "sequence", "function", "type")
MOVABLE: Final = {kind: kind.upper() for kind in _KINDS}
DROPPABLE: Final = MOVABLE | {"extension": "EXTENSION", "schema": "SCHEMA"}


def drop(each: CatalogObject) -> str:
    """Return the statement that drops what nothing else hangs on."""
    return f"DROP {DROPPABLE[each.kind]} IF EXISTS {_spelled(each)} RESTRICT"


def move(each: CatalogObject, schema: str, name: str) -> tuple[str, str]:
    """Return the statements that take something to another schema under another name."""
    word = MOVABLE[each.kind]
    moved = CatalogObject(each.kind, schema, each.name, each.part)
    return (
        f"ALTER {word} {_spelled(each)} SET SCHEMA {quote_identifier(schema)}",
        f"ALTER {word} {_spelled(moved)} RENAME TO {quote_identifier(name)}",
    )


def _spelled(each: CatalogObject) -> str:
    if not each.schema:
        return quote_identifier(each.name)
    arguments = f"({each.part})" if each.kind == "function" else ""
    return f"{quote_name(each.schema, each.name)}{arguments}"
