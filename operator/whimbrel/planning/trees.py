"""Walks the syntax trees of PostgreSQL's own parser: protobuf messages, by field name."""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

# A protobuf message of libpg_query (the stubs that postgast ships do not parse) or a list of them.
Tree: TypeAlias = Any
# What these hold is a body that runs some other day, not now.
_STORED_BODIES: Final = frozenset({"CreateFunctionStmt", "RuleStmt"})
_ROWS: Final = frozenset({"values_lists"})


def nodes(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Yield (name of the node's type, node) for a tree, without bodies that are only stored."""
    # A stack, not recursion: 1,000 times `||` are a tree 1,000 deep.
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = type(node).DESCRIPTOR.name
        if kind != "Node":
            yield kind, node
        if kind not in _STORED_BODIES:
            # Rows of VALUES cannot change anything, and there may be a megabyte of them.
            waiting.extend(children(node, besides=_ROWS))


def children(node: Tree, *, besides: frozenset[str] = frozenset()) -> Iterator[Tree]:
    """Yield the nodes right below one, without those of some fields."""
    for field, value in node.ListFields():
        if field.message_type is None or field.name in besides:
            continue
        if hasattr(value, "ListFields"):
            yield value
        else:
            yield from value


def words(items: Tree) -> tuple[str, ...]:
    """Return the strings of a list of name parts."""
    return tuple(item.string.sval for item in items if item.WhichOneof("node") == "string")


def option_names(items: Tree) -> frozenset[str]:
    """Return the names of a statement's options that are switched on."""
    elements = [item.def_elem for item in items]
    return frozenset(each.defname for each in elements if not _is_off(each))


def _is_off(element: Tree) -> bool:
    value = element.arg
    text = value.string.sval or value.boolean.boolval if element.HasField("arg") else "on"
    number = element.HasField("arg") and value.WhichOneof("node") == "integer"
    return (number and value.integer.ival == 0) or str(text).lower() in {"off", "false", "0"}
