"""What an application on MariaDB does while a checkpoint is open: never disturbed, never missed."""

import json
import threading
import time

import pytest

from tests.db.mariadb_checkpoint_desk import station
from tests.db.test_mariadb_checkpoint import make_users
from tests.mariadb import MariaDB
from whimbrel.model.errors import HeldError
from whimbrel.runner.checkpoint.manifest import State

pytestmark = pytest.mark.sampled("a write on MariaDB since a checkpoint")


def test_the_numbers_of_a_journal_are_in_the_order_of_the_writes_to_each_row(mariadb: MariaDB):
    """A statement of many rows takes a number for each row when it writes it, not before."""
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        slow = "UPDATE users SET credits = 100 + SLEEP(0.5) WHERE id IN (1, 2, 3, 4, 5, 6)"
        thread = threading.Thread(target=place.app.run, args=(slow,))
        thread.start()
        ((journal,),) = place.deploy.run("SHOW TABLES LIKE '%\\_journal\\_%'")
        time.sleep(1.7)  # it sleeps before its fourth row
        place.app.run("UPDATE users SET credits = 1 WHERE id IN (6)")
        place.app.run("UPDATE users SET name = 'mine' WHERE id IN (6)")
        thread.join()
        rows = place.deploy.run(f"SELECT n4, n2 FROM `{journal}` WHERE o1 = 6 ORDER BY seq")
        assert list(rows) == [(1, None), (None, "mine"), (100, None)]
        place.restore()
        assert place.deploy.run("SELECT name, credits FROM users WHERE id = 6") == [("mine", 100)]


def test_what_the_application_is_told_is_its_own(mariadb: MariaDB):
    """Numbers, counts and warnings of the journal are none of the application's."""
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        with place.app.connect() as session, session.cursor() as cursor:
            cursor.execute("INSERT INTO users (name) VALUES ('a'), ('b')")
            assert (cursor.lastrowid, cursor.rowcount, cursor.warning_count) == (21, 2, 0)
            cursor.execute("SELECT LAST_INSERT_ID()")
            assert cursor.fetchall() == ((21,),)
            cursor.execute("UPDATE users SET credits = 3 WHERE id < 6")
            assert (cursor.rowcount, cursor.warning_count) == (5, 0)
            cursor.execute("SELECT LAST_INSERT_ID()")
            assert cursor.fetchall() == ((21,),)
            cursor.execute("DELETE FROM users WHERE id < 3")
            assert cursor.rowcount == 2


@pytest.mark.sampled("a change of a table on MariaDB")
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users DROP COLUMN mail",
        "ALTER TABLE users CHANGE mail email varchar(60)",
        "ALTER TABLE users MODIFY mail int",
        "ALTER TABLE users MODIFY credits varchar(30) NOT NULL DEFAULT '7'",
        "ALTER TABLE users DROP COLUMN mail, DROP COLUMN credits, ADD COLUMN mail blob",
        "ALTER TABLE users CHANGE id number bigint AUTO_INCREMENT",
        "ALTER TABLE users MODIFY id tinyint AUTO_INCREMENT",
        "ALTER TABLE users CONVERT TO CHARACTER SET latin1",
    ],
)
def test_no_change_of_a_table_makes_a_write_of_the_application_fail(mariadb: MariaDB, change: str):
    make_users(mariadb)
    mariadb.run("UPDATE users SET mail = NULL")
    with station(mariadb) as place:
        place.open("users")
        place.migrate(change)
        place.app.run("INSERT INTO users (name) VALUES ('new')")
        place.app.run("UPDATE users SET name = 'other' WHERE name = 'n3'")
        place.app.run("DELETE FROM users WHERE name = 'n4'")
        if "CHANGE id" in change:
            with pytest.raises(HeldError) as held:
                place.restore()
            assert held.value.reason == "CaptureBroken"
            assert "the migration changed its key" in held.value.message
            return
        place.restore()
        names = {name for (name,) in place.deploy.run("SELECT name FROM users")}
        assert names == {f"n{n}" for n in range(20) if n not in {3, 4}} | {"new", "other"}


def test_a_value_that_does_not_fit_is_on_record(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        place.migrate("ALTER TABLE users MODIFY name varchar(200), MODIFY credits decimal(9,2)")
        place.app.run("UPDATE users SET name = %s, credits = 1.25 WHERE id = 1", "x" * 100)
        place.restore()
        assert place.deploy.run("SELECT name, credits FROM users WHERE id = 1") == [("n0", 7)]
        assert place.conflicts() == [
            ("DoesNotFit", {"id": "1"}, "name", "x" * 100),
            ("DoesNotFit", {"id": "1"}, "credits", "1.25"),
        ]


def test_a_journal_has_its_size_and_the_application_goes_on(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users", max_journal=2**17)
        ((journal,),) = place.deploy.run("SHOW TABLES LIKE '%\\_journal\\_%'")
        with place.app.connect() as session, session.cursor() as cursor:
            for number in range(1500):
                cursor.execute("INSERT INTO users (name) VALUES (%s)", (f"{number}" * 10,))
        assert place.deploy.run("SELECT COUNT(*) FROM users") == [(1520,)]
        ((count,),) = place.deploy.run(f"SELECT COUNT(*) FROM `{journal}`")
        assert count < 1300
        with pytest.raises(HeldError) as held:
            place.restore()
        assert held.value.reason == "JournalFull"
        place.discard()
        assert place.left() == []


def test_the_triggers_do_nothing_when_its_time_is_over(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users", keep_for=1.0)
        ((journal,),) = place.deploy.run("SHOW TABLES LIKE '%\\_journal\\_%'")
        time.sleep(2.1)  # the time itself is what is tried
        place.app.run("UPDATE users SET credits = 3")
        assert place.deploy.run(f"SELECT COUNT(*) FROM `{journal}`") == [(0,)]
        with pytest.raises(HeldError) as held:
            place.expect()
        assert held.value.reason == "CheckpointExpired"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("DROP TRIGGER `{}`", "CaptureBroken"),
        ("ALTER TABLE users RENAME gone; CREATE TABLE users LIKE gone; DROP TABLE gone",
         "CaptureBroken"),
        ("UPDATE `{clone}` SET name = 'x' WHERE id = 1", "CheckpointDamaged"),
        ("DROP TABLE `{clone}`", "CheckpointDamaged"),
        ("ALTER TABLE `{clone}` DROP COLUMN mail", "CheckpointDamaged"),
    ],
)  # fmt: skip
def test_what_was_done_to_it_is_noticed_and_nothing_is_restored(
    mariadb: MariaDB, harm: str, reason: str
):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        triggers = [row[0] for row in place.deploy.run("SHOW TRIGGERS")]
        ((clone,),) = place.deploy.run("SHOW TABLES LIKE '%\\_clone\\_%'")
        for each in harm.split("; "):
            place.deploy.run(each.format(triggers[1], clone=clone))
        place.deploy.run("UPDATE users SET credits = 50")
        with pytest.raises(HeldError) as held:
            place.restore()
        assert held.value.reason == reason
        assert place.now().state is State.READY
        if place.deploy.run("SELECT COUNT(*) FROM users") != [(0,)]:
            assert place.deploy.run("SELECT DISTINCT credits FROM users") == [(50,)]
        place.discard()
        assert place.left() == []


def test_a_write_that_the_old_table_refuses_is_on_record_and_the_others_are_there(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        before = place.definition("users")
        place.open("users")
        place.migrate("ALTER TABLE users DROP KEY by_mail, MODIFY credits int NOT NULL DEFAULT 7")
        place.app.run("UPDATE users SET mail = 'same', name = 'other' WHERE id IN (1, 2)")
        place.app.run("UPDATE users SET credits = 8 WHERE id = 2")
        place.app.run("UPDATE users SET credits = -1 WHERE id = 3")
        place.app.run("UPDATE users SET name = 'fits' WHERE id = 3")
        place.app.run("INSERT INTO users (id, name, mail) VALUES (71, 'new', 'same')")
        place.app.run("UPDATE users SET name = 'newer' WHERE id = 71")
        place.app.run("UPDATE users SET id = 72, mail = 'same' WHERE id = 4")
        place.restore()
        assert place.definition("users") == before
        assert place.deploy.run("SELECT * FROM users WHERE id < 5 OR id > 20 ORDER BY id") == [
            (1, "other", "same", 7),
            (2, "n1", "1@x", 8),
            (3, "fits", "2@x", 7),
            (4, "n3", "3@x", 7),
        ]
        told = dict.fromkeys(("id", "name", "mail", "credits"))
        found = [(*each[:3], json.loads(each[3])) for each in place.conflicts()]
        assert found == [
            ("DoesNotFit", {"id": "2"}, "", told | {"mail": "same", "name": "other"}),
            ("DoesNotFit", {"id": "3"}, "", told | {"credits": "-1"}),
            (
                "DoesNotFit",
                {"id": "71"},
                "",
                {"id": "71", "name": "new", "mail": "same", "credits": "7"},
            ),
            ("MigrationRow", {"id": "71"}, "", told | {"name": "newer"}),
            ("DoesNotFit", {"id": "72"}, "", told | {"id": "72", "mail": "same"}),
        ]


def test_a_row_without_a_value_that_the_old_table_needs_is_on_record(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        place.migrate("ALTER TABLE users DROP COLUMN name")
        place.app.run("INSERT INTO users (mail) VALUES ('new')")
        place.app.run("UPDATE users SET credits = 8 WHERE id = 1")
        place.restore()
        assert place.deploy.run("SELECT id, credits FROM users WHERE credits > 7") == [(1, 8)]
        assert [each[:3] for each in place.conflicts()] == [("DoesNotFit", {"id": "21"}, "")]


def test_a_row_that_takes_a_key_of_before_and_does_not_fit_changes_no_other(mariadb: MariaDB):
    """What is written to it later is its own, and not that of the row which had its key."""
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        place.migrate("ALTER TABLE users DROP KEY by_mail", "DELETE FROM users WHERE id = 20")
        place.app.run("INSERT INTO users (id, name, mail) VALUES (20, 'new', '1@x')")
        place.app.run("UPDATE users SET name = 'newer' WHERE id = 20")
        place.restore()
        assert place.deploy.run("SELECT COUNT(*), MAX(id) FROM users") == [(19, 19)]
        kinds = ["ReplacedRow", "DoesNotFit", "MigrationRow"]
        assert [each[:2] for each in place.conflicts()] == [(each, {"id": "20"}) for each in kinds]


def test_a_row_that_moved_to_a_key_of_before_is_not_restored(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        place.open("users")
        place.migrate("DELETE FROM users WHERE id = 2")
        place.app.run("UPDATE users SET id = 2 WHERE id = 1")
        with pytest.raises(HeldError) as held:
            place.restore()
        assert held.value.reason == "RestoreImpossible"
        assert (place.conflicts(), place.now().state) == ([], State.RESTORING)
        place.discard()
        assert place.left() == []


def test_a_table_that_the_migration_dropped_comes_back(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        before = place.definition("users")
        place.open("users")
        place.app.run("UPDATE users SET credits = 8 WHERE id = 8")
        place.migrate("DROP TABLE users")
        place.expect()
        place.restore()
        assert place.definition("users") == before
        assert place.deploy.run("SELECT id FROM users WHERE credits <> 7") == [(8,)]
