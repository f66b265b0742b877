"""A login that a DBA prepared for a tool, on MariaDB: let in for an attempt, and proven gone."""

import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from tests.db.orders import RUN, an_order, until
from tests.mariadb import MariaDB
from tests.runner_process import Answer, Attempt
from tests.scenarios import test_alembic_mariadb
from tests.scenarios.test_alembic_mariadb import write
from tests.scenarios.test_runner_mariadb import at_work
from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.runner.attempts import open_attempt, record_tool
from whimbrel.runner.fence import Fence, fence_run
from whimbrel.runner.known import open_ledger
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.mariadb_run_role import lent, take_back
from whimbrel.runner.runs import reserve
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.target import Login
from whimbrel.runner.urls import parse_target

project = test_alembic_mariadb.project
SECRET = "choose-one"


@pytest.fixture
def runs(mariadb: MariaDB) -> MariaDB:
    """Return the database through an account that a DBA made with the statements that we print."""
    own = lent(parse_target(mariadb.url), Login(mariadb.user, "x"), 1)
    with pytest.raises(RefusedError) as refused, own:
        pass
    assert refused.value.reason == "RunRoleNotPrepared"
    _, _, statements = refused.value.message.partition("administrator runs: ")
    for each in statements.split(";"):
        mariadb.admin().run(each)
    return replace(mariadb, user=f"{mariadb.dbname}_runs", password=SECRET)


def may_log_in(database: MariaDB, password: str) -> bool:
    try:
        replace(database, password=password).connect().close()
    except pymysql.OperationalError:
        return False
    return True


def sessions(database: MariaDB) -> set[int]:
    asked = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s"
    return {row[0] for row in database.admin().run(asked, database.user)}


def test_the_tool_has_a_password_of_its_attempt_alone(mariadb: MariaDB, runs: MariaDB):
    target, prepared = parse_target(mariadb.url), Login(runs.user, SECRET)
    with lent(target, prepared, 5) as login:
        assert login.password != SECRET
        assert not may_log_in(runs, SECRET)
        left = replace(runs, password=login.password).connect()
    with pytest.raises(pymysql.MySQLError):
        left.cursor().execute("SELECT 1")
    assert may_log_in(runs, SECRET)
    assert not may_log_in(runs, login.password)
    with lent(target, prepared, 6) as another:
        assert another.password != login.password


def test_a_password_that_was_not_given_back_locks_nobody_out(mariadb: MariaDB, runs: MariaDB):
    target, prepared = parse_target(mariadb.url), Login(runs.user, SECRET)
    killed = lent(target, prepared, 5)
    password = killed.__enter__().password
    with lent(target, prepared, 8) as login:
        assert not may_log_in(runs, password)
        assert may_log_in(runs, login.password)
    assert may_log_in(runs, SECRET)


def test_an_account_that_cannot_change_its_password_is_refused(mariadb: MariaDB, runs: MariaDB):
    """As on a server that takes no change of an account any more."""
    mariadb.admin().run("SET GLOBAL read_only = 1")
    try:
        login = lent(parse_target(mariadb.url), Login(runs.user, SECRET), 1)
        with pytest.raises(RefusedError) as refused, login:
            pass
    finally:
        mariadb.admin().run("SET GLOBAL read_only = 0")
    assert refused.value.reason == "RunRoleNotPrepared"
    assert may_log_in(runs, SECRET)


def fence(mariadb: MariaDB, prepared: MariaDB | None) -> str:
    """Fence an attempt whose tool had the prepared login; its container is known to be gone."""
    with open_session(parse_target(mariadb.url), Manners("whimbrel", 1.0)) as session:
        given = parse_target(prepared.url) if prepared else None
        wanted = an_order(attempt=2, ended=(f"Migrate/1@{socket.gethostname()}",))
        ledger = Ledger(session, "whimbrel")
        return fence_run(Fence(ledger, parse_target(mariadb.url), wanted, (), given), RUN)


def attempt_with_a_tool(mariadb: MariaDB, role: str) -> int:
    """Open an attempt that starts a tool under a login; return its epoch."""
    with open_session(parse_target(mariadb.url), Manners("whimbrel", 1.0)) as session:
        ledger = Ledger(session, "whimbrel")
        open_ledger(ledger, an_order())
        reserve(ledger, an_order(), lambda _: "")
        epoch = open_attempt(ledger, an_order(), name="whimbrel:1:shop").epoch
        record_tool(ledger, an_order(), run_role=role)
        return epoch


def test_the_role_proves_that_a_tool_is_gone_and_stays_gone(mariadb: MariaDB, runs: MariaDB):
    """The main login has no right beyond its database: it does not even see the tool's session."""
    epoch = attempt_with_a_tool(mariadb, runs.user)
    killed = lent(parse_target(mariadb.url), Login(runs.user, SECRET), epoch)
    tool = killed.__enter__()
    there = replace(runs, password=tool.password)
    mariadb.run("CREATE TABLE t (n int)")
    with there.connect() as busy, busy.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(HeldError, match="nothing proves"):
            fence(mariadb, None)
        with pytest.raises(HeldError, match="nothing proves"):
            fence(mariadb, replace(runs, password="of another Secret"))
        assert busy.thread_id() in sessions(runs)
        assert fence(mariadb, runs) == "Role"
        # The fence's own session may still be on its way out.
        assert busy.thread_id() not in sessions(runs)
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("COMMIT")
    assert mariadb.run("SELECT * FROM t") == []
    assert not may_log_in(runs, tool.password)
    take_back(parse_target(mariadb.url), Login(runs.user, SECRET), epoch)  # again, and no harm


@pytest.fixture
def attempt(mariadb: MariaDB, project: Path) -> Iterator[Attempt]:
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        role = (("database.runRole", {"secretKeyRef": {"name": "runs", "key": "url"}}),)
        # On a machine of its own, whose processes prove nothing.
        yield Attempt(Path(folder), mariadb.url, (), project, spec=role)


def with_role(attempt: Attempt, runs: MariaDB) -> Attempt:
    """Mount the Secret of the prepared login."""
    there = attempt.root / "run-role"
    there.mkdir(parents=True)
    (there / "url").write_text(runs.url)
    return attempt


def run(attempt: Attempt, runs: MariaDB) -> Answer:
    answer = with_role(attempt, runs).run_to_end()
    assert f"{SECRET}@" not in answer.log
    return answer


def test_the_runner_takes_the_login_away_from_a_tool_that_was_left(
    attempt: Attempt, runs: MariaDB, mariadb: MariaDB, project: Path
):
    mariadb.run("CREATE TABLE naps AS SELECT 600 AS seconds")
    sleep = 'op.execute("CREATE TABLE made AS SELECT SLEEP(seconds) FROM naps")'
    view = 'op.execute("CREATE VIEW emails AS SELECT email, CURRENT_USER() AS who FROM users")'
    write(project, "0003", "0002", f"{sleep}\n{view}")
    running = with_role(attempt, runs).start()
    until(lambda: at_work(mariadb, "CREATE TABLE made%"))
    running.process.send_signal(signal.SIGKILL)
    running.finish()
    mariadb.run("TRUNCATE naps")
    answer = run(replace(attempt.next(), machine="other"), runs)
    if answer.code == 3:
        assert answer.result["reason"] == "HalfDone", answer
        mariadb.run("DROP TABLE IF EXISTS made")
        retry = replace(attempt, run="run2", order=(("retry", "now"),))
        answer = run(retry, runs)
    else:
        assert answer.result["fence"] == "Role", answer
    assert (answer.code, answer.result["revision"]) == (0, "0003"), answer
    # The view belongs to an account that stays: the application reads it long after the run.
    assert mariadb.run("SELECT email, who FROM emails") == [("ann@example.org", f"{runs.user}@%")]
    assert may_log_in(runs, SECRET)
    assert sessions(runs) == set()


def test_the_login_of_the_object_itself_is_refused(attempt: Attempt, mariadb: MariaDB):
    refused = run(attempt, mariadb)
    assert (refused.code, refused.result["reason"]) == (2, "RunRoleNotPrepared"), refused
    assert may_log_in(mariadb, mariadb.password)
