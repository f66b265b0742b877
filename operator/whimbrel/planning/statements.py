"""Reads one file: its statements, its directives, and how it must be run."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postgast import pg_query_pb2 as pg

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import (
    Effect,
    EnumHasValue,
    IndexesAreRebuilt,
    IndexIsGone,
    IndexIsValid,
    PartitionIsDetached,
    Repeatable,
    Statement,
)
from whimbrel.planning.ledger_named import names_ledger
from whimbrel.planning.syntax import Parsed, comments, parse_sql
from whimbrel.planning.trees import Tree, option_names, words

_DIRECTIVE: Final = re.compile(r"--\s*whimbrel\s*:\s*(.*?)\s*")
_DIRECTIVES: Final = frozenset({"no-transaction", "repeatable"})


@dataclass(frozen=True)
class SqlText:
    """What a file holds, checked.

    Attributes:
        alone: How the effect of its one statement is looked up, or None when the file runs in a
            transaction.
        is_marked_repeatable: True when its author says that it may run twice.
    """

    file: str
    parsed: tuple[Parsed, ...]
    alone: Effect | None = None
    is_marked_repeatable: bool = False

    def statements(self) -> tuple[Statement, ...]:
        """Return the statements without their trees."""
        return tuple(each.statement for each in self.parsed)


def read_sql(file: str, text: str, ledger_schema: str) -> SqlText:
    """Return the checked content of a file.

    Raises:
        RefusedError: The file cannot be carried out safely; the sentence names file and line.
    """
    parsed = parse_sql(file, text)
    said = _directives(file, text)
    for each in parsed:
        _refuse_control(each)
        _refuse_ledger(each, ledger_schema)
    repeatable = "repeatable" in said
    if "no-transaction" in said:
        return SqlText(file, parsed, _effect_alone(file, parsed, repeatable), repeatable)
    if repeatable:
        raise RefusedError(
            "BadDirective",
            f"{file}: `-- whimbrel: repeatable` has a meaning only beside "
            "`-- whimbrel: no-transaction`; in a transaction nothing runs twice",
        )
    for each in parsed:
        _refuse_outside_transaction(each)
    return SqlText(file, parsed)


def _directives(file: str, text: str) -> frozenset[str]:
    matches = (_DIRECTIVE.fullmatch(comment) for comment in comments(text))
    return known_directives(file, frozenset(match[1] for match in matches if match))


def known_directives(file: str, said: frozenset[str]) -> frozenset[str]:
    """Return what a file says to us.

    Raises:
        RefusedError: It says something that nobody knows.
    """
    for word in sorted(said - _DIRECTIVES):
        raise RefusedError(
            "BadDirective",
            f"{file}: `-- whimbrel: {word}` is unknown; there are no-transaction and repeatable",
        )
    return said


def _refuse_control(parsed: Parsed) -> None:
    if parsed.kind == "transaction_stmt":
        raise _refused(
            parsed,
            "TransactionControl",
            "transaction control is not allowed: whimbrel begins and commits; delete it",
        )
    if parsed.kind == "copy_stmt" and _copies_client_data(parsed.tree):
        raise _refused(
            parsed,
            "CopyNotPossible",
            "COPY from stdin or to stdout needs psql: use INSERT or SELECT instead",
        )


def _copies_client_data(tree: Tree) -> bool:
    return not tree.filename and not tree.is_program


def _refuse_ledger(parsed: Parsed, ledger_schema: str) -> None:
    if names_ledger(parsed, ledger_schema):
        raise _refused(
            parsed,
            "LedgerNamed",
            f"schema {ledger_schema} is whimbrel's ledger, which no migration may name",
        )


def _refuse_outside_transaction(parsed: Parsed) -> None:
    if needs_no_transaction(parsed):
        raise _refused(
            parsed,
            "NeedsNoTransaction",
            "this statement cannot run in a transaction: put it alone into a file "
            "that says `-- whimbrel: no-transaction`",
        )


def _effect_alone(file: str, parsed: tuple[Parsed, ...], repeatable: bool) -> Effect:
    if len(parsed) != 1:
        raise RefusedError(
            "NotOneStatement",
            f"{file}: a file that says `-- whimbrel: no-transaction` holds exactly one statement, "
            f"this one holds {len(parsed)}",
        )
    only = parsed[0]
    reader = _EFFECTS.get(only.kind)
    effect = reader(only.tree) if reader else None
    if effect is None and not repeatable:
        raise _refused(
            only,
            "EffectUnknown",
            "whether this statement took effect cannot be looked up after an interruption: "
            "leave out `-- whimbrel: no-transaction`, name what it makes, or say "
            "`-- whimbrel: repeatable` if it may run twice",
        )
    return effect or Repeatable()


def _refused(parsed: Parsed, reason: str, sentence: str) -> RefusedError:
    place = f"{parsed.statement.file}, line {parsed.statement.line}"
    return RefusedError(reason, f"{place}: {sentence}")


# What calls PreventInTransactionBlock in PostgreSQL 14 to 18.
def needs_no_transaction(parsed: Parsed) -> bool:
    """Return whether PostgreSQL refuses the statement inside a transaction."""
    check = _OUTSIDE.get(parsed.kind)
    return check is not None and check(parsed.tree)


def _always(_tree: Tree) -> bool:
    return True


def _reindexes_outside(tree: Tree) -> bool:
    wide = {pg.REINDEX_OBJECT_SCHEMA, pg.REINDEX_OBJECT_SYSTEM, pg.REINDEX_OBJECT_DATABASE}
    return tree.kind in wide or "concurrently" in option_names(tree.params)


def _detaches_concurrently(tree: Tree) -> bool:
    return any(
        getattr(item.alter_table_cmd, "def").partition_cmd.concurrent
        or item.alter_table_cmd.subtype == pg.AT_DetachPartitionFinalize
        for item in tree.cmds
        if item.alter_table_cmd.subtype in {pg.AT_DetachPartition, pg.AT_DetachPartitionFinalize}
    )


def _moves_tablespace(tree: Tree) -> bool:
    return "tablespace" in option_names(tree.options)


_OUTSIDE: Final[dict[str, Callable[[Tree], bool]]] = {
    "index_stmt": lambda tree: bool(tree.concurrent),
    "drop_stmt": lambda tree: bool(tree.concurrent),
    "reindex_stmt": _reindexes_outside,
    "alter_table_stmt": _detaches_concurrently,
    "vacuum_stmt": lambda tree: bool(tree.is_vacuumcmd),
    "cluster_stmt": lambda tree: not tree.HasField("relation"),
    "createdb_stmt": _always,
    "dropdb_stmt": _always,
    "alter_database_stmt": _moves_tablespace,
    "create_table_space_stmt": _always,
    "drop_table_space_stmt": _always,
    "alter_system_stmt": _always,
    "create_subscription_stmt": _always,
    "drop_subscription_stmt": _always,
    "discard_stmt": lambda tree: tree.target == pg.DISCARD_ALL,
}


def _index_effect(tree: Tree) -> Effect | None:
    if not tree.idxname or not tree.concurrent:
        return None
    return IndexIsValid(tree.relation.schemaname, tree.idxname)


def _drop_effect(tree: Tree) -> Effect | None:
    if not tree.concurrent or len(tree.objects) != 1:
        return None
    parts = ("", *words(tree.objects[0].list.items))
    return IndexIsGone(parts[-2], parts[-1])


def _detach_effect(tree: Tree) -> Effect | None:
    if not _detaches_concurrently(tree) or len(tree.cmds) != 1:
        return None
    part = getattr(tree.cmds[0].alter_table_cmd, "def").partition_cmd.name
    parent = tree.relation
    return PartitionIsDetached(part.schemaname, part.relname, parent.schemaname, parent.relname)


def _enum_effect(tree: Tree) -> Effect | None:
    if tree.old_val:
        return None
    parts = ("", *words(tree.type_name))
    return EnumHasValue(parts[-2], parts[-1], tree.new_val)


def _reindex_effect(tree: Tree) -> Effect | None:
    if not _reindexes_outside(tree):
        return None
    if tree.HasField("relation"):
        return IndexesAreRebuilt(tree.relation.schemaname, tree.relation.relname)
    return Repeatable()


def _vacuum_effect(_tree: Tree) -> Effect | None:
    return Repeatable()


_EFFECTS: Final[dict[str, Callable[[Tree], Effect | None]]] = {
    "index_stmt": _index_effect,
    "drop_stmt": _drop_effect,
    "alter_table_stmt": _detach_effect,
    "alter_enum_stmt": _enum_effect,
    "reindex_stmt": _reindex_effect,
    "vacuum_stmt": _vacuum_effect,
}
