"""The exchange on MariaDB, cut off at each of its steps: all tables are old, or all are new."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.db.mariadb_checkpoint_desk import Station, again, station
from tests.db.test_mariadb_checkpoint import make_users
from tests.mariadb import MariaDB, create_database, running_mariadb, start_again, stop_hard
from whimbrel.model.errors import WhimbrelError
from whimbrel.runner.checkpoint.mariadb import exchange, keys, restore
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session

GO = "the name is made"
# A function of a module or class, and whether the blow comes behind it.
STEPS = {
    "the tables are free": (restore, "read_counters", False),
    "the rename waits": (restore, "_complete", False),
    "the copies are ready": (restore, "_complete", True),
    GO: (),
    "it is done": (exchange.Taken, "let_through", True),
    "failed tables have no keys": (restore, "free_kept", True),
    "children of others are changed": (restore, "link_children", True),
    "others point at the new ones": (restore, "_expect_nothing_slipped", False),
    "keys have their places": (keys, "until_unlocked", False),
    "keys have their names": (restore, "settle", True),
}


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
            self.strike(GO)


def at(step: str, blow: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
    """Strike at a step of the exchange, once."""
    done: list[str] = []

    def strike(here: str) -> None:
        if here == step and not done:
            done.append(here)
            blow()

    def struck(plain: Callable, *given: object, **named: object) -> object:
        if not is_behind:
            strike(step)
        found = plain(*given, **named)
        if is_behind:
            strike(step)
        return found

    def let_through(taken: exchange.Taken) -> None:
        plain_work, taken.work = taken.work, Looking(taken.work, strike)
        try:
            plain_let_through(taken)
        finally:
            taken.work = plain_work

    if step != GO:
        owner, name, is_behind = STEPS[step]
        plain = getattr(owner, name)
        patch.setattr(owner, name, lambda *given, **named: struck(plain, *given, **named))
        return
    plain_let_through = exchange.Taken.let_through
    patch.setattr(exchange.Taken, "let_through", let_through)


ALL = {f"n{n}" for n in range(20)}


ORDERS = (
    "CREATE TABLE orders (id int PRIMARY KEY, what varchar(20), user bigint DEFAULT 1,"
    " shop int DEFAULT 1, CONSTRAINT of_user FOREIGN KEY (user) REFERENCES users (id),"
    " FOREIGN KEY (shop) REFERENCES shops (id))"
)
ITEMS = "CREATE TABLE items (id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES orders (id))"


def prepare(place: Station) -> dict[str, str]:
    """Open a checkpoint of two tables, damage both, and write to both; return how all are defined.

    They are linked, one refers to a table that is not covered, and one of these to it.
    """
    place.deploy.run("CREATE TABLE shops (id int PRIMARY KEY)")
    place.deploy.run("INSERT INTO shops VALUES (1)")
    place.deploy.run(ORDERS)
    place.deploy.run("INSERT INTO orders (id, what) VALUES (1, 'a'), (2, 'b')")
    place.deploy.run(ITEMS)
    place.deploy.run("INSERT INTO items VALUES (1, 1)")
    before = {each: place.definition(each) for each in ("users", "orders", "items")}
    place.open("users", "orders")
    place.migrate("UPDATE users SET name = 'wrong'", "ALTER TABLE orders DROP COLUMN what")
    place.app.run("UPDATE users SET credits = 70 WHERE id = 7")
    place.app.run("INSERT INTO orders (id) VALUES (3)")
    return before


KEYS = (
    "SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
    " WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL"
    " AND TABLE_NAME IN ('orders', 'items')"
)


def expect_old_or_new(place: Station) -> bool:
    """Check that both tables are as the migration left them, or both as before; tell which.

    No key is gone at any step; that of a table which is not covered may be there twice.
    """
    names = {name for (name,) in place.deploy.run("SELECT name FROM users")}
    columns = len(place.deploy.run("SHOW COLUMNS FROM orders"))
    assert (names, columns) in [({"wrong"}, 3), (ALL, 4)]
    keys = set(place.deploy.run(KEYS))
    assert {("orders", "user", "users"), ("orders", "shop", "shops")} <= keys
    ends = {end for table, _, end in keys if table == "items"}
    assert "orders" in ends
    assert all(end == "orders" or "_kept_" in end or "_clone_" in end for end in ends)
    return columns == 4


def expect_restored(place: Station, before: dict[str, str]) -> None:
    assert expect_old_or_new(place)
    assert {each: place.definition(each) for each in before} == before
    assert place.deploy.run("SELECT id FROM users WHERE credits <> 7") == [(7,)]
    rows = place.deploy.run("SELECT id, what FROM orders")
    assert rows == [(1, "a"), (2, "b"), (3, None)]
    place.app.run("INSERT INTO items VALUES (3, 3)")
    place.app.run("INSERT INTO shops VALUES (2)")
    place.app.run("DELETE FROM shops WHERE id = 2")
    place.discard()
    assert place.left() == []


@pytest.mark.sampled("an exchange on MariaDB that is cut off")
@pytest.mark.parametrize("step", STEPS)
def test_a_runner_that_ends_in_the_exchange(
    mariadb: MariaDB, step: str, monkeypatch: pytest.MonkeyPatch
):
    make_users(mariadb)
    with station(mariadb) as place:
        before = prepare(place)

        def blow() -> None:
            raise CutOffError

        with monkeypatch.context() as patch:
            at(step, blow, patch)
            with pytest.raises(CutOffError):
                place.restore()
        expect_old_or_new(place)
        with again(place) as later:
            later.restore()
            expect_restored(later, before)


@pytest.mark.sampled("an exchange on MariaDB that is cut off")
@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_stops_hard_in_the_exchange(step: str, monkeypatch: pytest.MonkeyPatch):
    with running_mariadb("--innodb-flush-log-at-trx-commit=1") as server:
        database = create_database(server, "shop")
        make_users(database)
        with station(database) as place:
            before = prepare(place)
            with monkeypatch.context() as patch:
                at(step, lambda: stop_hard(server), patch)
                with pytest.raises((WhimbrelError, *SERVER_ERRORS)):
                    place.restore()
        start_again(server)
        expect_old_or_new(place)
        with again(place) as later:
            later.restore()
            expect_restored(later, before)


def test_a_statement_of_a_server_that_is_gone_needs_no_end():
    """What was said instead was no error of a server, and hid the one that mattered."""
    with running_mariadb() as server, station(create_database(server, "shop")) as place:
        session = place.desk.session
        stop_hard(server)
        with pytest.raises(SERVER_ERRORS):
            session.cancel_safe(timeout=1.0)
        start_again(server)
