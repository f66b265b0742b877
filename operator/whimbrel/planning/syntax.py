"""PostgreSQL's own parser (libpg_query through postgast): the only module that knows its trees.

The parser is that of PostgreSQL 18, which reads what 14 to 17 read. Its byte offsets are turned
into lines here; syntax trees are protobuf messages, walked by field name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import postgast
from google._upb import _message as protobuf
from google.protobuf.message import DecodeError

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import Statement

# A protobuf message of libpg_query (the stubs that postgast ships do not parse) or a list of them.
Tree: TypeAlias = Any
_COMMENT_TOKENS: Final = frozenset(
    {postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT}
)
# What these hold is a body that runs some other day, not now.
_STORED_BODIES: Final = frozenset({"CreateFunctionStmt", "RuleStmt"})

# `1 + 1 + ...` is a tree as deep as it is long, and the parser writes it out by recursion: the
# process dies of its stack somewhere above 20,000 (libpg_query 6.1, a stack of 8 MiB).
_LONGEST_CHAIN: Final = 10_000
_OPERATORS: Final = frozenset({postgast.pg_query_pb2.Op, *map(ord, "+-*/%^<>=")})
_ENDS_CHAIN: Final = frozenset(map(ord, ",;"))

# protobuf refuses trees deeper than 100 messages, which 50 times `||` reach; with this switch the
# limit is 65,535 (python/message.c of protobuf: upb_DecodeOptions_MaxDepth).
protobuf.SetAllowOversizeProtos(True)


@dataclass(frozen=True)
class Parsed:
    """A statement together with its syntax tree.

    Attributes:
        kind: Name of the tree's root, for example ``create_stmt``.
        tree: The root itself.
    """

    statement: Statement
    kind: str
    tree: Tree


def parse_sql(file: str, text: str) -> tuple[Parsed, ...]:
    """Return the statements of a file in order; comments and empty statements are skipped.

    Raises:
        RefusedError: ``SyntaxError`` with file, line and PostgreSQL's own message.
    """
    try:
        _refuse_long_chains(file, text)
        roots = postgast.parse(text).stmts
    except postgast.PgQueryError as error:
        raise _syntax_error(file, text, error) from None
    except DecodeError:
        raise RefusedError(
            "SyntaxError", f"{file}: an expression is nested too deeply to be checked"
        ) from None
    data = text.encode()
    return tuple(_parsed(file, data, root) for root in roots)


def _refuse_long_chains(file: str, text: str) -> None:
    length = 0
    for token in postgast.scan(text).tokens:
        length = 0 if token.token in _ENDS_CHAIN else length + (token.token in _OPERATORS)
        if length > _LONGEST_CHAIN:
            line = text.encode()[: token.start].count(b"\n") + 1
            raise RefusedError(
                "SyntaxError",
                f"{file}, line {line}: more than {_LONGEST_CHAIN:,} operators in one expression "
                "cannot be checked: split it",
            )


def comments(text: str) -> tuple[str, ...]:
    """Return the comments of a text that `parse_sql` has read."""
    data = text.encode()
    tokens = postgast.scan(text).tokens
    return tuple(
        data[token.start : token.end].decode() for token in tokens if token.token in _COMMENT_TOKENS
    )


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
            waiting.extend(_children(node))


def _children(node: Tree) -> Iterator[Tree]:
    for field, value in node.ListFields():
        # Rows of VALUES cannot change anything, and there may be a megabyte of them.
        if field.message_type is None or field.name == "values_lists":
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


def _parsed(file: str, data: bytes, root: Tree) -> Parsed:
    start = root.stmt_location
    end = start + root.stmt_len if root.stmt_len else len(data)
    line = data[:start].count(b"\n") + 1
    kind = root.stmt.WhichOneof("node")
    text = data[start:end].decode().rstrip()
    return Parsed(Statement(file, line, text), kind, getattr(root.stmt, kind))


def _syntax_error(file: str, text: str, error: postgast.PgQueryError) -> RefusedError:
    # cursorpos counts characters, not bytes, whatever postgast's manual says (tried with 0.2.0).
    line = text[: max(error.cursorpos - 1, 0)].count("\n") + 1
    rest = text[max(error.cursorpos - 1, 0) :]
    hint = _psql_hint(text, rest)
    return RefusedError("SyntaxError", f"{file}, line {line}: {error.message}{hint}")


def _psql_hint(text: str, rest: str) -> str:
    if rest.startswith("\\"):
        return "; psql commands (\\i, \\copy ...) are not SQL: write the statements themselves"
    if "stdin" in text[: len(text) - len(rest)].lower():
        return "; data lines after COPY ... FROM STDIN work in psql only: use INSERT instead"
    return ""
