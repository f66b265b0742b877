"""Finds statements that name the ledger's schema."""

from collections.abc import Callable
from typing import Final

from postgast import pg_query_pb2 as pg

from whimbrel.planning.syntax import Parsed
from whimbrel.planning.trees import Tree, nodes, words

# Fields that hold the parts of one name, the schema before the name.
_NAME_FIELDS: Final = (
    "items", "funcname", "objname", "type_name", "names", "domainname", "defnames", "collname",
)  # fmt: skip
_SCHEMA_FIELDS: Final = ("schemaname", "newschema")
_Check = Callable[[Tree, str], bool]


def names_ledger(parsed: Parsed, schema: str) -> bool:
    """Return whether a statement names the schema, as far as its text tells.

    Values and the bodies of functions and DO blocks are not looked into.
    """
    whole = _STATEMENTS.get(parsed.kind)
    if whole is not None and whole(parsed.tree, schema):
        return True
    return any(
        _has_schema_field(node, schema) or _has_name_field(kind, node, schema)
        for kind, node in nodes(parsed.tree)
    )


def _has_schema_field(node: Tree, schema: str) -> bool:
    return any(getattr(node, field, "") == schema for field in _SCHEMA_FIELDS)


def _has_name_field(kind: str, node: Tree, schema: str) -> bool:
    if kind == "ColumnRef":
        # Two parts are table.column: a table may be called like the ledger's schema.
        return len(node.fields) > 2 and words(node.fields[:1]) == (schema,)
    fields = node.DESCRIPTOR.fields_by_name
    return any(
        words(getattr(node, field))[-2:-1] == (schema,)
        for field in _NAME_FIELDS
        if field in fields and fields[field].is_repeated
    )


def _drops_schema(tree: Tree, schema: str) -> bool:
    return tree.remove_type == pg.OBJECT_SCHEMA and schema in words(tree.objects)


def _renames_schema(tree: Tree, schema: str) -> bool:
    return tree.rename_type == pg.OBJECT_SCHEMA and schema in {tree.subname, tree.newname}


def _comments_schema(tree: Tree, schema: str) -> bool:
    return bool(tree.objtype == pg.OBJECT_SCHEMA and tree.object.string.sval == schema)


def _gives_schema(tree: Tree, schema: str) -> bool:
    return bool(tree.object_type == pg.OBJECT_SCHEMA and tree.object.string.sval == schema)


def _grants_on_schema(tree: Tree, schema: str) -> bool:
    return schema in words(tree.objects)


def _default_grants(tree: Tree, schema: str) -> bool:
    lists = (item.def_elem.arg.list.items for item in tree.options)
    return any(schema in words(items) for items in lists)


def _sets_path(tree: Tree, schema: str) -> bool:
    values = {item.a_const.sval.sval for item in tree.args}
    return tree.name == "search_path" and schema in values


_STATEMENTS: Final[dict[str, _Check]] = {
    "drop_stmt": _drops_schema,
    "rename_stmt": _renames_schema,
    "comment_stmt": _comments_schema,
    "alter_owner_stmt": _gives_schema,
    "grant_stmt": _grants_on_schema,
    "alter_default_privileges_stmt": _default_grants,
    "variable_set_stmt": _sets_path,
}
