"""What takes back the done part of a file, and what is left to a person."""

import pytest

from whimbrel.model.steps import CatalogObject, Piece
from whimbrel.planning.dialects.mariadb_sql import read_sql
from whimbrel.planning.dialects.mariadb_undo import Half, undo_of


def pieces(text: str) -> tuple[Piece, ...]:
    return tuple(each.tree for each in read_sql("f.sql", text, "whimbrel").parsed)


def objects(*words: str) -> frozenset[CatalogObject]:
    """Return tables ("a") and columns ("a.b")."""
    found = []
    for word in words:
        table, _, column = word.partition(".")
        kind = "column" if column else "table"
        found.append(CatalogObject(kind, "shop", table, column))
    return frozenset(found)


BEFORE = objects("users", "users.id", "users.name")
UP = "CREATE TABLE a (id int);\nALTER TABLE users ADD COLUMN b int;\nINSERT INTO nowhere VALUES (1)"


@pytest.mark.parametrize(
    ("up", "done", "now", "down", "chosen"),
    [
        pytest.param(
            UP, 2, ("a", "a.id", "users.b"),
            "ALTER TABLE users DROP COLUMN b;DROP TABLE a", [1, 2], id="all that was done",
        ),
        pytest.param(
            UP, 1, ("a", "a.id"),
            "ALTER TABLE users DROP COLUMN b;DROP TABLE a", [2], id="no more than was done",
        ),
        pytest.param(
            UP, 2, ("a", "a.id", "users.b"),
            "DROP TABLE users;DROP TABLE a", "cannot be told", id="never what is older",
        ),
        pytest.param(
            "RENAME TABLE users TO people;SELECT x", 1, ("people", "people.id"),
            "RENAME TABLE people TO users", [1], id="a rename back",
        ),
        pytest.param(
            "RENAME TABLE users TO people;SELECT x", 1, ("people", "people.id"),
            "DROP TABLE people", "cannot be told", id="never older rows under a new name",
        ),
        pytest.param(
            "DROP TABLE users;SELECT x", 1, None,
            "CREATE TABLE users (id int)", [1], id="what was dropped is made again",
        ),
        pytest.param(
            "UPDATE users SET name = 'x';SELECT x", 1, (),
            "SELECT 1;UPDATE users SET name = 'y'", [2], id="rows by the mirrored statement",
        ),
        pytest.param(
            "UPDATE users SET name = 'x';SELECT x", 1, (),
            "UPDATE users SET name = 'y'", "cannot be told", id="rows without a mirror",
        ),
        pytest.param(
            "UPDATE users SET name = 'x';ALTER TABLE users ADD b int;SELECT x", 2, ("users.b",),
            "ALTER TABLE users DROP COLUMN b", "did to rows", id="changed rows that nothing undoes",
        ),
        pytest.param(
            "CREATE TABLE a (id int);INSERT INTO a VALUES (1);SELECT x", 2, ("a", "a.id"),
            "DELETE FROM a;DROP TABLE a", [2], id="rows of a table that goes",
        ),
        pytest.param(UP, 2, ("a", "a.id", "users.b"), None, "no down file", id="no down file"),
    ],
)  # fmt: skip
def test_undo(up: str, done: int, now: tuple[str, ...] | None, down: str | None, chosen):
    kept = BEFORE if "RENAME" not in up else objects()
    there = frozenset() if now is None else kept | objects(*now)
    back = None if down is None else pieces(down)
    found = undo_of(Half(pieces(up), done, BEFORE, there), back)
    if isinstance(chosen, str):
        assert chosen in found.problem
    else:
        assert (found.problem, found.pieces) == ("", tuple(back[each - 1] for each in chosen))
