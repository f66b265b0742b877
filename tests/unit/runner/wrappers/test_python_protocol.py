"""What stands in front of every wrapper in Python: how it tells of an error."""

import pytest

from tests.quoted_values import of_each
from whimbrel.runner.wrappers.python_protocol import told_by


class DriversError(Exception):
    """An error as psycopg raises it, with further lines of the server's."""

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(f"{text}\nLINE 1: SELECT '4711'\nDETAIL:  4711")
        self.sqlstate = sqlstate


class LibrarysError(Exception):
    """An error as SQLAlchemy wraps it."""

    def __init__(self, orig: DriversError) -> None:
        super().__init__(f"(psycopg.errors.InvalidTextRepresentation) {orig}\n[SQL: SELECT]")
        self.orig = orig


@of_each
def test_what_is_quoted_of_a_row_is_cut(sqlstate: str, text: str, shown: str):
    error = DriversError(sqlstate, text)
    assert told_by(error) == shown
    prefix = "(psycopg.errors.InvalidTextRepresentation) "
    assert told_by(LibrarysError(error)) == prefix + shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('invalid input syntax for type json: "4711"', "invalid input syntax for type json: …"),
        ("invalid input for query argument $1: 4711 (expected str, got int)",
         "invalid input for query argument $1: …"),
    ],
    ids=["the server's", "the driver's own"],
)  # fmt: skip
def test_what_asyncpg_quotes_is_cut(text: str, shown: str):
    named = "(sqlalchemy.asyncpg.Error) <class 'asyncpg.exceptions.DataError'>: "
    assert told_by(DriversError("22000", named + text)) == named + shown
