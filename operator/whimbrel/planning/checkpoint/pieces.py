"""Which tables the statements of a file change that runs statement by statement.

Each table that a statement names counts as changed, also where it is only read: a table that is
copied in vain costs time, one that is forgotten costs its rows.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from whimbrel.model.steps import Commits, Piece
from whimbrel.planning.checkpoint.touches import Known, Name, Touched

_WORD: Final = re.compile(r"`((?:[^`]|``)+)`|([\w$]+)")
_CONSTANT: Final = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
# What a file does to things that are no table's.
_BEYOND: Final = re.compile(
    r"\s*(?:CREATE\s+OR\s+REPLACE|ALTER|DROP)\s+(?:\w+\s*=\s*\S+\s+)*"
    r"(?:VIEW|FUNCTION|PROCEDURE|EVENT|SEQUENCE|TRIGGER|DATABASE|SCHEMA|USER|ROLE)\b",
    re.IGNORECASE,
)


def touched_by_pieces(pieces: Iterable[Piece], names: Known) -> Touched:
    """Return what statements change of what is there, in the order in which they run."""
    tables: dict[Name, None] = {}
    opaque: list[str] = []
    beyond: list[str] = []
    for piece in pieces:
        if piece.commits is Commits.SESSION or piece.repeats:
            continue
        words = set(_words(piece.statement.text))
        found = [each for each in sorted(names.tables) if each[1] in words]
        where = f"{piece.statement.file}, line {piece.statement.line}"
        if doing := _opaque(piece, words, names):
            opaque.append(f"{where} {doing}")
        tables.update(dict.fromkeys(found))
        if _BEYOND.match(piece.statement.text):
            beyond.append(f"{where}: {' '.join(piece.statement.text.split())[:80]}")
    return Touched(tuple(tables), tuple(opaque), tuple(beyond))


def _words(text: str) -> Iterator[str]:
    for quoted, plain in _WORD.findall(_CONSTANT.sub(" ", text)):
        yield quoted.replace("``", "`") or plain


def _opaque(piece: Piece, words: set[str], names: Known) -> str:
    first = piece.statement.text.split(maxsplit=1)[0].upper()
    if first in {"CALL", "EXECUTE", "LOAD"}:
        return f"is a {first}"
    if not piece.writes and not piece.tables:
        return "" if piece.makes or piece.takes else "cannot be read"
    views = sorted(name for _, name in names.views if name in words)
    if piece.writes and views:
        return f"writes and names the view {views[0]}"
    routines = sorted(names.routines & words)
    return f"calls {routines[0]}, which may write" if piece.writes and routines else ""
