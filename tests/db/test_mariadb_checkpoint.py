"""A checkpoint on MariaDB: taken, used, taken away; what it keeps and what it refuses."""

from tests.db.mariadb_checkpoint_desk import Station, station
from tests.mariadb import MariaDB
from whimbrel.runner.checkpoint.manifest import State

USERS = """
CREATE TABLE users (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    name varchar(60) NOT NULL,
    mail varchar(60),
    credits int NOT NULL DEFAULT 7 CHECK (credits >= 0),
    UNIQUE KEY by_mail (mail)
)"""
# One column of each type, with values that a careless copy changes.
TYPES = """
CREATE TABLE things (
    a int, b smallint unsigned,
    at timestamp(6) NULL, dt datetime(3), d date, t time(2), y year,
    num decimal(20,8), f float, db double, bits bit(9),
    c char(5), v varchar(50) COLLATE utf8mb4_bin, latin varchar(20) CHARACTER SET latin1,
    tx text, bin binary(4), vb varbinary(20), bl blob, js json,
    e enum('small','large'), s set('x','y','z'), u uuid, ip inet6,
    twice int AS (a * 2) STORED, thrice int AS (a * 3) VIRTUAL,
    touched timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
    made varchar(40) DEFAULT (concat('m', 1)),
    PRIMARY KEY (a, v)
)"""
WIDE = (
    "INSERT INTO things (a, b, at, dt, d, t, y, num, f, db, bits, c, v, latin, tx, bin, vb, bl, js,"
    " e, s, u, ip) VALUES (%s, 65535, '2024-10-27 02:30:00.123456', '2024-02-29 23:59:59.999',"
    " '2024-02-29', '-838:59:59.99', 2155, -123456789.12345678, 0.1, 1e-300, b'101010101', 'ab ',"
    " %s, 'ä', 'ß\\\\''\"', x'00ff0a0d', x'00', x'', '{\"a\": [1.0, \"\\\\u00e9\"]}', 'large',"
    " 'x,z', uuid(), '::1')"
)


def make_users(database: MariaDB) -> None:
    database.run(USERS)
    for number in range(20):
        database.run("INSERT INTO users (name, mail) VALUES (%s, %s)", f"n{number}", f"{number}@x")


def test_all_that_was_written_is_there_after_a_restore(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        before = place.definition("users")
        place.app.run("UPDATE users SET credits = 1 WHERE id = 1")
        ready = place.open("users")
        assert (ready.state, ready.tables[0].rows) == (State.READY, 20)
        place.app.run("UPDATE users SET credits = 2 WHERE id = 2")
        place.expect()
        place.migrate(
            "ALTER TABLE users DROP COLUMN mail, ADD COLUMN mood varchar(9) DEFAULT 'fine'",
            "UPDATE users SET name = 'wrong', credits = 99",
            "DELETE FROM users WHERE id > 10",
            "INSERT INTO users (name) VALUES ('made by the migration')",
        )
        place.expect()
        place.app.run("UPDATE users SET credits = 3 WHERE id = 3")
        place.app.run("UPDATE users SET mood = 'sad' WHERE id = 4")
        place.app.run("DELETE FROM users WHERE id = 5")
        place.app.run("INSERT INTO users (id, name, mood) VALUES (100, 'new', 'new')")
        place.app.run("UPDATE users SET credits = 5 WHERE name = 'made by the migration'")
        place.restore()
        assert place.definition("users") == before
        rows = {row[0]: row[1:] for row in mariadb.run("SELECT * FROM users")}
        expected = {n: (f"n{n - 1}", f"{n - 1}@x", 7) for n in range(1, 21) if n != 5}
        for n in (1, 2, 3):
            expected[n] = (*expected[n][:2], n)
        assert rows == expected | {100: ("new", None, 7)}
        assert place.conflicts() == [
            ("MigrationRow", {"id": "21"}, "", '{"id": null, "name": null, "mail": null, '
             '"credits": "5"}'),
            ("UnknownColumn", {"id": "4"}, "mood", "sad"),
            ("UnknownColumn", {"id": "100"}, "mood", "new"),
        ]  # fmt: skip
        expect_it_goes_on_and_can_go(place)


def expect_it_goes_on_and_can_go(place: Station) -> None:
    place.app.run("INSERT INTO users (name) VALUES ('next')")
    assert place.deploy.run("SELECT max(id) FROM users") == [(101,)]
    assert place.now().state is State.RESTORED
    place.discard()
    assert place.left() == []


def test_every_type_comes_back_as_it_was_written(mariadb: MariaDB):
    mariadb.run(TYPES)
    with station(mariadb) as place:
        session = place.app.connect(init_command="SET time_zone = '+05:30', sql_mode = ''")
        with session, session.cursor() as cursor:
            for number in range(3):
                cursor.execute(WIDE, (number, f"key {number}"))
            place.open("things")
            for number in range(3, 6):
                cursor.execute(WIDE, (number, f"key {number}"))
            cursor.execute(
                "UPDATE things SET bits = b'1', f = 0.3, vb = x'ff00', js = '[]' WHERE a = 1"
            )
            cursor.execute("UPDATE things SET v = 'KEY 2', c = 'x' WHERE a = 2")
            cursor.execute("UPDATE things SET d = '0000-00-00', at = NULL, latin = 'A' WHERE a = 4")
            expected = everything(place.deploy)
            before = place.definition("things")
            place.migrate(
                "UPDATE things SET js = '{}', bits = 0", "ALTER TABLE things DROP COLUMN f"
            )
            place.restore()
            assert place.conflicts() == []
            assert place.definition("things") == before
            assert everything(place.deploy) == expected


def everything(database: MariaDB) -> list[tuple]:
    utc = "SET time_zone = '+00:00'"
    with database.connect(init_command=utc) as session, session.cursor() as cursor:
        cursor.execute("SELECT things.*, db + 0, f + 0e0 FROM things ORDER BY a")
        return list(cursor.fetchall())
