"""The journal of a file that runs statement by statement: what began, what was done."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pymysql

from whimbrel.model.steps import CatalogObject, MigrationFile, Piece
from whimbrel.planning.dialects import mariadb_ledger as statements
from whimbrel.planning.dialects.mariadb_catalog import show_create
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.server_errors import read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import as_json, own

UNDO: Final = "undo"
BROKEN: Final = "failed"  # the shape of what failed and left a part
_NEXT_NUMBER: Final = re.compile(r" AUTO_INCREMENT=[0-9]+")


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        ordinal: Place of the statement, from 1; 0 is the file.
        shape: How what it names looked before.
        known: Of the file what the database held before, of a statement what it makes.
        gone: Of a statement what it takes away.
        note: Of a way back, why it is gone.
    """

    ordinal: int
    file: str
    line: int
    digest: str
    is_done: bool
    shape: str
    known: tuple[CatalogObject, ...]
    gone: tuple[CatalogObject, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Journal:
    """What the ledger knows of one file that is not over.

    Attributes:
        direction: up, down, or undo.
    """

    ledger: Ledger
    history: str
    run: str
    file: MigrationFile
    direction: str

    def entries(self) -> tuple[Entry, ...]:
        """Return the rows in order."""
        rows = self.ledger.rows(statements.READ_PIECES, self.history)
        mine = [row for row in rows if row[:2] == (self.file.version, self.direction)]
        return tuple(_entry(row[2:]) for row in mine)

    def open(self, shape: str, known: Iterable[CatalogObject], note: str = "") -> None:
        """Record the file itself, before its first statement."""
        text = as_json({"known": _words(known), "note": note})
        self._start(0, self.file.name, 0, "-", shape, text)

    def start(self, ordinal: int, piece: Piece, shape: str = "") -> None:
        """Record that a statement begins."""
        where = piece.statement
        text = as_json({"known": _words(piece.makes), "gone": _words(piece.takes)})
        self._start(ordinal, where.file, where.line, piece.digest(), shape, text)

    def _start(self, ordinal: int, file: str, line: int, *further: str) -> None:
        key = (self.history, self.file.version, self.direction, ordinal)
        self.ledger.rows(statements.START_PIECE, *key, self.run, file, line, *further)

    def finish(self, ordinal: int) -> None:
        """Record that a statement is done."""
        self.ledger.rows(statements.FINISH_PIECE, *self._key(), ordinal)

    def forget(self, ordinal: int) -> None:
        """Record that a statement had no effect."""
        self.ledger.rows(statements.FORGET_PIECE, *self._key(), ordinal)

    def clear(self) -> None:
        """Record that the file is over."""
        self.ledger.rows(statements.FORGET_PIECES, *self._key())

    def _key(self) -> tuple[str, str, str]:
        return self.history, self.file.version, self.direction


def _entry(row: tuple[object, ...]) -> Entry:
    ordinal, file, line, digest, state, shape, text = row
    told = json.loads(str(text))
    return Entry(
        int(str(ordinal)),
        str(file),
        int(str(line)),
        str(digest),
        state == "done",
        str(shape),
        tuple(CatalogObject(*words) for words in told["known"]),
        tuple(CatalogObject(*words) for words in told.get("gone", ())),
        told.get("note", ""),
    )


def _words(objects: Iterable[CatalogObject]) -> list[list[str]]:
    return [[each.kind, each.schema, each.name, each.part] for each in sorted(objects)]


def shape_of(session: Session, piece: Piece) -> str:
    """Return the digest of all that a statement names, as the server would make it again.

    DDL is atomic from 10.6 on: the shape tells whether a statement whose end nobody heard took
    effect.
    """
    digest = hashlib.sha256()
    for kind, name in sorted({("TABLE", each) for each in piece.tables} | _stored(piece)):
        digest.update(f"{kind} {name} {_shown(session, kind, name)}\0".encode())
    return digest.hexdigest()


def _stored(piece: Piece) -> set[tuple[str, str]]:
    """Return what a statement names besides tables; a routine may be of either kind."""
    objects = (*piece.makes, *piece.takes)
    routines = {each.name for each in objects if each.kind == "function"}
    return {
        *((kind, name) for kind in ("FUNCTION", "PROCEDURE") for name in routines),
        *(("TRIGGER", each.part) for each in objects if each.kind == "trigger"),
        *(("EVENT", each.name) for each in objects if each.kind == "event"),
    }


def _shown(session: Session, kind: str, name: str) -> str:
    try:
        rows = own(session, show_create(kind, name))
    except pymysql.MySQLError as error:
        if not read_error(error).code:
            raise
        return "-"
    return _NEXT_NUMBER.sub("", "|".join(str(each) for each in rows[0])) if rows else "-"


def names_something(piece: Piece) -> bool:
    """Return whether a statement names anything whose shape can be asked for."""
    return bool(piece.tables or piece.makes or piece.takes)
