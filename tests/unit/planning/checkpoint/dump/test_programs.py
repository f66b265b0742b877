"""What the programs of a dump are told, and what is taken from what they say."""

import pytest

from whimbrel.planning.checkpoint.dump import programs as words

LISTED = """
;
; Archive created at 2026-11-26 16:00:00 UTC
;     dbname: shop
;
7; 2615 16389 SCHEMA - whimbrel shop
8; 2615 16390 SCHEMA - with space shop
9; 2615 16391 SCHEMA - tools shop
10; 3079 16400 EXTENSION - pgcrypto
11; 0 0 COMMENT - EXTENSION pgcrypto
12; 3079 16401 EXTENSION - uuid-ossp
13; 1247 16402 TYPE public mood shop
14; 1417 16403 SERVER - elsewhere postgres
15; 0 0 ACL - FOREIGN SERVER elsewhere postgres
16; 1418 16404 USER MAPPING - USER MAPPING shop SERVER elsewhere postgres
17; 3466 16405 EVENT TRIGGER - watch postgres
18; 2613 16406 BLOB - 16406 shop
19; 1259 16407 TABLE public SERVER shop
20; 2620 16408 TRIGGER public orders 00_whimbrel_freeze_0123456789ab shop
21; 2620 16409 TRIGGER public orders touched shop
22; 0 16407 TABLE DATA public SERVER shop
23; 0 0 COMMENT public TABLE SERVER shop
"""


def test_what_stays_is_not_made_again():
    found = words.contents(LISTED.splitlines(), ["whimbrel", "tools", "new", "public"])
    numbers = [line.partition(";")[0] for line in found.lines if line[:1].isdigit()]
    assert numbers == ["8", "10", "12", "13", "19", "21", "22", "23"]
    assert found.extensions == ("pgcrypto", "uuid-ossp")
    # A schema that cannot go and that the dump does not have was made since: it goes.
    assert found.staying == ("public", "tools", "whimbrel")


def test_a_login_is_in_the_environment_alone():
    parts = {"host": "db", "port": "5432", "dbname": "shop", "user": "u", "password": "p w",
             "sslmode": "verify-full", "sslrootcert": "/ca.crt", "keepalives": "1",
             "client_encoding": "latin1", "application_name": "theirs"}  # fmt: skip
    assert words.environment(parts, "ours") == {
        "PGHOSTADDR": "",
        "PGHOST": "db",
        "PGPORT": "5432",
        "PGDATABASE": "shop",
        "PGUSER": "u",
        "PGPASSWORD": "p w",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.crt",
        "PGAPPNAME": "ours",
    }


@pytest.mark.parametrize(
    ("line", "major"),
    [
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("pg_restore (PostgreSQL) 18beta1", 18),
        ("pg_dump: command not found", None),
        ("", None),
    ],
)
def test_a_version_is_read(line: str, major: int | None):
    assert words.major_of([line]) == major


def test_the_first_error_of_the_server_counts():
    told = [
        "psql:/whimbrel/dump/x.sql:7: ERROR:  55P03: canceling statement due to lock timeout",
        "LOCATION:  ProcessInterrupts, postgres.c:3385",
        "psql:/whimbrel/dump/x.sql:9: ERROR:  25P02: current transaction is aborted",
    ]
    assert words.sqlstate(told) == ("55P03", "canceling statement due to lock timeout")
    assert words.sqlstate(["psql: error: connection to server failed"]) == ("", "")


def test_scripts_are_one_transaction_that_stops_at_the_first_error():
    argv = words.run_scripts("a.sql", "b.sql")
    assert {"--single-transaction", "--set=ON_ERROR_STOP=1", "--no-psqlrc"} <= set(argv)
    assert argv[-2:] == ("--file=a.sql", "--file=b.sql")
