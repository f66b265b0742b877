"""What is rare in an application on MariaDB, and had been lost, refused or heard by it."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.db.mariadb_checkpoint_desk import Station, application, station
from tests.db.test_mariadb_checkpoint import make_users
from tests.mariadb import MariaDB
from whimbrel.model.errors import HeldError, RefusedError

pytestmark = pytest.mark.sampled("what is rare on MariaDB")


def as_the_copy_begins(place: Station, act: Callable[[], None]) -> None:
    """Let an application write when the triggers are there and the copy is not."""

    def tell(line: str) -> None:
        if "copying" in line:
            act()

    place.desk = replace(place.desk, tell=tell)


def test_keys_that_moved_before_the_copy_do_not_move_again(mariadb: MariaDB):
    mariadb.run("CREATE TABLE slots (place int PRIMARY KEY, what varchar(9))")
    mariadb.run("INSERT INTO slots VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
    with station(mariadb) as place:

        def act() -> None:
            place.app.run("DELETE FROM slots WHERE place = 2")
            place.app.run("UPDATE slots SET place = place - 1 WHERE place > 2 ORDER BY place")

        as_the_copy_begins(place, act)
        place.open("slots")
        place.app.run("UPDATE slots SET what = 'new' WHERE place = 4")
        place.migrate("DELETE FROM slots")
        place.restore()
        rows = place.deploy.run("SELECT place, what FROM slots ORDER BY place")
        assert list(rows) == [(1, "a"), (2, "c"), (3, "d"), (4, "new")]
        assert place.conflicts() == []


def test_nothing_is_silent_about_rows_whose_keys_the_migration_has_changed(mariadb: MariaDB):
    mariadb.run("CREATE TABLE slots (place int PRIMARY KEY, what varchar(9))")
    mariadb.run("INSERT INTO slots VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
    with station(mariadb) as place:
        place.open("slots")
        place.migrate(
            "UPDATE slots SET place = place + 100 WHERE place < 4",
            "DELETE FROM slots WHERE place > 100 AND what = 'c'",
        )
        place.app.run("DELETE FROM slots WHERE place = 101")
        place.app.run("UPDATE slots SET what = 'mine' WHERE place = 102")
        place.app.run("INSERT INTO slots VALUES (1, 'anew'), (3, 'anew')")
        place.app.run("UPDATE slots SET place = 31 WHERE place = 3")
        place.restore()
        rows = place.deploy.run("SELECT place, what FROM slots ORDER BY place")
        assert list(rows) == [(1, "anew"), (2, "b"), (4, "d"), (5, "e"), (31, "anew")]
        assert place.conflicts() == [
            ("MigrationRowDeleted", {"place": "101"}, "", None),
            ("MigrationRow", {"place": "102"}, "", '{"place": null, "what": "mine"}'),
            ("ReplacedRow", {"place": "1"}, "", '{"place": "1", "what": "a"}'),
            ("ReplacedRow", {"place": "3"}, "", '{"place": "3", "what": "c"}'),
        ]


def test_a_unique_value_may_have_had_many_rows_before_the_copy(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:

        def act() -> None:
            for n in range(3):
                place.app.run("REPLACE INTO users (name, mail) VALUES (%s, '3@x')", f"r{n}")

        as_the_copy_begins(place, act)
        place.open("users")
        expected = place.deploy.run("SELECT * FROM users ORDER BY id")
        place.restore()
        assert place.deploy.run("SELECT * FROM users ORDER BY id") == expected


def test_an_empty_copy_has_seen_what_emptied_the_table(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:

        def act() -> None:
            place.app.run("UPDATE users SET credits = 1")
            place.app.run("DELETE FROM users")

        as_the_copy_begins(place, act)
        assert place.open("users").tables[0].rows == 0
        place.restore()
        assert place.conflicts() == []


def test_a_write_that_is_open_while_the_copy_is_made_is_replayed(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        session = place.app.connect()
        cursor = session.cursor()

        def act() -> None:
            cursor.execute("BEGIN")
            cursor.execute("UPDATE users SET credits = 1 WHERE id = 1")
            place.app.run("UPDATE users SET credits = 2 WHERE id = 2")

        as_the_copy_begins(place, act)
        place.open("users")
        session.commit()
        place.migrate("UPDATE users SET credits = 50")
        place.restore()
        rows = place.deploy.run("SELECT id, credits FROM users WHERE id < 4 ORDER BY id")
        assert list(rows) == [(1, 1), (2, 2), (3, 7)]


def test_a_clock_that_the_application_has_set_hides_no_write(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        late = place.app.connect(init_command="SET timestamp = 2000000000")
        with late, late.cursor() as cursor:
            cursor.execute("UPDATE users SET credits = 3 WHERE id = 3")
        place.restore()
        assert place.deploy.run("SELECT credits FROM users WHERE id = 3") == [(3,)]


def test_a_time_in_the_key_is_the_same_moment_in_each_zone(mariadb: MariaDB):
    mariadb.run("CREATE TABLE heard (at timestamp(3) PRIMARY KEY, n int)")
    mariadb.run("INSERT INTO heard VALUES ('2024-01-01 00:00:00.5', 1), ('2024-01-01 05:30:00', 5)")
    with station(mariadb) as place:
        place.open("heard")
        session = place.app.connect(init_command="SET time_zone = '+05:30', sql_mode = ''")
        with session, session.cursor() as cursor:
            cursor.execute("UPDATE heard SET n = 2 WHERE n = 1")
            cursor.execute("INSERT INTO heard VALUES ('2025-01-01', 9), (0, 0)")
            cursor.execute("UPDATE heard SET n = 10 WHERE n = 0")
            cursor.execute("DELETE FROM heard WHERE n = 5")
        expected = place.deploy.run("SELECT at + 0, n FROM heard ORDER BY n")
        place.migrate("UPDATE heard SET n = 100")
        place.restore()
        assert place.deploy.run("SELECT at + 0, n FROM heard ORDER BY n") == expected
        assert place.conflicts() == []


def test_names_of_our_own_loops_are_free_for_columns(mariadb: MariaDB):
    name = "tä`b.le " + "x" * 56
    quoted = "`" + name.replace("`", "``") + "`"
    mariadb.run(
        f"CREATE TABLE {quoted} (r varchar(9), n1 int, j int, bad int, PRIMARY KEY (r, n1))"
    )
    mariadb.run(f"INSERT INTO {quoted} VALUES ('a', 1, 1, 1), ('b ', 2, 2, 2)")
    with station(mariadb) as place:
        place.open(name)
        place.app.run(f"UPDATE {quoted} SET r = 'A', j = 5 WHERE n1 = 1")
        place.app.run(f"UPDATE {quoted} SET r = 'b', bad = 7 WHERE n1 = 2")
        place.migrate(f"UPDATE {quoted} SET j = 9")
        place.restore()
        rows = place.deploy.run(f"SELECT * FROM {quoted} ORDER BY n1")
        assert list(rows) == [("A", 1, 5, 1), ("b", 2, 2, 7)]


def test_a_journal_has_its_size_whatever_numbers_the_application_skips(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users", max_journal=2**17)
        ((journal,),) = place.deploy.run("SHOW TABLES LIKE '%\\_journal\\_%'")
        session = place.app.connect(init_command="SET auto_increment_increment = 2")
        with session, session.cursor() as cursor:
            for number in range(1500):
                cursor.execute("INSERT INTO users (name) VALUES (%s)", (f"{number}" * 10,))
        ((count,),) = place.deploy.run(f"SELECT COUNT(*) FROM `{journal}`")
        assert count < 1300


def test_rights_that_a_role_gives_are_refused_as_triggers_have_none(mariadb: MariaDB):
    make_users(mariadb)
    application(mariadb)
    admin, who, role = mariadb.admin(), f"`{mariadb.user}`@'127.0.0.1'", f"role_{mariadb.user}"
    with station(mariadb) as place:
        admin.run(f"CREATE ROLE {role}")
        admin.run(f"GRANT ALL ON `{mariadb.dbname}`.* TO {role}")
        admin.run(f"REVOKE ALL ON `{mariadb.dbname}`.* FROM {who}")
        admin.run(f"GRANT {role} TO {who}")
        admin.run(f"SET DEFAULT ROLE {role} FOR {who}")
        with pytest.raises(RefusedError) as refused:
            place.open("users")
        assert refused.value.reason == "CaptureNotAllowed"
        place.app.run("UPDATE users SET credits = 3 WHERE id = 3")


def test_a_prepared_transaction_whose_session_is_gone_is_waited_for(mariadb: MariaDB):
    make_users(mariadb)
    prepared = f"'{mariadb.dbname}'"
    with station(mariadb) as place:
        session = place.app.connect()
        with session, session.cursor() as cursor:
            cursor.execute(f"XA START {prepared}")
            cursor.execute("UPDATE users SET credits = 3 WHERE id = 3")
            cursor.execute(f"XA END {prepared}")
            cursor.execute(f"XA PREPARE {prepared}")
        end = threading.Timer(3.0, place.app.run, (f"XA COMMIT {prepared}",))
        end.start()
        place.open("users")
        end.join()
        place.restore()
        assert place.deploy.run("SELECT credits FROM users WHERE id = 3") == [(3,)]


def test_no_table_is_held_for_long_while_another_is_waited_for(mariadb: MariaDB):
    make_users(mariadb)
    mariadb.run("CREATE TABLE zoo (n int PRIMARY KEY)")
    waits, over = [], threading.Event()
    with station(mariadb) as place:
        place.open("users", "zoo")
        session = place.app.connect()
        session.begin()
        session.cursor().execute("SELECT * FROM zoo")

        def read_users() -> None:
            while not over.is_set():
                start = time.monotonic()
                place.app.run("SELECT 1 FROM users LIMIT 1")
                waits.append(time.monotonic() - start)

        reader, end = threading.Thread(target=read_users), threading.Timer(4.5, session.rollback)
        reader.start()
        end.start()
        place.restore()
        over.set()
        reader.join()
        end.join()
        assert max(waits) < 3.0


def test_nothing_stays_of_a_checkpoint_that_the_server_refuses(mariadb: MariaDB):
    make_users(mariadb)
    columns = ", ".join(f"c{n} int" for n in range(510))
    mariadb.run(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
    with station(mariadb) as place:
        with pytest.raises(RefusedError) as refused:
            place.open("users", "wide")
        assert "too many columns" in refused.value.message
        assert place.left() == []


def test_dates_that_no_calendar_has_come_back(mariadb: MariaDB):
    mariadb.run("CREATE TABLE days (id int PRIMARY KEY, d date, t datetime, at timestamp NULL)")
    odd = "'2024-02-31', '2024-00-31 10:00:00', 0"
    with station(mariadb) as place:
        session = place.app.connect(init_command="SET sql_mode = 'ALLOW_INVALID_DATES'")
        with session, session.cursor() as cursor:
            cursor.execute(f"INSERT INTO days VALUES (1, {odd}), (2, NULL, NULL, NULL)")
            place.open("days")
            cursor.execute(f"INSERT INTO days VALUES (3, {odd})")
            cursor.execute("UPDATE days SET d = '2023-02-29', t = 0, at = 0 WHERE id = 2")
        told = "SELECT id, d + 0, t + 0, at + 0 FROM days ORDER BY id"
        expected = place.deploy.run(told)
        place.restore()
        assert place.deploy.run(told) == expected
        assert place.conflicts() == []


@pytest.mark.sampled("what waits for a clock")
def test_a_restore_that_waits_for_a_gap_keeps_its_sessions(mariadb: MariaDB):
    """The server ends ours when they are idle for 30 seconds."""
    make_users(mariadb)
    over = threading.Event()
    with station(mariadb) as place:
        place.open("users")
        session = place.app.connect()
        session.begin()
        session.cursor().execute("SELECT * FROM users")

        def beat() -> None:
            while not over.wait(5.0):  # as the worker's heartbeat does
                place.desk.session.ask("SELECT 1", ())

        heart, end = threading.Thread(target=beat), threading.Timer(35.0, session.rollback)
        heart.start()
        end.start()
        try:
            place.restore()
        finally:
            over.set()
            heart.join()
            end.join()


def two_tables(mariadb: MariaDB) -> None:
    make_users(mariadb)
    mariadb.run("CREATE TABLE more (id bigint PRIMARY KEY)")
    mariadb.run("INSERT INTO more SELECT id FROM users")


def test_a_foreign_key_that_the_migration_added_goes(mariadb: MariaDB):
    two_tables(mariadb)
    with station(mariadb) as place:
        place.open("users", "more")
        place.migrate("ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES more (id)")
        place.app.run("UPDATE users SET credits = 3 WHERE id = 3")
        expected = place.deploy.run("SELECT * FROM users ORDER BY id")
        place.restore()
        assert place.deploy.run("SELECT * FROM users ORDER BY id") == expected
        asked = "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS"
        named = " WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = 'users'"
        assert list(place.deploy.run(asked + named)) == [(0,)]


def test_a_foreign_key_that_changes_rows_by_itself_is_noticed(mariadb: MariaDB):
    two_tables(mariadb)
    cascade = "ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES more (id) ON DELETE CASCADE"
    with station(mariadb) as place:
        place.open("users", "more")
        place.migrate(cascade)
        with pytest.raises(HeldError, match="fires no trigger") as held:
            place.restore()
        assert held.value.reason == "CaptureBroken"
