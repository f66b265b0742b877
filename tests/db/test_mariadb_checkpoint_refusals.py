"""What a checkpoint on MariaDB refuses, in one sentence and with nothing left."""

from dataclasses import replace

import pytest

from tests.db.mariadb_checkpoint_desk import Station, station
from tests.db.test_mariadb_checkpoint import make_users
from tests.mariadb import PASSWORD, MariaDB, create_database, running_mariadb
from whimbrel.model.errors import RefusedError

pytestmark = pytest.mark.sampled("a table on MariaDB without a checkpoint")

TABLES = (
    ("CREATE TABLE t (a int)", "it has no primary key"),
    ("CREATE TABLE t (a varchar(300), PRIMARY KEY (a(10)))", "the beginning of a column's values"),
    ("CREATE TABLE t (a int PRIMARY KEY) ENGINE=MyISAM", "its engine is MyISAM"),
    ("CREATE TABLE t (a int PRIMARY KEY) ENGINE=Aria", "its engine is Aria"),
    ("CREATE TABLE t (a int PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 2", "it is partitioned"),
    ("CREATE TABLE t (a int PRIMARY KEY) WITH SYSTEM VERSIONING", "it is a system versioned"),
    (
        "CREATE TABLE t (a int PRIMARY KEY, x date, y date, PERIOD FOR p (x, y))",
        "it has periods of time",
    ),
    ("CREATE TABLE t (a int PRIMARY KEY, g point)", "its column g is of type point"),
    ("CREATE TABLE t (a int PRIMARY KEY, w text, FULLTEXT (w))", "its index w is FULLTEXT"),
    ("CREATE TABLE t (a int PRIMARY KEY, w text UNIQUE)", "its index w is HASH"),
    ("CREATE TABLE t (a int PRIMARY KEY, `b$1` int)", "has a $ before a digit"),
    ("CREATE VIEW t AS SELECT id FROM users", "it is a view"),
    ("CREATE SEQUENCE t", "it is a sequence"),
    (
        "CREATE TABLE t (a int PRIMARY KEY, u bigint, FOREIGN KEY (u) REFERENCES users (id)"
        " ON DELETE CASCADE)",
        "the foreign key t_ibfk_1 of t to users changes rows by itself, which fires no trigger",
    ),
    (
        "CREATE TABLE t (a int PRIMARY KEY, u bigint, CONSTRAINT mine FOREIGN KEY (u) REFERENCES"
        " users (id) ON UPDATE CASCADE)",
        "the foreign key mine of t to users changes rows by itself",
    ),
    (
        "CREATE TABLE t (a int PRIMARY KEY, u bigint, CONSTRAINT also FOREIGN KEY (u) REFERENCES"
        " users (id) ON DELETE SET NULL)",
        "the foreign key also of t to users changes rows by itself",
    ),
)


def refused(place: Station, *tables: str, **options: object) -> str:
    """Check that a checkpoint is refused and nothing of it is left; return the sentence."""
    with pytest.raises(RefusedError) as told:
        place.open(*tables, **options)
    assert place.left() == []
    assert "\n" not in told.value.message
    return told.value.message


@pytest.mark.parametrize(("made", "said"), TABLES, ids=[said for _, said in TABLES])
def test_a_table_that_is_not_proven(mariadb: MariaDB, made: str, said: str):
    make_users(mariadb)
    with station(mariadb) as place:
        place.deploy.run(made)
        assert said in refused(place, "users", "t")
        if "foreign key" in said:
            assert said in refused(place, "users")


def test_rows_that_refer_to_none_already(mariadb: MariaDB):
    """After a restore nobody could tell them from those whose parent went meanwhile."""
    make_users(mariadb)
    with station(mariadb) as place:
        place.deploy.run(
            "CREATE TABLE t (a int PRIMARY KEY, u bigint, FOREIGN KEY (u) REFERENCES users (id))"
        )
        session = place.deploy.connect(init_command="SET foreign_key_checks = 0")
        with session, session.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1, 1), (2, 77), (3, NULL)")
        said = "1 rows of t refer to rows of users that are not there (foreign key t_ibfk_1)"
        assert said in refused(place, "t")
        assert said in refused(place, "users")


def test_a_foreign_key_to_another_database(mariadb: MariaDB):
    make_users(mariadb)
    admin, other = mariadb.admin(), f"{mariadb.dbname}_b"
    admin.run(f"CREATE DATABASE {other}")
    admin.run(
        f"CREATE TABLE {other}.t (a int PRIMARY KEY, u bigint,"
        f" FOREIGN KEY (u) REFERENCES {mariadb.dbname}.users (id))"
    )
    admin.run(f"GRANT ALL ON `{other}`.* TO `{mariadb.user}`@'127.0.0.1'")
    with station(mariadb) as place:
        assert "links it to another database" in refused(place, "users")


def test_a_table_with_triggers_one_that_is_not_there_and_one_of_another_database(mariadb: MariaDB):
    make_users(mariadb)
    with station(mariadb) as place:
        assert "there is no table" in refused(place, "nothing")
        place.deploy.run(
            "CREATE TRIGGER theirs BEFORE INSERT ON users FOR EACH ROW SET NEW.name = 'x'"
        )
        assert "it has the trigger theirs" in refused(place, "users")
        elsewhere = replace(place, deploy=replace(place.deploy, dbname="mysql"))
        with pytest.raises(RefusedError, match="covers tables of that one only"):
            elsewhere.open("users")


def test_a_login_that_may_make_no_trigger_is_told_what_a_dba_runs(mariadb: MariaDB):
    make_users(mariadb)
    admin, name = mariadb.admin(), f"{mariadb.user}_few"
    admin.run("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", name, PASSWORD)
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX"
    admin.run(f"GRANT {rights} ON `{mariadb.dbname}`.* TO %s@'127.0.0.1'", name)
    with station(replace(mariadb, user=name)) as place:
        told = refused(place, "users")
        assert "a database administrator runs: GRANT ALL ON" in told
        place.deploy.run("INSERT INTO users (name) VALUES ('still works')")


def test_servers_on_which_it_cannot_be_had():
    with running_mariadb("--log-bin", "--server-id=1", "--binlog-format=MIXED") as server:
        database = create_database(server, "shop")
        make_users(database)
        with station(database) as place:
            told = refused(place, "users")
            assert "SET GLOBAL log_bin_trust_function_creators = 1" in told
            server.run("SET GLOBAL log_bin_trust_function_creators = 1")
            server.run("SET GLOBAL binlog_format = 'STATEMENT'")
            assert "set binlog_format to MIXED or ROW" in refused(place, "users")
            server.run("SET GLOBAL binlog_format = 'MIXED'")
            place.open("users")
            place.app.run("UPDATE users SET credits = 3 WHERE id = 3")
            place.migrate("UPDATE users SET credits = 9")
            place.restore()
            assert place.deploy.run("SELECT id FROM users WHERE credits <> 7") == [(3,)]
