"""The URL over the project's own settings, without a database."""

import json
import sys
from urllib.parse import urlsplit

import pymysql
import pytest

from whimbrel.runner.wrappers import python_protocol
from whimbrel.runner.wrappers.django import database

POSTGRESQL = "django.db.backends.postgresql"
MYSQL = "django.db.backends.mysql"
POSTGIS = "django.contrib.gis.db.backends.postgis"


@pytest.mark.parametrize(
    ("url", "theirs", "expected"),
    [
        pytest.param(
            "postgresql://u%40x:p%2F%25@h:5433/d%20b?sslmode=require",
            {},
            {"ENGINE": POSTGRESQL, "USER": "u@x", "PASSWORD": "p/%", "HOST": "h", "PORT": "5433",
             "NAME": "d b", "OPTIONS": {"sslmode": "require"}},
            id="every part is decoded",
        ),
        pytest.param(
            "postgresql://u@/d?host=%2Frun%2Fpg&port=5432",
            {},
            {"HOST": "/run/pg", "PORT": "5432", "OPTIONS": {}, "PASSWORD": ""},
            id="a socket",
        ),
        pytest.param(
            "postgresql://u@[::1]:5432/d", {}, {"HOST": "::1", "PORT": "5432"}, id="IPv6"
        ),
        pytest.param(
            "postgresql://u@h/d",
            {"ENGINE": POSTGIS, "ATOMIC_REQUESTS": True, "OPTIONS": {"pool": True, "x": 1}},
            {"ENGINE": POSTGIS, "ATOMIC_REQUESTS": True, "OPTIONS": {"x": 1}},
            id="an engine of somebody else's and what is no address stay",
        ),
        pytest.param(
            "postgresql://u@h/d",
            {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 5}},
            {"ENGINE": POSTGRESQL, "OPTIONS": {}},
            id="another kind of database and its options go",
        ),
        pytest.param(
            "postgresql://u@h/d?options=-cb%3D2",
            {"ENGINE": POSTGRESQL, "OPTIONS": {"options": "-ca=1"}},
            {"OPTIONS": {"options": "-ca=1 -cb=2"}},
            id="options of both, ours last",
        ),
        pytest.param(
            "mysql://u%40x:p%2F%25@localhost:3307/d%20b?init_command=SET%20%40a%3D1",
            {"ENGINE": POSTGRESQL, "OPTIONS": {"options": "-ca=1"}},
            {"ENGINE": MYSQL, "USER": "u@x", "PASSWORD": "p/%", "HOST": "LOCALHOST",
             "PORT": "3307", "NAME": "d b", "OPTIONS": {}},
            id="MariaDB, by its port",
        ),
        pytest.param(
            "mariadb://u@localhost/d?unix_socket=%2Frun%2Fm",
            {"ENGINE": MYSQL, "OPTIONS": {"read_default_file": "x", "passwd": "x", "charset": "y"}},
            {"ENGINE": MYSQL, "HOST": "/run/m", "PORT": "", "OPTIONS": {"charset": "y"}},
            id="a socket of MariaDB; what is no address stays",
        ),
        pytest.param(
            "mysql://u@h/d?sslmode=prefer",
            {"ENGINE": MYSQL, "OPTIONS": {"ssl": {"ca": "z"}, "sslmode": "x", "sslrootcert": "x"}},
            {"OPTIONS": {"ssl": {"ca": "z"}}},
            id="TLS as the project says, without libpq's words",
        ),
        pytest.param(
            "mysql://u@h/d?sslmode=disable",
            {"ENGINE": MYSQL, "OPTIONS": {"ssl": {"ca": "z"}, "ssl_mode": "x"}},
            {"OPTIONS": {"ssl_disabled": True}},
            id="TLS as the URL says",
        ),
    ],
)  # fmt: skip
def test_the_url_goes_over_the_address(url: str, theirs: dict, expected: dict, monkeypatch):
    monkeypatch.setitem(sys.modules, "MySQLdb", pymysql)  # as install_as_MySQLdb does
    found = database(urlsplit(url), theirs)
    assert {name: found[name] for name in expected} == expected


def test_a_driver_in_the_scheme_is_refused(capsys: pytest.CaptureFixture):
    """Whimbrel writes such a URL in the words of that driver."""
    with pytest.raises(SystemExit):
        database(urlsplit("mysql+pymysql://u@h/d?ssl_ca=x"), {})
    told = json.loads(capsys.readouterr().out.strip().removeprefix("@whimbrel "))
    assert told == {"kind": "problem", "reason": "SchemeUnknown", "scheme": "mysql+pymysql"}


@pytest.mark.parametrize(
    ("mode", "authority", "expected"),
    [
        ("", "ca", {}),
        ("prefer", "ca", {}),
        ("disable", "ca", {"ssl_mode": "DISABLED"}),
        ("require", None, {"ssl_mode": "REQUIRED"}),
        ("verify-ca", "ca", {"ssl_mode": "VERIFY_CA", "ssl": {"ca": "ca"}}),
        ("verify-full", "ca", {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": "ca"}}),
    ],
)
def test_words_of_mysqlclient_for_tls(mode: str, authority: str | None, expected: dict):
    assert python_protocol.mysql_tls("MySQLdb", mode, authority) == expected


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("CREATE TABLE a (n varchar(60))", "CREATE TABLE a (n varchar(60))"),
        ("ALTER TABLE a ADD b int DEFAULT 'x'", "ALTER TABLE a ADD b int DEFAULT …"),
        ("INSERT INTO `a1`\n VALUES (7, 'x')", "INSERT INTO `a1` VALUES (…"),
        ('UPDATE a SET b = "x"', "UPDATE a SET b = …"),
        ("UPDATE a SET b = %s", "UPDATE a SET b = %s"),
        ("DROP TABLE a; INSERT INTO b VALUES (7)", "DROP TABLE a; INSERT INTO b VALUES (…"),
        ("UPDATE a SET " + 99 * "xyz", ("UPDATE a SET " + 99 * "xyz")[:200]),
    ],
)
def test_a_statement_is_shown_up_to_its_first_value(statement: str, shown: str):
    assert python_protocol.without_values(statement) == shown


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        pytest.param(["INSERT INTO a SELECT b"], [], id="rows in a transaction"),
        pytest.param(["INSERT INTO a SELECT b", "-- x\n DROP TABLE a"], [0, 1], id="with DDL"),
        pytest.param(["INSERT INTO a SELECT b", "/* x */ create temporary table a"], [], id="none"),
        pytest.param(["SELECT 1", "SET @a = 1", "SHOW TABLES", "SAVEPOINT x"], [], id="no change"),
        pytest.param(["SELECT 1; DELETE FROM a; DROP TABLE b"], [0], id="several in one"),
    ],
)
def test_what_stays_is_told(statements: list[str], told: list[int], monkeypatch):
    said: list[str] = []
    waiting: list = []
    monkeypatch.setattr(python_protocol, "tell", lambda _kind, **words: said.append(words))
    python_protocol.begin("a")
    for each in statements:
        python_protocol.hear(each, None, waiting.append, list(waiting))
    python_protocol.begin("")
    shown = [python_protocol.without_values(statements[each]) for each in told]
    assert [words["statement"].split()[-1] for words in said if words] == [
        each.split()[-1] for each in shown
    ]


@pytest.mark.parametrize(
    ("statement", "error", "told"),
    [
        ("UPDATE \"a1\" SET b = 'x'", None, 'UPDATE "a1" SET b = …'),
        ("DO $x$ BEGIN END $x$", None, "DO …"),
        ("SELECT refill()", None, "SELECT refill()"),
        ("SELECT count(*) FROM a", None, ""),
        ("SELECT pg_advisory_lock(1)", None, ""),
        ("CALL refill()", "it failed after a COMMIT", "CALL refill()"),
        ("DELETE FROM a; COMMIT; SELECT x", "it failed", "DELETE FROM a; COMMIT; SELECT x"),
        ("DELETE FROM a", "it failed", ""),
    ],
)
def test_what_stays_in_postgresql_without_a_transaction(
    statement: str, error: str | None, told: str, monkeypatch
):
    said: list[str] = []
    monkeypatch.setitem(python_protocol.SERVER, "mysql", False)
    monkeypatch.setattr(python_protocol, "tell", lambda _kind, **words: said.append(words))
    python_protocol.begin("a")
    python_protocol.hear(statement, error, None, [])
    python_protocol.begin("")
    assert [words["statement"] for words in said if words] == ([told] if told else [])
