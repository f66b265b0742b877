"""The exchange on MariaDB, cut off at each of its steps: all tables are old, or all are new."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.db.mariadb_checkpoint_desk import Station, again, station
from tests.db.test_mariadb_checkpoint import make_users
from tests.mariadb import MariaDB, create_database, running_mariadb, start_again, stop_hard
from whimbrel.model.errors import WhimbrelError
from whimbrel.planning.dialects.mariadb_checkpoint import Names
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.mariadb import exchange, restore
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session

STEPS = ("the tables are held", "the rename waits", "the name is made", "the last is given back",
         "it is done")  # fmt: skip


class CutOffError(Exception):
    """What a test throws where a runner would be killed."""


@dataclass
class Looking:
    """The session that looks whether the rename waits, and makes the name that it needs."""

    session: Session
    strike: Callable[[str], None]

    def run(self, text: str) -> None:
        """Strike behind the statement that makes the name."""
        self.session.run(text)
        if text.startswith("CREATE TABLE"):
            self.strike(STEPS[2])


def at(step: str, blow: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
    """Strike at a step of the exchange, once."""
    done: list[str] = []

    def strike(here: str) -> None:
        if here == step and not done:
            done.append(here)
            blow()

    rename, hand_over = exchange.rename, exchange._hand_over
    awaited, slipped = exchange._awaited, restore._expect_nothing_slipped

    def renamed(names: Names, statement: str, sessions: dict, desk: Desk, look: Session) -> None:
        strike(STEPS[0])
        rename(names, statement, sessions, desk, Looking(look, strike))

    def seen(*given: object) -> str:
        found = awaited(*given)
        strike(STEPS[1])
        return found

    def handed_over(*given: object) -> None:
        hand_over(*given)
        strike(STEPS[3])

    def looked(*given: object) -> None:
        strike(STEPS[4])
        slipped(*given)

    patch.setattr(restore, "rename", renamed)
    patch.setattr(exchange, "_awaited", seen)
    patch.setattr(exchange, "_hand_over", handed_over)
    patch.setattr(restore, "_expect_nothing_slipped", looked)


ALL = {f"n{n}" for n in range(20)}


def prepare(place: Station) -> None:
    """Open a checkpoint of two tables, damage both, and write to both."""
    place.deploy.run("CREATE TABLE orders (id int PRIMARY KEY, what varchar(20))")
    place.deploy.run("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
    place.open("users", "orders")
    place.migrate("UPDATE users SET name = 'wrong'", "ALTER TABLE orders DROP COLUMN what")
    place.app.run("UPDATE users SET credits = 70 WHERE id = 7")
    place.app.run("INSERT INTO orders VALUES (3)")


def expect_old_or_new(place: Station) -> bool:
    """Check that both tables are as the migration left them, or both as before; tell which."""
    names = {name for (name,) in place.deploy.run("SELECT name FROM users")}
    columns = len(place.deploy.run("SHOW COLUMNS FROM orders"))
    assert (names, columns) in [({"wrong"}, 1), (ALL, 2)]
    return columns == 2


def expect_restored(place: Station) -> None:
    assert expect_old_or_new(place)
    assert place.deploy.run("SELECT id FROM users WHERE credits <> 7") == [(7,)]
    assert place.deploy.run("SELECT * FROM orders") == [(1, "a"), (2, "b"), (3, None)]
    place.discard()
    assert place.left() == []


@pytest.mark.sampled("an exchange on MariaDB that is cut off")
@pytest.mark.parametrize("step", STEPS)
def test_a_runner_that_ends_in_the_exchange(
    mariadb: MariaDB, step: str, monkeypatch: pytest.MonkeyPatch
):
    make_users(mariadb)
    with station(mariadb) as place:
        prepare(place)

        def blow() -> None:
            raise CutOffError

        with monkeypatch.context() as patch:
            at(step, blow, patch)
            with pytest.raises(CutOffError):
                place.restore()
        expect_old_or_new(place)
        with again(place) as later:
            later.restore()
            expect_restored(later)


@pytest.mark.sampled("an exchange on MariaDB that is cut off")
@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_stops_hard_in_the_exchange(step: str, monkeypatch: pytest.MonkeyPatch):
    with running_mariadb("--innodb-flush-log-at-trx-commit=1") as server:
        database = create_database(server, "shop")
        make_users(database)
        with station(database) as place:
            prepare(place)
            with monkeypatch.context() as patch:
                at(step, lambda: stop_hard(server), patch)
                with pytest.raises((WhimbrelError, *SERVER_ERRORS)):
                    place.restore()
        start_again(server)
        expect_old_or_new(place)
        with again(place) as later:
            later.restore()
            expect_restored(later)


def test_a_statement_of_a_server_that_is_gone_needs_no_end():
    """What was said instead was no error of a server, and hid the one that mattered."""
    with running_mariadb() as server, station(create_database(server, "shop")) as place:
        session = place.desk.session
        stop_hard(server)
        with pytest.raises(SERVER_ERRORS):
            session.cancel_safe(timeout=1.0)
        start_again(server)
