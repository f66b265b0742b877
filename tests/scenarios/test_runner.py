"""The real runner as a process against a real PostgreSQL: one story each."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.proxy import Moment, Proxy, Strike
from tests.runner_process import Attempt, RunnerProcess, attempt_on

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name text);",
    "001_users.down.sql": "DROP TABLE users;",
    "002_email.up.sql": "ALTER TABLE users ADD COLUMN email text;",
    "002_email.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
BROKEN = {"003_broken.up.sql": "CREATE TABLE third (id int);\n\nSELECT nonsense();"}


def test_applies_and_then_has_nothing_to_do(any_database: Postgres, tmp_path: Path):
    first = attempt_on(any_database, tmp_path, FILES)
    answer = first.run_to_end()
    assert (answer.code, answer.result.get("outcome")) == (0, "Done"), answer
    assert answer.result["revision"] == "002"
    again = attempt_on(any_database, tmp_path, FILES, run="run2").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again


def test_look_writes_nothing(database: Postgres, tmp_path: Path):
    answer = attempt_on(database, tmp_path, FILES, segment="Look").run_to_end()
    assert answer.code == 0, answer
    assert len(answer.result["planDigest"]) == 64
    assert database.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'whimbrel'") == [(0,)]
    assert "ALTER TABLE users ADD COLUMN email text" in answer.log


def test_failure_says_where_and_leaves_nothing(any_database: Postgres, tmp_path: Path):
    answer = attempt_on(any_database, tmp_path, FILES | BROKEN).run_to_end()
    assert answer.code == 1, answer
    message = answer.result["message"]
    for part in ("003_broken.up.sql", "line 3", "42883", "aborted", "as before"):
        assert part in message
    assert any_database.run("SELECT to_regclass('users')") == [(None,)]
    assert any_database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_later_transaction_fails_and_the_run_is_taken_back(database: Postgres, tmp_path: Path):
    spec = (("migrations.atomicity", "File"),)
    answer = attempt_on(database, tmp_path, FILES | BROKEN, spec=spec).run_to_end()
    assert answer.code == 1, answer
    assert "taken back" in answer.result["message"]
    assert database.run("SELECT to_regclass('users')") == [(None,)]


def test_manual_stays_and_says_so(database: Postgres, tmp_path: Path):
    spec = (("migrations.atomicity", "File"), ("rollback.onFailure", "Manual"))
    answer = attempt_on(database, tmp_path, FILES | BROKEN, spec=spec).run_to_end()
    assert answer.code == 3, answer
    assert answer.result["revision"] == "002"
    assert answer.result["command"] == "whimbrel rollback shop -n team"


def test_rollback_salvages_and_is_not_tried_again(database: Postgres, tmp_path: Path):
    attempt_on(database, tmp_path, FILES).run_to_end()
    database.run("INSERT INTO users VALUES (1, 'a', 'a@example.org')")
    back = attempt_on(
        database, tmp_path, FILES, run="run2", segment="Rollback", order=(("to", "001"),)
    ).run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    table = back.result["salvage"][0]
    assert database.run(f'SELECT email FROM whimbrel."{table}"') == [("a@example.org",)]
    again = attempt_on(database, tmp_path, FILES, run="run3").run_to_end()
    assert (again.code, again.result["reason"]) == (3, "WasRolledBack"), again
    lifted = attempt_on(database, tmp_path, FILES, run="run4", order=(("retry", "now"),))
    assert lifted.run_to_end().result["revision"] == "002"


def test_every_answer_tells_the_salvage_that_is_kept(database: Postgres, tmp_path: Path):
    """Of all runs of the object, the newest first, and nothing that was dropped meanwhile."""

    def answer(run: str, *order: tuple[str, object], segment: str = "Migrate") -> list[str] | None:
        more = {"run": run, "segment": segment, "order": order}
        answer = attempt_on(database, tmp_path, FILES, **more).run_to_end()
        assert answer.code == 0, answer
        return answer.result.get("salvage")

    assert answer("run1") == []
    database.run("INSERT INTO users VALUES (1, 'a', 'a@example.org')")
    assert answer("run2", ("to", "001"), segment="Rollback") == ["salvage_run2_1"]
    assert answer("run3", ("retry", "now")) == ["salvage_run2_1"]
    database.run("UPDATE users SET email = 'b@example.org'")
    both = ["salvage_run4_1", "salvage_run2_1"]
    assert answer("run4", ("to", "001"), segment="Rollback") == both
    database.run("UPDATE whimbrel.salvage SET kept_until = now() WHERE run = 'run2'")
    assert answer("run5", ("retry", "now")) == both[:1]
    database.run("UPDATE whimbrel.run SET name = 'other' WHERE id = 'run4'")
    assert answer("run6") == []


def test_approved_plan_runs_and_another_does_not(database: Postgres, tmp_path: Path):
    look = attempt_on(database, tmp_path, FILES, segment="Look").run_to_end()
    order = (("approved", look.result["planDigest"]),)
    database.run("SELECT 1")
    other = FILES | {"003_more.up.sql": "CREATE TABLE more (id int);"}
    changed = attempt_on(database, tmp_path, other, run="run2", order=order).run_to_end()
    assert (changed.code, changed.result["reason"]) == (3, "PlanChanged"), changed
    assert database.run("SELECT to_regclass('users')") == [(None,)]
    good = attempt_on(database, tmp_path, FILES, run="run3", order=order).run_to_end()
    assert good.result["revision"] == "002"


def test_the_same_attempt_again_answers_the_same(database: Postgres, tmp_path: Path):
    attempt = attempt_on(database, tmp_path, FILES)
    first = attempt.run_to_end()
    second = attempt.run_to_end()
    assert second.result["outcome"] == first.result["outcome"] == "Done"
    assert json.dumps(second.result["applied"]) == "2"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({"001_a.up.sql": "SELEC 1;"}, "001_a.up.sql", id="syntax error"),
        pytest.param({"001_a.up.sql": "SELECT '\0';"}, "NUL", id="NUL byte"),
        pytest.param(
            {"001_a.up.sql": "SELECT 1;", "001_b.up.sql": "SELECT 2;"}, "001", id="same number"
        ),
        pytest.param(
            {"001_a.up.sql": "SELECT 1;", "002_b.down.sql": "SELECT 1;"},
            "002_b.down.sql",
            id="a down without an up",
        ),
        pytest.param({"001_a.up.sql": "BEGIN; SELECT 1; COMMIT;"}, "control", id="BEGIN in a file"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    files: dict[str, str], words: str, database: Postgres, tmp_path: Path
):
    answer = attempt_on(database, tmp_path, files).run_to_end()
    assert answer.code == 2, answer
    assert words in answer.result["message"]
    assert "Traceback" not in answer.log


def test_login_named_like_the_ledger_is_refused(database: Postgres, tmp_path: Path):
    spec = (("database.ledgerSchema", database.user),)
    answer = attempt_on(database, tmp_path, FILES, spec=spec).run_to_end()
    assert (answer.code, answer.result["reason"]) == (2, "LedgerIsHome"), answer
    count = "SELECT count(*) FROM pg_namespace WHERE nspname = current_user"
    assert database.run(count) == [(0,)]


THIRD = {
    "003_more.up.sql": "CREATE TABLE more (id int);",
    "003_more.down.sql": "DROP TABLE more;",
}


def releases(database: Postgres, tmp_path: Path) -> dict[str, str]:
    """Apply three releases of one file each, and return all files."""
    names = [*FILES.items(), *THIRD.items()]
    for number in (1, 2, 3):
        files = dict(names[: number * 2])
        answer = attempt_on(database, tmp_path, files, run=f"release{number}").run_to_end()
        assert answer.code == 0, answer
    return dict(names)


@pytest.mark.parametrize("part", range(6), ids=lambda part: f"request {part + 1} of 6 sixths")
@pytest.mark.sampled("a killed rollback")
def test_killed_rollback_takes_back_one_release_and_no_more(
    part: int, database: Postgres, tmp_path: Path
):
    files = releases(database, tmp_path)
    attempt = attempt_on(database, tmp_path, files, run="back", segment="Rollback")
    with Proxy(database.port) as proxy:

        def kill() -> None:
            running.process.kill()

        # A rollback makes about 170 requests; the last ones come after the COMMIT of the down.
        proxy.strike = Strike(60 + part * 22, Moment.AFTER, kill)
        url = attempt.url.replace(f":{database.port}/", f":{proxy.port}/")
        running = replace(attempt, url=url).start()
        running.finish()
    answer = replace(attempt, attempt=2).run_to_end()
    assert (answer.code, answer.result["outcome"]) == (0, "RolledBack"), answer
    assert answer.result["revision"] == "002"
    assert database.run("SELECT count(email) FROM users") == [(0,)]


def test_stopped_approved_plan_goes_on_and_an_unapproved_one_never_starts(
    database: Postgres, tmp_path: Path
):
    slow = FILES | {"003_slow.up.sql": "SELECT pg_sleep(20);"}
    spec = (("migrations.atomicity", "File"), ("approval", {"before": ["Start"]}))
    look = attempt_on(database, tmp_path, slow, segment="Look", spec=spec).run_to_end()
    refused = attempt_on(database, tmp_path, slow, run="run0", spec=spec).run_to_end()
    assert (refused.code, refused.result["reason"]) == (3, "NotApproved"), refused
    order = (("approved", look.result["planDigest"]),)
    attempt = attempt_on(database, tmp_path, slow, spec=spec, order=order)
    running = attempt.start()
    while database.run("SELECT to_regclass('whimbrel.applied')") == [(None,)] or database.run(
        "SELECT count(*) FROM whimbrel.applied"
    ) != [(2,)]:
        assert running.process.poll() is None, running.finish()
    running.process.send_signal(signal.SIGTERM)
    stopped = running.finish()
    assert (stopped.code, stopped.result["reason"]) == (75, "Stopped"), stopped
    again = attempt.next().start()
    while database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)'"
    ) == [(0,)]:
        assert again.process.poll() is None, again.finish()
    again.process.send_signal(signal.SIGTERM)
    assert again.finish().result["reason"] == "Stopped"


def test_an_older_spec_does_nothing_after_a_newer_one(database: Postgres, tmp_path: Path):
    newer = attempt_on(database, tmp_path, FILES, order=(("number", 5),)).run_to_end()
    assert newer.code == 0, newer
    stale = attempt_on(database, tmp_path, FILES | THIRD, run="old", order=(("number", 4),))
    answer = stale.run_to_end()
    assert (answer.code, answer.result["reason"]) == (75, "Superseded"), answer
    assert database.run("SELECT to_regclass('more')") == [(None,)]


SLEEPY = {"001_slow.up.sql": "CREATE TABLE slow (id int); SELECT pg_sleep(3);"}


def sleeping(attempt: Attempt, database: Postgres) -> RunnerProcess:
    """Start an attempt at SLEEPY, and return when its statement runs."""
    running = attempt.start()
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3)'"
    while database.run(query) == [(0,)]:
        assert running.process.poll() is None, running.finish()
    return running


def test_a_stale_older_run_does_not_disturb_the_newer_one_at_work(
    database: Postgres, tmp_path: Path
):
    newer = attempt_on(database, tmp_path, SLEEPY, order=(("number", 2),))
    running = sleeping(newer, database)
    stale = attempt_on(database, tmp_path, SLEEPY, run="old", order=(("number", 1),)).run_to_end()
    assert (stale.code, stale.result["reason"]) == (75, "Superseded"), stale
    answer = running.finish()
    assert (answer.code, answer.result["outcome"]) == (0, "Done"), answer


def test_the_proof_is_told_where_the_attempt_before_still_held_the_lock(
    database: Postgres, tmp_path: Path
):
    attempt = attempt_on(database, tmp_path, SLEEPY)
    stopped = sleeping(attempt, database)
    stopped.process.send_signal(signal.SIGSTOP)
    answer = attempt.next().run_to_end()
    stopped.process.kill()
    stopped.finish()
    assert (answer.code, answer.result["fence"]) == (0, "Epoch"), answer


def test_abort_of_a_run_that_never_began_is_done(database: Postgres, tmp_path: Path):
    attempt_on(database, tmp_path, FILES).run_to_end()
    answer = attempt_on(database, tmp_path, FILES, run="never", segment="Abort").run_to_end()
    assert (answer.code, answer.result["reason"]) == (0, "Aborted"), answer


def test_rollback_after_a_release_that_left_nothing_does_not_take_back_the_one_before(
    database: Postgres, tmp_path: Path
):
    attempt_on(database, tmp_path, FILES).run_to_end()
    failed = attempt_on(database, tmp_path, FILES | BROKEN, run="run2", order=(("number", 2),))
    assert failed.run_to_end().code == 1
    back = attempt_on(
        database, tmp_path, FILES | BROKEN, run="run3", segment="Rollback", order=(("number", 3),)
    )
    refused = back.run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "NothingToRollBack"), refused
    assert database.run("SELECT count(*) FROM users") == [(0,)]
    named = replace(back, run="run4", order=(("number", 4), ("to", "001"))).run_to_end()
    assert (named.code, named.result["revision"]) == (0, "001"), named


def test_an_end_that_cannot_be_recorded_is_not_called_a_failure(database: Postgres, tmp_path: Path):
    attempt_on(database, tmp_path, FILES).run_to_end()
    database.run(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$"
    )
    database.run(
        "CREATE TRIGGER no BEFORE UPDATE ON whimbrel.attempt FOR EACH ROW "
        "WHEN (NEW.state = 'closed') EXECUTE FUNCTION no()"
    )
    more = attempt_on(database, tmp_path, FILES | THIRD, run="run2", order=(("number", 2),))
    unsaid = more.run_to_end()
    assert (unsaid.code, unsaid.result["reason"]) == (75, "LedgerError"), unsaid
    assert "the disk is full" in unsaid.result["message"]
    assert unsaid.result["attemptOpen"]
    database.run("DROP TRIGGER no ON whimbrel.attempt")
    answer = more.next().run_to_end()
    assert (answer.code, answer.result["revision"]) == (0, "003"), answer


def test_rollback_after_two_tries_takes_back_what_the_first_one_left(
    database: Postgres, tmp_path: Path
):
    spec = (("migrations.atomicity", "File"), ("rollback.onFailure", "Manual"))
    names = list(FILES.items())
    attempt_on(database, tmp_path, dict(names[:2]), spec=spec).run_to_end()
    broken = FILES | BROKEN
    for number, code in ((2, 3), (3, 1)):
        order = (("number", number),)
        tried = attempt_on(
            database, tmp_path, broken, run=f"run{number}", spec=spec, order=order
        ).run_to_end()
        assert tried.code == code, tried
    back = attempt_on(
        database, tmp_path, broken, run="run4", segment="Rollback", spec=spec,
        order=(("number", 4),),
    ).run_to_end()  # fmt: skip
    assert (back.code, back.result["revision"]) == (0, "001"), back


def test_stuck_way_back_is_held_and_keeps_the_reservation(database: Postgres, tmp_path: Path):
    wrong = FILES | THIRD | {"001_users.down.sql": "SELECT nonsense();"}
    spec = (("migrations.atomicity", "File"),)
    attempt_on(database, tmp_path, wrong, spec=spec).run_to_end()
    back = attempt_on(database, tmp_path, wrong, run="back", segment="Rollback", spec=spec)
    held = back.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "RollbackFailed"), held
    assert held.result["revision"] == "001"
    small = {"001_x.up.sql": "SELECT 1;"}
    other = attempt_on(database, tmp_path, small, run="other", name="other", uid="o")
    assert other.run_to_end().result["reason"] == "Waiting"
    mended = FILES | THIRD
    answer = attempt_on(
        database, tmp_path, mended, run="back", attempt=2, segment="Rollback", spec=spec
    ).run_to_end()
    assert (answer.code, answer.result["outcome"]) == (0, "RolledBack"), answer


def test_refused_before_anything_leaves_not_even_a_ledger(database: Postgres, tmp_path: Path):
    answer = attempt_on(database, tmp_path, {"001_a.up.sql": "SELEC 1;"}).run_to_end()
    assert answer.code == 2, answer
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]
