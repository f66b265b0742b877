"""What a statement does to named things, as far as its text tells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from postgast import pg_query_pb2 as pg

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.trees import Tree, nodes, words


@dataclass(frozen=True)
class Created:
    """A new object. Its schema is "" where the search path decides."""

    object: CatalogObject


@dataclass(frozen=True)
class Dropped:
    """An object that goes, with what depends on it when `cascade`."""

    object: CatalogObject
    cascade: bool


@dataclass(frozen=True)
class Renamed:
    """An object under another name or in another schema; its content stays."""

    old: CatalogObject
    new: CatalogObject


@dataclass(frozen=True)
class Written:
    """Rows that are deleted or overwritten.

    Attributes:
        columns: The columns that are overwritten; empty when whole rows go.
        cascade: All rows go of whatever refers to the table, too.
    """

    table: CatalogObject
    columns: tuple[str, ...] = ()
    cascade: bool = False


@dataclass(frozen=True)
class Retyped:
    """A column of another type: the server decides whether each value survives."""

    column: CatalogObject


@dataclass(frozen=True)
class Swept:
    """Things that have no name in the statement: DROP OWNED, DROP DATABASE."""

    what: str


@dataclass(frozen=True)
class Opaque:
    """Code that runs now and whose text does not tell what it does."""

    what: str


Touch = Created | Dropped | Renamed | Written | Retyped | Swept | Opaque
_Reader = Callable[[Tree], Iterator[Touch]]

OBJECT_KINDS: Final = {
    pg.OBJECT_TABLE: "table",
    pg.OBJECT_FOREIGN_TABLE: "foreign table",
    pg.OBJECT_VIEW: "view",
    pg.OBJECT_MATVIEW: "materialized view",
    pg.OBJECT_INDEX: "index",
    pg.OBJECT_SEQUENCE: "sequence",
    pg.OBJECT_TYPE: "type",
    pg.OBJECT_DOMAIN: "type",
    pg.OBJECT_FUNCTION: "function",
    pg.OBJECT_PROCEDURE: "function",
    pg.OBJECT_ROUTINE: "function",
    pg.OBJECT_AGGREGATE: "function",
    pg.OBJECT_SCHEMA: "schema",
    pg.OBJECT_EXTENSION: "extension",
    pg.OBJECT_TRIGGER: "trigger",
}


def touched(kind: str, tree: Tree) -> tuple[Touch, ...]:
    """Return what a statement does, in order; nothing for statements that touch no named thing."""
    reader = _READERS.get(kind)
    direct = tuple(reader(tree)) if reader else ()
    return (*direct, *_writes(kind, tree))


def named(kind: str, parts: tuple[str, ...]) -> CatalogObject:
    """Return the object for the parts of a name as they stand in SQL."""
    schema = parts[-2] if len(parts) > 1 else ""
    return CatalogObject(kind, schema, parts[-1] if parts else "")


def _relation(kind: str, relation: Tree) -> CatalogObject:
    schema = "pg_temp" if relation.relpersistence == "t" else relation.schemaname
    return CatalogObject(kind, schema, relation.relname)


def _column(table: CatalogObject, name: str) -> CatalogObject:
    return replace(table, kind="column", part=name)


def _create_table(tree: Tree) -> Iterator[Touch]:
    table = _relation("table", tree.relation)
    yield Created(table)
    for element in tree.table_elts:
        if element.WhichOneof("node") == "column_def":
            yield Created(_column(table, element.column_def.colname))


def _create_foreign_table(tree: Tree) -> Iterator[Touch]:
    yield Created(_relation("foreign table", tree.base_stmt.relation))


def _create_table_as(tree: Tree) -> Iterator[Touch]:
    yield Created(_relation(OBJECT_KINDS.get(tree.objtype, "table"), tree.into.rel))


def _select(tree: Tree) -> Iterator[Touch]:
    if tree.HasField("into_clause"):
        yield Created(_relation("table", tree.into_clause.rel))


def _create_view(tree: Tree) -> Iterator[Touch]:
    yield Created(_relation("view", tree.view))


def _create_index(tree: Tree) -> Iterator[Touch]:
    if tree.idxname:
        yield Created(CatalogObject("index", tree.relation.schemaname, tree.idxname))


def _create_sequence(tree: Tree) -> Iterator[Touch]:
    yield Created(_relation("sequence", tree.sequence))


def _create_schema(tree: Tree) -> Iterator[Touch]:
    name = tree.schemaname or tree.authrole.rolename
    yield Created(CatalogObject("schema", "", name))
    for element in tree.schema_elts:
        kind = element.WhichOneof("node")
        reader = _READERS.get(kind)
        for touch in reader(getattr(element, kind)) if reader else ():
            yield _in_schema(touch, name)


def _in_schema(touch: Touch, schema: str) -> Touch:
    if isinstance(touch, Created) and not touch.object.schema:
        return Created(replace(touch.object, schema=schema))
    return touch


def _create_type(tree: Tree) -> Iterator[Touch]:
    yield Created(named("type", words(tree.type_name)))


def _create_domain(tree: Tree) -> Iterator[Touch]:
    yield Created(named("type", words(tree.domainname)))


def _create_composite(tree: Tree) -> Iterator[Touch]:
    yield Created(_relation("type", tree.typevar))


def _create_function(tree: Tree) -> Iterator[Touch]:
    yield Created(named("function", words(tree.funcname)))


def _create_trigger(tree: Tree) -> Iterator[Touch]:
    yield Created(replace(_relation("trigger", tree.relation), part=tree.trigname))


def _alter_table(tree: Tree) -> Iterator[Touch]:
    table = _relation(OBJECT_KINDS.get(tree.objtype, "table"), tree.relation)
    for item in tree.cmds:
        command = item.alter_table_cmd
        cascade = command.behavior == pg.DROP_CASCADE
        match command.subtype:
            case pg.AT_AddColumn:
                yield Created(_column(table, getattr(command, "def").column_def.colname))
            case pg.AT_DropColumn if table.kind == "type":
                # Values of the type stand in columns that the statement does not name.
                yield Dropped(table, cascade)
            case pg.AT_DropColumn:
                yield Dropped(_column(table, command.name), cascade)
            case pg.AT_DropConstraint:
                yield Dropped(replace(table, kind="constraint", part=command.name), cascade)
            case pg.AT_AlterColumnType:
                yield Retyped(_column(table, command.name))
            case _:
                pass


def _rename(tree: Tree) -> Iterator[Touch]:
    if tree.rename_type == pg.OBJECT_COLUMN:
        table = _relation("table", tree.relation)
        yield Renamed(_column(table, tree.subname), _column(table, tree.newname))
    elif tree.rename_type == pg.OBJECT_SCHEMA:
        yield Renamed(
            CatalogObject("schema", "", tree.subname), CatalogObject("schema", "", tree.newname)
        )
    elif tree.rename_type in OBJECT_KINDS and tree.HasField("relation"):
        old = _relation(OBJECT_KINDS[tree.rename_type], tree.relation)
        if tree.rename_type != pg.OBJECT_TRIGGER:
            yield Renamed(old, replace(old, name=tree.newname))


def _set_schema(tree: Tree) -> Iterator[Touch]:
    if tree.HasField("relation") and tree.object_type in OBJECT_KINDS:
        old = _relation(OBJECT_KINDS[tree.object_type], tree.relation)
        yield Renamed(old, replace(old, schema=tree.newschema))


def _drop(tree: Tree) -> Iterator[Touch]:
    kind = OBJECT_KINDS.get(tree.remove_type)
    if kind is None:
        return
    for item in tree.objects:
        parts = name_parts(item)
        target = named(kind, parts)
        if kind == "trigger":
            target = replace(named(kind, parts[:-1]), part=parts[-1])
        yield Dropped(target, tree.behavior == pg.DROP_CASCADE)


def name_parts(item: Tree) -> tuple[str, ...]:
    """Return the parts of a name as DROP and ALTER have it; () for what has no name."""
    match item.WhichOneof("node"):
        case "list":
            return words(item.list.items)
        case "object_with_args":
            return words(item.object_with_args.objname)
        case "type_name":
            return words(item.type_name.names)
        case _:
            return words([item])


def _truncate(tree: Tree) -> Iterator[Touch]:
    for item in tree.relations:
        cascade = tree.behavior == pg.DROP_CASCADE
        yield Written(_relation("table", item.range_var), cascade=cascade)


def _drop_owned(_tree: Tree) -> Iterator[Touch]:
    yield Swept("everything that a role owns")


def _drop_database(tree: Tree) -> Iterator[Touch]:
    yield Swept(f"database {tree.dbname}")


def _do(_tree: Tree) -> Iterator[Touch]:
    yield Opaque("a DO block")


def _call(tree: Tree) -> Iterator[Touch]:
    yield Opaque(f"procedure {'.'.join(words(tree.funccall.funcname))}")


def _writes(root: str, tree: Tree) -> Iterator[Touch]:
    """Yield what DML anywhere in the statement (CTEs too) deletes or overwrites."""
    if root not in _MAY_WRITE:
        return
    for kind, node in nodes(tree):
        match kind:
            case "DeleteStmt":
                yield Written(_relation("table", node.relation))
            case "UpdateStmt":
                yield Written(_relation("table", node.relation), _targets(node.target_list))
            case "InsertStmt" if node.on_conflict_clause.target_list:
                columns = _targets(node.on_conflict_clause.target_list)
                yield Written(_relation("table", node.relation), columns)
            case "MergeStmt":
                yield from _merge(node)
            case _:
                pass


def _merge(node: Tree) -> Iterator[Touch]:
    for item in node.merge_when_clauses:
        clause = item.merge_when_clause
        table = _relation("table", node.relation)
        if clause.command_type == pg.CMD_DELETE:
            yield Written(table)
        elif clause.command_type == pg.CMD_UPDATE:
            yield Written(table, _targets(clause.target_list))


def _targets(items: Tree) -> tuple[str, ...]:
    return tuple(item.res_target.name for item in items)


_MAY_WRITE: Final = frozenset(
    {
        "select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt",
        "create_table_as_stmt", "prepare_stmt", "explain_stmt", "declare_cursor_stmt", "copy_stmt",
    }
)  # fmt: skip
_READERS: Final[dict[str, _Reader]] = {
    "create_stmt": _create_table,
    "create_foreign_table_stmt": _create_foreign_table,
    "create_table_as_stmt": _create_table_as,
    "select_stmt": _select,
    "view_stmt": _create_view,
    "index_stmt": _create_index,
    "create_seq_stmt": _create_sequence,
    "create_schema_stmt": _create_schema,
    "create_enum_stmt": _create_type,
    "create_range_stmt": _create_type,
    "create_domain_stmt": _create_domain,
    "composite_type_stmt": _create_composite,
    "create_function_stmt": _create_function,
    "create_trig_stmt": _create_trigger,
    "alter_table_stmt": _alter_table,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "drop_stmt": _drop,
    "truncate_stmt": _truncate,
    "drop_owned_stmt": _drop_owned,
    "dropdb_stmt": _drop_database,
    "do_stmt": _do,
    "call_stmt": _call,
}
