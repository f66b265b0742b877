"""PostgreSQL's own parser (libpg_query through postgast).

The parser is that of PostgreSQL 18, which reads what 14 to 17 read. Its byte offsets are turned
into lines here; `trees` walks what it returns.
"""

from dataclasses import dataclass
from typing import Final

import postgast
from google._upb import _message as protobuf
from google.protobuf.message import DecodeError

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import Statement
from whimbrel.planning.touched import Touch, touched
from whimbrel.planning.trees import Tree

_COMMENT_TOKENS: Final = frozenset(
    {postgast.pg_query_pb2.SQL_COMMENT, postgast.pg_query_pb2.C_COMMENT}
)

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
    """A statement together with its syntax tree, of whichever parser read it.

    Attributes:
        kind: Name of the tree's root, for example ``create_stmt``.
        tree: The root itself.
        touches: What it does to named things, in order.
    """

    statement: Statement
    kind: str
    tree: Tree
    touches: tuple[Touch, ...] = ()


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


def _parsed(file: str, data: bytes, root: Tree) -> Parsed:
    start = root.stmt_location
    end = start + root.stmt_len if root.stmt_len else len(data)
    line = data[:start].count(b"\n") + 1
    kind = root.stmt.WhichOneof("node")
    text = data[start:end].decode().rstrip()
    tree = getattr(root.stmt, kind)
    return Parsed(Statement(file, line, text), kind, tree, touched(kind, tree))


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
