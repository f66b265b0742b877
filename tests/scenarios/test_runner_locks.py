"""What the runner makes of a statement that was cancelled: a lock, or something else."""

import tempfile
from pathlib import Path

from tests.db.orders import until
from tests.postgres import Postgres
from tests.runner_process import attempt_on

TWO = """ALTER TABLE users ADD COLUMN mail text;
SET LOCAL statement_timeout = '100ms';
SELECT pg_sleep(20);
"""


def test_a_timeout_after_a_wait_that_was_got_over_is_no_lock(database: Postgres):
    database.run("CREATE TABLE users (id int)")
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        limits = (("limits.lockTimeout", "10s"),)
        attempt = attempt_on(database, Path(folder), {"001_a.up.sql": TWO}, spec=limits)
        with database.connect(application_name="report") as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT * FROM users")
            running = attempt.start()
            waits = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND waitstart < clock_timestamp() - interval '0.5s'"
            )
            until(lambda: database.run(waits) == [(1,)] or running.process.poll() is not None)
            holder.execute("COMMIT")
        answer = running.finish()
    assert (answer.code, answer.result["reason"]) == (1, "StatementFailed"), answer
    assert "57014" in answer.result["message"]
