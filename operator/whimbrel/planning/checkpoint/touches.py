"""Which tables statements change, as far as their text tells; reading alone is no change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from postgast import pg_query_pb2 as pg

from whimbrel.model.steps import CatalogObject, Statement
from whimbrel.planning.checkpoint.bodies import Body
from whimbrel.planning.checkpoint.routines import QUERIES, Routines, Source
from whimbrel.planning.syntax import Parsed, parse_sql
from whimbrel.planning.touched import OBJECT_KINDS, name_parts
from whimbrel.planning.trees import Tree, children, words

Name = tuple[str, str]  # schema and name; "" where the search path decides

_OPAQUE: Final = {
    "do_stmt": "runs a DO block",
    "call_stmt": "calls a procedure",
    "drop_owned_stmt": "drops all that a role owns",
}
_CASCADES: Final = "drops with CASCADE what it does not name (name it, or leave CASCADE out)"
_CARE: Final = frozenset({"vacuum_stmt", "lock_stmt", "reindex_stmt", "cluster_stmt"})
_WRITES: Final = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# What a definition only reads: a query, the table that a foreign key points at, a pattern.
_READ_ONLY: Final = frozenset({"SelectStmt", "TableLikeClause", "CreateFunctionStmt"})
_READ_FIELDS: Final = frozenset({"pktable", "values_lists"})
_PARTS_OF_TABLES: Final = frozenset({pg.OBJECT_TRIGGER, pg.OBJECT_RULE, pg.OBJECT_POLICY})
_RELATIONS: Final = frozenset(
    {pg.OBJECT_TABLE, pg.OBJECT_INDEX, pg.OBJECT_SEQUENCE, pg.OBJECT_VIEW, pg.OBJECT_MATVIEW}
)
_VIEWS: Final = frozenset({pg.OBJECT_VIEW, pg.OBJECT_MATVIEW})
# Changes of things that are there and belong to no table: no copy of a table brings them back.
_BEYOND: Final = frozenset(
    {
        "alter_enum_stmt", "alter_function_stmt", "alter_domain_stmt", "alter_type_stmt",
        "alter_extension_stmt", "alter_default_privileges_stmt", "alter_role_stmt",
        "drop_role_stmt", "grant_role_stmt", "alter_database_stmt", "alter_publication_stmt",
        "reassign_owned_stmt", "dropdb_stmt",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What the names in a statement stand for.

    Attributes:
        home: Schema that unqualified names mean first, or "".
        parts: Index, or sequence of a column, to the table that it belongs to.
        children: Pairs of a table and one whose foreign key points at it.
        routines: Names of functions and procedures, where a statement may call them.
        functions: Language and text of functions that may write, by their names.
        present: Names of all that is there; None where nobody asked.
        has_one_schema: Tables of others than `home` are not meant, whatever schema is written.
    """

    tables: frozenset[Name]
    views: frozenset[Name] = frozenset()
    home: str = ""
    parts: Mapping[Name, Name] = field(default_factory=dict)
    children: frozenset[tuple[Name, Name]] = frozenset()
    routines: frozenset[str] = frozenset()
    functions: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    present: frozenset[str] | None = None
    has_one_schema: bool = False

    def listed(self, name: Name) -> Name:
        """Return the table that an author lists; a schema is left out where there is one only."""
        is_default = self.has_one_schema and name[0] == "public"
        return (self.home, name[1]) if is_default else name

    def meant(self, name: Name) -> tuple[Name, ...]:
        """Return the tables that a name may mean."""
        found = _matching(name, self.tables, self.home)
        return found or tuple(self.parts[each] for each in _matching(name, self.parts, self.home))

    def emptied_with(self, tables: Iterable[Name]) -> tuple[Name, ...]:
        """Return the tables that TRUNCATE ... CASCADE of some empties, whatever their keys say."""
        found = set(tables)
        while more := {child for parent, child in self.children if parent in found} - found:
            found |= more
        return tuple(sorted(found))

    def is_view(self, name: Name) -> bool:
        """Tell whether a name may mean a view."""
        return bool(_matching(name, self.views, self.home))


def known(catalog: Iterable[CatalogObject], home: str, parts: Mapping[Name, Name]) -> Known:
    """Return what names mean in a catalogue."""
    named = {"table": set[Name](), "view": set[Name](), "foreign table": set[Name]()}
    present: set[str] = set()
    for each in catalog:
        named.get(each.kind, set()).add((each.schema, each.name))
        present.add(each.name)
    tables = frozenset(named["table"] | named["foreign table"])
    return Known(tables, frozenset(named["view"]), home, parts, present=frozenset(present))


def _matching(name: Name, among: Iterable[Name], home: str) -> tuple[Name, ...]:
    schema, word = name
    if schema:
        return (name,) if name in set(among) else ()
    if (home, word) in set(among):
        return ((home, word),)
    return tuple(sorted(each for each in among if each[1] == word))


@dataclass(frozen=True)
class Touched:
    """What statements change.

    Attributes:
        tables: Tables that are there already.
        opaque: Sentences about what may change others.
        beyond: Changes outside of tables.
        emptied: Those of `tables` that are emptied together with all that refer to them.
        views: Statements that drop views: those come back together with a table below them.
    """

    tables: tuple[Name, ...] = ()
    opaque: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    emptied: tuple[Name, ...] = ()
    views: tuple[str, ...] = ()


def touched_by(statements: Iterable[Statement], names: Known) -> Touched:
    """Return what statements change of what is there, in the order in which they run."""
    tables: dict[Name, None] = {}
    opaque: list[str] = []
    beyond: list[str] = []
    emptied: list[Name] = []
    views: list[str] = []
    routines = Routines(dict(names.functions))
    for statement in statements:
        for parsed in parse_sql(statement.file, statement.text):
            where = f"{statement.file}, line {statement.line + parsed.statement.line - 1}"
            changed = tuple(_changed(parsed))
            ran = tuple(routines.run_by(parsed, {name for _, name in changed}))
            routines.learn(parsed)
            if doing := _opaque(parsed, names) or _unread(ran, names):
                opaque.append(f"{where} {doing}")
            found = [table for name in changed for table in names.meant(name)]
            if parsed.kind == "truncate_stmt" and parsed.tree.behavior == pg.DROP_CASCADE:
                emptied += found
                found += names.emptied_with(found)
            tables.update(dict.fromkeys([*found, *_written_by(ran, names)]))
            said = f"{where}: {' '.join(parsed.statement.text.split())[:80]}"
            beyond += [said] if _is_beyond(parsed, names) and not found else []
            views += [said] if _drops_views(parsed, names) else []
    return Touched(tuple(tables), tuple(opaque), tuple(beyond), tuple(emptied), tuple(views))


def _opaque(parsed: Parsed, names: Known) -> str:
    if parsed.kind in _OPAQUE:
        return _OPAQUE[parsed.kind]
    if parsed.kind == "drop_stmt" and parsed.tree.behavior == pg.DROP_CASCADE:
        of_tables = parsed.tree.remove_type in _RELATIONS | _PARTS_OF_TABLES
        return "" if of_tables or _is_new(parsed.tree, names) else _CASCADES
    through = [name for name in _written(parsed.tree) if not names.meant(name)]
    view = next((name for name in through if names.is_view(name)), None)
    return f"writes through the view {view[1]}" if view else ""


def _unread(ran: Iterable[tuple[str, Body]], names: Known) -> str:
    """Return what cannot be told of functions that a statement runs."""
    for name, body in ran:
        through = [each for each in body.writes if not names.meant(each) and names.is_view(each)]
        if body.is_open or through:
            return f"calls {name}, which may write"
    return ""


def _written_by(ran: Iterable[tuple[str, Body]], names: Known) -> Iterator[Name]:
    """Yield the tables that functions write; without a schema each of a name may be meant."""
    anywhere = replace(names, home="")
    for _, body in ran:
        for each in sorted(body.writes):
            yield from anywhere.meant(each)


def _changed(parsed: Parsed) -> Iterator[Name]:
    tree = parsed.tree
    if parsed.kind in _CARE:
        return
    if parsed.kind in QUERIES or parsed.kind == "create_table_as_stmt":
        yield from _written(tree)
        return
    match parsed.kind:
        case "drop_stmt":
            for item in tree.objects:
                yield from _of_list(tree.remove_type, item)
        case "comment_stmt":
            yield from _of_list(tree.objtype, tree.object)
        case _:
            yield from _named(tree)


def _written(tree: Tree) -> Iterator[Name]:
    """Yield what DML anywhere in a query writes."""
    for kind, node in _walk(tree, frozenset()):
        if kind in _WRITES or (kind == "CopyStmt" and node.is_from):
            yield (node.relation.schemaname, node.relation.relname)


def _named(tree: Tree) -> Iterator[Name]:
    """Yield the relations that a definition names."""
    for kind, node in _walk(tree, _READ_ONLY):
        if kind == "RangeVar":
            yield (node.schemaname, node.relname)


def _of_list(kind: int, item: Tree) -> Iterator[Name]:
    """Yield what a name in parts means: DROP, COMMENT."""
    parts = words(item.list.items)
    if kind in _PARTS_OF_TABLES or kind in {pg.OBJECT_COLUMN, pg.OBJECT_TABCONSTRAINT}:
        parts = parts[:-1]
    elif kind not in _RELATIONS:
        return
    if parts:
        yield (parts[-2] if len(parts) > 1 else "", parts[-1])


def _walk(tree: Tree, besides: frozenset[str]) -> Iterator[tuple[str, Tree]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = type(node).DESCRIPTOR.name
        if kind in besides:
            continue
        yield kind, node
        waiting.extend(children(node, besides=_READ_FIELDS))


def _is_new(tree: Tree, names: Known) -> bool:
    """Tell whether all that a statement changes or drops was not there before the first one."""
    fields = {each.name: value for each, value in tree.ListFields()}
    kinds = {
        fields[each] for each in ("remove_type", "object_type", "rename_type") if each in fields
    }
    relation = fields.get("relation") or fields.get("sequence")
    if names.present is None or (kinds - OBJECT_KINDS.keys() and not relation):
        return False
    things = {relation.relname} if relation else set(_things(fields))
    return bool(things) and names.present.isdisjoint(things)


def _things(fields: Mapping[str, Tree]) -> Iterator[str]:
    """Yield names without their schemas from the fields that hold one in DROP, ALTER, CREATE."""
    for each, value in fields.items():
        match each:
            case "func":
                yield from words(value.objname)[-1:]
            case "type_name" | "funcname":
                yield from words(value)[-1:]
            case "object" | "objects":
                for item in [value] if each == "object" else value:
                    yield from name_parts(item)[-1:]
            case _:
                pass


def _drops_views(parsed: Parsed, names: Known) -> bool:
    is_drop = parsed.kind == "drop_stmt" and parsed.tree.remove_type in _VIEWS
    return is_drop and not _is_new(parsed.tree, names)


def _is_beyond(parsed: Parsed, names: Known) -> bool:
    if _is_new(parsed.tree, names):
        return False
    match parsed.kind:
        case "drop_stmt":
            kept = {*_RELATIONS - {pg.OBJECT_SEQUENCE}, *_PARTS_OF_TABLES}
            return parsed.tree.remove_type not in kept
        case "create_function_stmt":
            return bool(parsed.tree.replace)
        case "view_stmt":
            view = parsed.tree.view
            return bool(parsed.tree.replace) and names.is_view((view.schemaname, view.relname))
        case "rename_stmt" | "alter_owner_stmt" | "alter_object_schema_stmt" | "alter_seq_stmt":
            return True
        case kind:
            is_type = kind == "alter_table_stmt" and parsed.tree.objtype == pg.OBJECT_TYPE
            return bool(is_type) or kind in _BEYOND
