"""Sessions that Alembic opens: under other names, behind a pooler, beside the application."""

import contextlib
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.errors import QueryCanceled

from tests.db.pgbouncer import running_pgbouncer
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios import test_runner_alembic as plain
from tests.scenarios.test_runner_alembic import RUN, SLOW, autocommitted
from tests.scenarios.tool_runs import kill_in_sleep, url_that_makes_roles, wait_for_sleep

attempt, project = plain.attempt, plain.project


@pytest.mark.sampled("sessions of Alembic")
def test_a_name_and_options_in_the_url_do_not_hide_the_tools_session(
    attempt: Attempt, project: Path, database: Postgres
):
    replace(attempt, run=f"{RUN}-0", spec=(("migrations.to", "0003"),)).run_to_end()
    database.run("CREATE TABLE t (n int)")
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(autocommitted("INSERT INTO t SELECT 1 FROM pg_sleep(20)"))
    hidden = f"{database.url}?application_name=shop&options=-csearch_path%3Dpublic"
    first = replace(attempt, url=hidden, order=(("number", 2),))
    kill_in_sleep(database, first)
    slow.write_text(slow.read_text().replace("pg_sleep(20)", "pg_sleep(0)"))
    second = first.next().run_to_end()
    # What commits by itself, and was not heard to its end, is not begun again without a person.
    told = (second.code, second.result.get("reason"), second.result.get("fence"))
    assert told == (3, "HalfDone", "Process"), second
    assert database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    ) == [(0,)]
    assert database.run("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.sampled("what waits for a clock")
def test_an_env_py_that_names_its_sessions_itself_is_waited_for(
    attempt: Attempt, project: Path, database: Postgres
):
    """It takes our options away too, so the server does not end the statement of a dead tool."""
    replace(attempt, run=f"{RUN}-0", spec=(("migrations.to", "0003"),)).run_to_end()
    database.run("CREATE TABLE t (n int)")
    env = project / "migrations/env.py"
    own = "{'application_name': 'shop', 'options': '-csearch_path=public'}"
    pool = "poolclass=pool.NullPool,"
    env.write_text(env.read_text().replace(pool, f"{pool} connect_args={own},"))
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(autocommitted("INSERT INTO t SELECT 1 FROM pg_sleep(20)"))
    first = replace(attempt, order=(("number", 2),))
    running = first.start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    left = running.finish(30)
    assert (left.code, left.result.get("reason")) == (75, "ToolSessionsLeft"), left
    assert re.search(r"pid \d+ \(shop, login ", left.result["message"])
    states = "SELECT run, state FROM whimbrel.attempt ORDER BY opened_at"
    assert database.run(states) == [(f"{RUN}-0", "closed"), (RUN, "open")]
    slow.write_text(slow.read_text().replace("pg_sleep(20)", "pg_sleep(0)"))
    second = first.next().run_to_end()
    # One after the other, never side by side; and what commits by itself is not begun again.
    told = (second.code, second.result.get("reason"), second.result.get("fence"))
    assert told == (3, "HalfDone", "Process"), second
    assert database.run("SELECT count(*) FROM t") == [(1,)]


@pytest.mark.sampled("sessions of Alembic")
def test_a_long_query_of_the_application_does_not_hold_up_a_tool_that_came_to_its_end(
    attempt: Attempt, project: Path, database: Postgres
):
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(SLOW.replace("pg_sleep(20)", "pg_advisory_xact_lock(7)"))
    with database.connect() as gate, database.connect() as shop:
        gate.execute("SELECT pg_advisory_lock(7)")
        running = attempt.start()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while gate.execute(waits).fetchone() == (0,):
            assert running.process.poll() is None, running.finish()
        query = threading.Thread(target=quietly, args=(shop, "SELECT pg_sleep(60)"))
        query.start()
        gate.execute("SELECT pg_advisory_unlock(7)")
        answer = running.finish()
        shop.cancel_safe()
        query.join()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer


def quietly(session: Connection, statement: str) -> None:
    with contextlib.suppress(QueryCanceled):
        session.execute(statement)


@pytest.mark.sampled("sessions of Alembic")
def test_whatever_goes_wrong_before_the_tools_sessions_were_counted_leaves_the_attempt_open(
    attempt: Attempt, project: Path, database: Postgres
):
    (project / "migrations/versions/0004_slow.py").write_text(SLOW)
    running = attempt.start()
    wait_for_sleep(database, running)
    admin = replace(database, user="postgres", password="postgres")
    admin.run(f"ALTER ROLE {database.user} NOLOGIN")
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(30)
    assert (answer.code, answer.result.get("reason")) == (75, "LoginRefused"), answer
    admin.run(f"ALTER ROLE {database.user} LOGIN")
    assert database.run("SELECT state FROM whimbrel.attempt") == [("open",)]


@pytest.mark.sampled("sessions of Alembic")
def test_alembic_runs_behind_a_pooler_in_session_mode(
    attempt: Attempt, project: Path, database: Postgres
):
    """The pooler makes up the pids that its logins tell, and refuses a login with options."""
    with running_pgbouncer(database, "session", 20) as pooled:
        through = replace(attempt, url=pooled.url)
        up = through.run_to_end()
        assert (up.code, up.result.get("revision")) == (0, "0003"), up
        (project / "migrations/versions/0004_slow.py").write_text(SLOW)
        kill_in_sleep(database, replace(through, run=f"{RUN}-2", order=(("number", 2),)))
        (project / "migrations/versions/0004_slow.py").write_text(
            SLOW.replace("_sleep(20)", "_sleep(0)")
        )
        second = replace(through, run=f"{RUN}-2", attempt=2, order=(("number", 2),)).run_to_end()
        assert (second.code, second.result.get("revision")) == (0, "0004"), second
        assert second.result["fence"] == "Process"


@pytest.mark.sampled("sessions of Alembic")
def test_password_of_the_tools_own_login_is_nowhere(
    attempt: Attempt, project: Path, database: Postgres
):
    url = url_that_makes_roles(database)
    loud = SLOW.replace('op.execute("SELECT pg_sleep(20)")', "raise ValueError(URL)")
    head = 'import os\nURL = os.environ["DATABASE_URL"]\nprint(URL, flush=True)\n'
    (project / "migrations/versions/0004_loud.py").write_text(
        loud.replace("from alembic import op", "from alembic import op\n" + head)
    )
    answer = replace(attempt, url=url, run="loud").run_to_end()
    assert answer.code == 1, answer
    seen = answer.log + str(answer.result)
    assert "whimbrel_run_loud_1:***@" in seen
    assert not re.search(r"whimbrel_run_loud_1:[^*]", seen)
