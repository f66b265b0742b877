"""What the body of a function writes, as far as its words tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import postgast

# Words after which the name of a table stands that is written, and words that may stand between.
_WRITES: Final = (
    ("insert", "into"),
    ("delete", "from"),
    ("merge", "into"),
    ("update",),
    ("truncate",),
    ("copy",),
)
_BETWEEN: Final = frozenset({"only", "table"})
# FOR UPDATE, FOR NO KEY UPDATE, ON UPDATE are no statements; nor is UPDATE SET (DO UPDATE, MERGE).
_NOT_AFTER: Final = frozenset({"for", "key", "on"})
# By language: words of statements that are built as they run, or that change tables themselves.
_OPEN: Final = {
    "sql": frozenset({"alter", "drop"}),
    "plpgsql": frozenset({"alter", "drop", "execute"}),
}


@dataclass(frozen=True)
class Body:
    """What a function does.

    Attributes:
        writes: Schema, or "", and name of tables that it writes.
        calls: Names of functions that it calls, without a schema; also others that look like it.
        is_open: It builds statements as it runs, changes tables themselves, empties them with all
            that refer to them, or is in a language that is not read.
    """

    writes: frozenset[tuple[str, str]] = frozenset()
    calls: frozenset[str] = frozenset()
    is_open: bool = False


@lru_cache(256)  # a function that each of many statements calls
def read_body(language: str, text: str) -> Body:
    """Return what a body does; words in strings and comments do not count."""
    if language not in _OPEN:
        return Body(is_open=True)
    try:
        words = tuple(_words(text))
    except postgast.PgQueryError:
        return Body(is_open=True)
    places = range(len(words))
    called = (words[place - 1] for place in places if place and words[place] == "(")
    return Body(
        frozenset(filter(None, (_written(words, place) for place in places))),
        frozenset(map(_plain, called)),
        not _OPEN[language].isdisjoint(words) or {"truncate", "cascade"} <= set(words),
    )


def _words(text: str) -> Iterator[str]:
    """Yield words as the server reads them; a quoted one is marked, it is no keyword."""
    source = text.encode()
    for token in postgast.scan(text).tokens:
        word = source[token.start : token.end].decode()
        if word.startswith(("--", "/*")):
            continue
        yield word if word.startswith('"') else word.lower()


def _written(words: tuple[str, ...], place: int) -> tuple[str, str] | None:
    if place and words[place - 1] in _NOT_AFTER:
        return None
    for verb in _WRITES:
        end = place + len(verb)
        if words[place:end] == verb:
            while words[end : end + 1] and words[end] in _BETWEEN:
                end += 1
            return _name(words, end)
    return None


def _name(words: tuple[str, ...], place: int) -> tuple[str, str] | None:
    first = words[place : place + 1]
    if not first or first == ("set",) or not (first[0][0].isalpha() or first[0][0] in '_"'):
        return None
    if words[place + 1 : place + 2] == (".",) and len(words) > place + 2:
        return _plain(first[0]), _plain(words[place + 2])
    return "", _plain(first[0])


def _plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word
