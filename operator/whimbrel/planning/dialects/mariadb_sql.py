"""Reads one file for MariaDB: its statements, when each commits, and what it does to names.

sqlglot (MIT) cuts the text and reads what it knows of the grammar; the server's own parser is
asked before a file runs. What a statement is, its first words tell.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeAlias

from sqlglot import TokenType
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Atomicity, Spec
from whimbrel.model.steps import (
    Commits,
    Direction,
    Piece,
    RunPieces,
    Statement,
    StepId,
)
from whimbrel.planning.dialects.mariadb_touched import named_tables, touched
from whimbrel.planning.dialects.mariadb_words import (
    Word,
    commits_of,
    may_repeat,
    refuse,
    settings_of,
)
from whimbrel.planning.sql_dialects import SqlDialect
from whimbrel.planning.sql_steps import Group
from whimbrel.planning.statements import SqlText, known_directives
from whimbrel.planning.syntax import Parsed
from whimbrel.planning.touched import Created, Dropped, Opaque, Renamed, Touch, Written

# It warns, with the statement's text, of what it does not know.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

Token: TypeAlias = Any  # of sqlglot, which is not checked here
_DIRECTIVE: Final = re.compile(r"\s*whimbrel\s*:\s*(.*?)\s*")
# A body that holds semicolons: these stand before the first of them.
_COMPOUND: Final = frozenset({"BEGIN", "THEN", "LOOP", "REPEAT", "WHILE"})
_CONSTANTS: Final = frozenset({
    TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.HEX_STRING, TokenType.BIT_STRING,
})  # fmt: skip
_STORED: Final = frozenset({"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"})


def parse_sql(file: str, text: str) -> tuple[Parsed, ...]:
    """Return the statements of a file in order; comments and empty statements are skipped.

    Raises:
        RefusedError: It cannot be cut into statements.
    """
    return tuple(_parsed(file, text, tokens)[0] for tokens in _cut(_tokens(file, text)))


# Asked for again by every plan of an attempt, and a megabyte takes seconds.
@lru_cache(maxsize=256)
def read_sql(file: str, text: str, ledger_schema: str) -> SqlText:
    """Return the checked content of a file.

    Raises:
        RefusedError: The file cannot be carried out safely; the sentence names file and line.
    """
    tokens = _tokens(file, text)
    said = known_directives(file, _directives(tokens))
    _refuse_hidden(file, text, tokens)
    parsed = []
    for each in _cut(tokens):
        one, words = _parsed(file, text, each)
        refuse(one.statement, words, ledger_schema)
        parsed.append(one)
    return SqlText(file, tuple(parsed), is_marked_repeatable="repeatable" in said)


def step(spec: Spec, direction: Direction, group: Group) -> RunPieces:
    """Return the step that carries out a file. Its id depends on the version alone."""
    (work,) = group.works
    name = StepId(f"{direction}:{spec.migrations.history}:{work.file.version}")
    undo = None
    if direction is Direction.UP and work.file.down is not None:
        back = read_sql(work.down_name, work.file.down, spec.database.ledger_schema)
        undo = tuple(each.tree for each in back.parsed)
    pieces = tuple(each.tree for each in work.text.parsed)
    repeatable = work.text.is_marked_repeatable
    return RunPieces(name, direction, work.file, pieces, undo, repeatable=repeatable)


def atomicity(asked: Atomicity) -> Atomicity:
    """Return how files are grouped: each for itself, as there is no transaction around DDL."""
    del asked
    return Atomicity.FILE


class _Tokenizer(MySQL.Tokenizer):  # type: ignore[misc]  # sqlglot is not checked here
    """sqlglot's own hands everything behind REPLACE, RENAME and others on in one piece."""

    COMMANDS: ClassVar[set[TokenType]] = set()


def _tokens(file: str, text: str) -> list[Token]:
    try:
        # The last semicolon is ours: comments at the end of the file are told with it.
        return list(_Tokenizer(dialect=MySQL()).tokenize(text + "\n;"))
    except SqlglotError as error:
        told = str(error).splitlines()[0]
        raise RefusedError("SyntaxError", f"{file}: {told}") from None


def _cut(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    one: list[Token] = []
    for number, token in enumerate(tokens):
        if token.token_type is not TokenType.SEMICOLON:
            one.append(token)
            continue
        if one and _is_compound(one):
            yield _without_semicolons([*one, *tokens[number:]])
            return
        if one:
            yield one
        one = []


def _is_compound(tokens: Sequence[Token]) -> bool:
    """Tell whether a stored program with a body begins here: it takes the rest of the file."""
    if str(tokens[0].text).upper() != "CREATE":
        return False
    said = {word.word for word in _words(tokens)}
    return bool(_STORED & said) and bool(_COMPOUND & said)


def _without_semicolons(tokens: list[Token]) -> list[Token]:
    while tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    return tokens


def _words(tokens: Sequence[Token]) -> list[Word]:
    return [word for token in tokens for word in _of_token(token)]


def _of_token(token: Token) -> Iterator[Word]:
    text = str(token.text)
    if token.token_type is TokenType.IDENTIFIER:
        yield Word(f"`{text}`", text)
    elif token.token_type in _CONSTANTS:
        yield Word("'", text)
    else:
        # LOCK TABLES and CHARACTER SET are one token each.
        yield from (Word(each.upper(), each) for each in text.split())


def _parsed(file: str, text: str, tokens: Sequence[Token]) -> tuple[Parsed, list[Word]]:
    start, end = tokens[0].start, tokens[-1].end
    statement = Statement(file, text.count("\n", 0, start) + 1, text[start : end + 1])
    words = _words(tokens)
    touches = touched(statement.text, words)
    kind = words[0].word.lower()
    return Parsed(statement, kind, _piece(statement, words, touches), touches), words


def _directives(tokens: Sequence[Token]) -> frozenset[str]:
    found = (_DIRECTIVE.fullmatch(comment) for token in tokens for comment in token.comments)
    return frozenset(match[1] for match in found if match)


def _refuse_hidden(file: str, text: str, tokens: Sequence[Token]) -> None:
    for token in tokens:
        for comment in token.comments:
            if comment.startswith(("!", "M!")):
                line = text.count("\n", 0, max(text.find("/*" + comment), 0)) + 1
                raise RefusedError(
                    "HiddenStatement",
                    f"{file}, line {line}: the server carries out what stands in a comment that "
                    "begins with /*! : write it as a statement, or delete it",
                )


def _piece(statement: Statement, words: Sequence[Word], touches: Sequence[Touch]) -> Piece:
    commits = commits_of(words)
    renames = [each for each in touches if isinstance(each, Renamed)]
    made = [each.object for each in touches if isinstance(each, Created)]
    gone = [each.object for each in touches if isinstance(each, Dropped)]
    adds = words[0].word in {"INSERT", "REPLACE"}
    return Piece(
        statement,
        commits,
        makes=(*made, *(each.new for each in renames)),
        takes=(*gone, *(each.old for each in renames)),
        tables=named_tables(words, touches),
        sets=settings_of(words) if commits is Commits.SESSION else (),
        writes=adds or _writes(words[0].word, touches),
        repeats=may_repeat(words),
    )


def _writes(word: str, touches: Sequence[Touch]) -> bool:
    return word == "LOAD" or any(isinstance(each, Written | Opaque) for each in touches)


SQL: Final = SqlDialect(
    variants=("mariadb", "mysql"),
    parse=parse_sql,
    read=read_sql,
    step=step,
    atomicity=atomicity,
    notes=(
        "MariaDB commits each DDL statement by itself, so the files run statement by "
        "statement: when one fails, what was done of its file is taken back by its down file",
    ),
)
