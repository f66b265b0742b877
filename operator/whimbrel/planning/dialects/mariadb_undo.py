"""Which statements of a down file take back what was done of its up file, and no more."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from whimbrel.model.steps import CatalogObject, Commits, Piece

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Undo:
    """The way back of a file that failed.

    Attributes:
        pieces: Statements of the down file, in its order.
        problem: Why there is none that is safe, or "".
    """

    pieces: tuple[Piece, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Half:
    """A file of which a part was done.

    Attributes:
        pieces: All of it.
        done: How many of them were done, in order; statements for the session count too.
        before: What the database held before the file.
        now: What it holds now.
    """

    pieces: tuple[Piece, ...]
    done: int
    before: frozenset[CatalogObject]
    now: frozenset[CatalogObject]


def undo_of(half: Half, down: Sequence[Piece] | None) -> Undo:
    """Return what takes back the done part.

    A statement that drops or renames things runs only if all of them are new since the file began,
    and is left out if none of them is there. One that names no such thing (DELETE, MODIFY) belongs
    to the statement at the same place from the other end, if both files have the same number.
    """
    if down is None:
        return Undo(problem="there is no down file")
    answers = _answers(half, down)
    chosen: list[Piece] = []
    for place, piece in enumerate(down):
        needed = _is_needed(piece, answers.get(place), half)
        if needed is None:
            return Undo(problem=_doubt(piece))
        if needed:
            chosen.append(piece)
    problem = _rows_left(half, {up for place, up in answers.items() if down[place] in chosen})
    return Undo(problem=problem) if problem else Undo(tuple(chosen))


def _answers(half: Half, down: Sequence[Piece]) -> dict[int, int]:
    """Return for each statement of the way back which one it answers, where that can be told."""
    ups = [n for n, each in enumerate(half.pieces) if each.commits is not Commits.SESSION]
    downs = [n for n, each in enumerate(down) if each.commits is not Commits.SESSION]
    return dict(zip(downs, reversed(ups), strict=True)) if len(ups) == len(downs) else {}


def _is_needed(piece: Piece, answered: int | None, half: Half) -> bool | None:
    """Return whether a statement of the way back has to run; None where nobody can tell."""
    if piece.commits is Commits.SESSION:
        return True
    if piece.takes:
        return _takes_back(piece, half)
    if piece.makes:
        return _makes_again(piece, half)
    if answered is not None:
        return answered < half.done
    # With the table its rows go.
    return False if piece.tables and _all_new(piece.tables, half) else None


def _takes_back(piece: Piece, half: Half) -> bool | None:
    takes, there = _keys(piece.takes), _keys(half.now)
    if not takes & there:
        return False
    renames = bool(piece.makes)
    return True if takes <= _new(half, with_moved=renames) else None


def _makes_again(piece: Piece, half: Half) -> bool | None:
    makes, there = _keys(piece.makes), _keys(half.now)
    if makes <= there:
        return False
    return True if makes <= _keys(half.before) and not makes & there else None


def _new(half: Half, *, with_moved: bool) -> set[Key]:
    """Return what is there and was not before; a thing that was renamed holds older rows."""
    new = _keys(half.now) - _keys(half.before)
    if with_moved:
        return new
    moved = (each.makes for each in half.pieces[: half.done] if each.takes)
    return new - {key for makes in moved for key in _keys(makes)}


def _all_new(tables: Sequence[str], half: Half) -> bool:
    return {("table", name.lower(), "") for name in tables} <= _new(half, with_moved=False)


def _rows_left(half: Half, answered: Collection[int]) -> str:
    """Return why changed rows would stay, or ""; the done statements with these numbers do not."""
    for number, piece in enumerate(half.pieces[: half.done]):
        gone = bool(piece.tables) and _all_new(piece.tables, half)
        if piece.writes and not gone and number not in answered:
            where = f"{piece.statement.file}, line {piece.statement.line}"
            return f"what {where} did to rows is not taken back by the down file"
    return ""


def _doubt(piece: Piece) -> str:
    place = f"{piece.statement.file}, line {piece.statement.line}"
    return f"whether {place} belongs to the part that was done cannot be told"


def _keys(items: Iterable[CatalogObject]) -> set[Key]:
    # Names of columns know no case, and a file seldom names its own database.
    return {(each.kind, each.name.lower(), each.part.lower()) for each in items}
