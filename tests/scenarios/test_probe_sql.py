"""SQL checks against real servers: what is read, what is refused, and what is never shown."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.db.silent_wire import silent_wire
from tests.mariadb import MariaDB
from tests.postgres import Postgres, create_database, free_port
from tests.probe_job import check, checks_of, probe_job, run_here, text_of
from tests.runner_process import Answer
from whimbrel.model.release.checked import CheckStatus, State

pytestmark = pytest.mark.sampled("a query of a probe")

QUICK = {"interval": "1s", "timeout": "1s", "unknownThreshold": 1, "failureThreshold": 1}


def asks(query: str, op: str = "Equal", value: str = "0", **more: Any) -> dict[str, Any]:
    options = {"query": query, "expect": {"op": op, "value": value}}
    return check("rows", "SQL", options, **(QUICK | more))


def answer_of(folder: Path, server: Postgres | MariaDB, wanted: dict[str, Any], **more: Any):
    answer: Answer = run_here(probe_job(folder, wanted, url=server.url, **more))
    for secret in (server.password, "p%40w", "p%2540w", "w#1", "w%231"):
        assert secret not in text_of(answer)
    found: CheckStatus = checks_of(answer)["rows"]
    return answer, found


READS = [
    pytest.param("SELECT 0", "Equal 0", State.GREEN, "0", id="a number"),
    pytest.param("select count(*) from users;", "Less 3", State.GREEN, "2", id="of a table"),
    pytest.param("SELECT 1.50 -- why\n", "Equal 1.5", State.GREEN, "1.50", id="a decimal"),
    pytest.param(
        "SELECT name FROM users WHERE id = 1", "Equal ä%@", State.GREEN, "ä%@", id="a text"
    ),
    pytest.param(
        "SELECT '$1 {0} %s ?'", "Equal $1 {0} %s ?", State.GREEN, "$1", id="marks of parameters"
    ),
    pytest.param("SELECT 3", "LessOrEqual 2", State.RED, "3 is not at most 2", id="red"),
    pytest.param("SELECT 'x'", "Less 2", State.INCONCLUSIVE, "cannot be compared", id="no number"),
    pytest.param("SELECT NULL", "Equal 0", State.INCONCLUSIVE, "gives NULL", id="NULL"),
    pytest.param(
        "SELECT 1 FROM users", "Equal 1", State.INCONCLUSIVE, "more than one row", id="rows"
    ),
    pytest.param(
        "SELECT 1 FROM users WHERE false", "Equal 1", State.INCONCLUSIVE, "no row", id="no row"
    ),
    pytest.param("SELECT 1, 2", "Equal 1", State.INCONCLUSIVE, "2 columns", id="columns"),
    pytest.param("SELEC 1", "Equal 1", State.INCONCLUSIVE, "syntax", id="no SQL"),
    pytest.param("SELECT 1 FROM nowhere", "Equal 1", State.INCONCLUSIVE, "nowhere", id="no table"),
]


@pytest.mark.parametrize(("query", "expect", "state", "words"), READS)
@pytest.mark.parametrize("kind", ["database", "mariadb"])
def test_verdicts(kind, query, expect, *, state, words, request, tmp_path: Path):
    server = request.getfixturevalue(kind)
    server.run("CREATE TABLE users (id int PRIMARY KEY, name varchar(20))")
    server.run("INSERT INTO users VALUES (1, 'ä%@'), (2, 'b')")
    op, _, value = expect.partition(" ")
    _, found = answer_of(tmp_path, server, asks(query, op, value))
    last = found.last[-1]
    assert found.state is state, found
    assert words in (last.message or last.value)


WRITES = [
    "INSERT INTO users VALUES (9)",
    "SELECT 1; INSERT INTO users VALUES (9)",
    "SELECT 1; COMMIT; INSERT INTO users VALUES (9)",
    "CREATE TABLE other (id int)",
    "DROP TABLE users",
    "DELETE FROM users",
    "TRUNCATE TABLE users",
    "COMMIT",
]


@pytest.mark.parametrize("query", [
    *WRITES,
    "WITH new AS (INSERT INTO users VALUES (9) RETURNING id) SELECT id FROM new",
    "SELECT nextval('numbers')",
    "SELECT spoil()",
    "SELECT 1; SET default_transaction_read_only = off; INSERT INTO users VALUES (9)",
    "SELECT set_config('transaction_read_only', 'off', false)",
])  # fmt: skip
def test_postgresql_refuses_what_writes(query: str, database: Postgres, tmp_path: Path):
    database.run("CREATE TABLE users (id int)")
    database.run("INSERT INTO users VALUES (1)")
    database.run("CREATE SEQUENCE numbers")
    database.run(
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'DELETE FROM users; SELECT 0'"
    )
    answer, found = answer_of(tmp_path, database, asks(query))
    assert found.state is State.INCONCLUSIVE, found
    assert answer.result["reason"] == "HealthCheckUnknown"
    assert database.run("SELECT id FROM users") == [(1,)]
    assert database.run("SELECT to_regclass('other')") == [(None,)]


@pytest.mark.parametrize("query", [
    *WRITES,
    "SELECT spoil()",
    "SELECT NEXT VALUE FOR numbers",
    "SELECT id FROM users INTO OUTFILE '/tmp/whimbrel-never'",
    "SET SESSION TRANSACTION READ WRITE",
])  # fmt: skip
def test_mariadb_refuses_what_writes(query: str, mariadb: MariaDB, tmp_path: Path):
    mariadb.run("CREATE TABLE users (id int)")
    mariadb.run("INSERT INTO users VALUES (1)")
    mariadb.run("CREATE SEQUENCE numbers")
    mariadb.admin().run(
        "CREATE FUNCTION spoil() RETURNS int BEGIN DELETE FROM users; RETURN 0; END"
    )
    _, found = answer_of(tmp_path, mariadb, asks(query))
    assert found.state is State.INCONCLUSIVE, found
    assert mariadb.run("SELECT id FROM users") == [(1,)]
    assert ("other",) not in mariadb.run("SHOW TABLES")


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("database", "SELECT pg_sleep(60)"),
        ("database", "SELECT count(*) FROM generate_series(1, 1000000000000)"),
        ("mariadb", "SELECT SLEEP(60) + 1"),
        ("mariadb", "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"),
    ],
)
def test_a_query_that_takes_long_is_ended_by_the_server(kind, query, request, tmp_path: Path):
    server = request.getfixturevalue(kind)
    _, found = answer_of(tmp_path, server, asks(query, unknownThreshold=2))
    assert found.state is State.INCONCLUSIVE, found
    others = {
        "database": "pg_stat_activity WHERE state = 'active' AND usename = current_user"
        " AND pid <> pg_backend_pid()",
        "mariadb": "information_schema.PROCESSLIST WHERE COMMAND <> 'Sleep'"
        " AND ID <> CONNECTION_ID()",
    }
    end = time.monotonic() + 10
    while server.run(f"SELECT count(*) FROM {others[kind]}") != [(0,)]:
        assert time.monotonic() < end, "the query goes on"
        time.sleep(0.05)  # between two looks at what the server does


def test_a_server_that_falls_silent_takes_no_more_than_three_connections(
    database: Postgres, tmp_path: Path
):
    quick = {"interval": "200ms", "timeout": "200ms", "unknownThreshold": 8}
    with silent_wire(database, answers=False) as wire:
        answer = probe_job(tmp_path, asks("SELECT 0", **quick), url=wire.url).run_to_end()
    (found,) = checks_of(answer).values()
    assert answer.result["reason"] == "HealthCheckUnknown", answer
    words = [each.message for each in found.last]
    assert words.count("no answer within 200ms") == 3, words
    assert words.count("earlier queries still wait for the server") == 5, words


def test_login_and_place_that_are_wrong_are_unknown(
    postgres_server, mariadb: MariaDB, tmp_path: Path
):
    database = create_database(postgres_server(16), "shopwrong")
    for number, (server, words) in enumerate([
        (_with(database, password="no%40t%23"), "login or password is wrong"),
        (_with(mariadb, password="not"), "login or password is wrong"),
        (_with(database, port=free_port()), "nothing listens there"),
        (_with(mariadb, port=free_port()), "nothing listens there"),
        (_with(database, dbname="gone"), "no such database"),
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        _, found = answer_of(folder, server, asks("SELECT 0"))
        assert found.state is State.INCONCLUSIVE
        assert words in found.last[-1].message, found


def _with(server: Any, **changes: Any) -> Any:
    return type(server)(**{**vars(server), **changes})


def test_a_secret_that_is_not_there_is_a_sentence(tmp_path: Path):
    job = probe_job(tmp_path, asks("SELECT 0"), without_secret=True)
    answer = run_here(job)
    (found,) = checks_of(answer).values()
    assert answer.result["reason"] == "HealthCheckUnknown"
    assert "Secret 'db' with the key 'url' does not exist" in found.last[-1].message


@pytest.mark.parametrize("url", ["postgresql://shop:s3cr%zz@h/x?s3cr=1", "s3cr", "mysql://s3cr@"])
def test_a_url_that_is_none_is_a_sentence_without_it(url: str, tmp_path: Path):
    answer = run_here(probe_job(tmp_path, asks("SELECT 0"), url=url))
    (found,) = checks_of(answer).values()
    assert found.last[-1].message.startswith("the database URL is refused")
    assert "s3cr" not in text_of(answer)


def test_a_value_with_the_password_is_masked(database: Postgres, tmp_path: Path):
    """Whoever writes such a query may see it; who reads status may not."""
    query = "SELECT 'p%40' || 'w#1'"
    _, found = answer_of(tmp_path, database, asks(query, "NotEqual", "x"))
    assert found.last[-1].value == "***"


def test_a_secret_that_comes_while_it_measures_is_used(database: Postgres, tmp_path: Path):
    patient = asks("SELECT 0", unknownThreshold=100, interval="100ms", timeout="100ms")
    patient |= {"timeout": "1s", "interval": "1s"}
    job = probe_job(tmp_path, patient, without_secret=True)
    running = job.start()
    place = running.message.parent / "database"
    (place / "url.new").write_text(database.url)
    (place / "url.new").rename(place / "url")
    answer = running.finish()
    assert answer.result["reason"] == "Healthy", answer


def test_probes_are_not_taken_for_the_migrator(database: Postgres, tmp_path: Path):
    """The fence of a run ends sessions by their name; ours have another one."""
    query = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    _, found = answer_of(tmp_path, database, asks(query, value="whimbrel:probe:team/shop"))
    assert found.state is State.GREEN, found
