"""The whole runner with a real Alembic project, behind the real launcher."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import kill_in_sleep, url_that_makes_roles, wait_for_sleep

pytestmark = pytest.mark.sampled("Alembic beside its main path")

SLOW = '''"""slow"""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("SELECT pg_sleep(20)")
def downgrade():
    pass
'''
BROKEN = SLOW.replace("pg_sleep(20)", "nonsense()")
# No other worker of the tests has it: a tool of the same run on this machine would look like ours.
RUN = f"run-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))


@pytest.fixture
def attempt(database: Postgres, project: Path) -> Iterator[Attempt]:
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Attempt(Path(folder), database.url, (), project, run=RUN)


@pytest.mark.sampled("the main path")
def test_up_again_and_back(attempt: Attempt, database: Postgres):
    up = attempt.run_to_end()
    assert (up.code, up.result.get("revision")) == (0, "0003"), up
    again = replace(attempt, run=f"{RUN}-2").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    back = replace(attempt, run=f"{RUN}-3", segment="Rollback").run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert database.run("SELECT count(*) FROM alembic_version") == [(0,)]


@pytest.mark.sampled("the main path")
def test_failing_middle_migration_leaves_everything_as_before(
    attempt: Attempt, project: Path, database: Postgres
):
    (project / "migrations/versions/0004_broken.py").write_text(BROKEN)
    answer = attempt.run_to_end()
    assert answer.code == 1, answer
    assert "as before" in answer.result["message"]
    assert "42883" in answer.result["message"] or "nonsense" in answer.result["message"]
    assert database.run("SELECT to_regclass('alembic_version')") == [(None,)]


@pytest.mark.sampled("half done by Alembic")
def test_bookkeeping_that_became_ambiguous_while_the_tool_ran_is_a_question(
    attempt: Attempt, project: Path, database: Postgres
):
    second = "CREATE SCHEMA twin; CREATE TABLE twin.alembic_version (version_num text)"
    text = SLOW.replace("SELECT pg_sleep(20)", second)
    (project / "migrations/versions/0004_twin.py").write_text(text)
    held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "BookkeepingAmbiguous"), held
    assert "as before" not in held.result["message"]
    assert held.result["command"] == "whimbrel retry shop -n team"
    database.run("DROP SCHEMA twin CASCADE")
    retried = replace(attempt, run=f"{RUN}-2", order=(("retry", "now"),)).run_to_end()
    assert (retried.code, retried.result["revision"]) == (0, "0004"), retried


@dataclass(frozen=True)
class Killed:
    """A run whose runner was killed while the tool's statement ran."""

    attempt: Attempt
    project: Path


def killed(attempt: Attempt, project: Path, database: Postgres) -> Killed:
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(SLOW)
    kill_in_sleep(database, attempt)
    slow.write_text(SLOW.replace("pg_sleep(20)", "1"))
    return Killed(replace(attempt, attempt=2, machine=""), project)


def test_killed_runner_takes_the_tool_along_and_this_machine_proves_it(
    attempt: Attempt, project: Path, database: Postgres
):
    answer = killed(attempt, project, database).attempt.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == "Process"


@pytest.mark.parametrize(
    ("order", "fence"),
    [
        pytest.param({"ended": ["Migrate/1@another-node"]}, "Kubelet", id="the kubelet says so"),
        pytest.param(
            {"resolution": {"verdict": "FenceProven", "run": RUN, "by": "ada"}},
            "FenceProven",
            id="a person says so",
        ),
    ],
)
@pytest.mark.sampled("Alembic cut short")
def test_lost_machine_needs_a_proof(
    order: dict, fence: str, attempt: Attempt, project: Path, database: Postgres
):
    lost = killed(replace(attempt, machine="another-node"), project, database).attempt
    held = lost.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "FenceUnproven"), held
    assert held.result["command"].startswith("whimbrel resolve shop -n team --as FenceProven")
    answer = replace(lost, attempt=3, order=tuple(order.items())).run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == fence


def test_a_login_of_its_own_is_the_fence(attempt: Attempt, project: Path, database: Postgres):
    url = url_that_makes_roles(database)
    attempt = replace(attempt, url=url, run="own", machine="another-node")
    answer = killed(attempt, project, database).attempt.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == "Role"
    owners = database.run("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(database.user,)]
    left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'whimbrel_run_own_%%'"
    assert database.run(left) == [(0,)]


def test_sigterm_stops_the_tool_and_says_so(attempt: Attempt, project: Path, database: Postgres):
    (project / "migrations/versions/0004_slow.py").write_text(SLOW)
    running = attempt.start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(20)
    assert (answer.code, answer.result.get("reason")) == (75, "Stopped"), answer
    assert database.run("SELECT to_regclass('alembic_version')") == [(None,)]


def transaction_per_migration(project: Path) -> None:
    env = project / "migrations/env.py"
    once = "target_metadata=target_metadata"
    env.write_text(env.read_text().replace(once, f"{once}, transaction_per_migration=True"))


@pytest.mark.sampled("Alembic cut short")
def test_sigterm_between_two_transactions_of_the_tool_takes_nothing_back(
    attempt: Attempt, project: Path, database: Postgres
):
    transaction_per_migration(project)
    database.run("CREATE TABLE naps AS SELECT 1")
    replace(attempt, spec=(("migrations.to", "0001"),)).run_to_end()
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(SLOW.replace("pg_sleep(20)", "pg_sleep(20) FROM naps"))
    second = replace(attempt, run=f"{RUN}-2", order=(("number", 2),))
    running = second.start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(20)
    assert (answer.code, answer.result.get("reason")) == (75, "Stopped"), answer
    assert answer.result["revision"] == "0003"
    assert "left the database at 0003" in answer.result["message"]
    database.run("TRUNCATE naps")
    on = second.next().run_to_end()
    assert (on.code, on.result.get("revision"), on.result.get("fence")) == (0, "0004", None), on


@pytest.mark.sampled("Alembic cut short")
def test_a_lock_between_two_transactions_of_the_tool_takes_nothing_back(
    attempt: Attempt, project: Path, database: Postgres
):
    transaction_per_migration(project)
    database.run("CREATE TABLE hot (n int)")
    replace(attempt, spec=(("migrations.to", "0001"),)).run_to_end()
    text = SLOW.replace("SELECT pg_sleep(20)", "ALTER TABLE hot ADD COLUMN m int")
    (project / "migrations/versions/0004_hot.py").write_text(text)
    second = replace(attempt, run=f"{RUN}-2", order=(("number", 2),))
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT * FROM hot")
        answer = second.run_to_end()
    assert (answer.code, answer.result.get("reason")) == (75, "Blocked"), answer
    assert answer.result["revision"] == "0003"
    on = second.next().run_to_end()
    assert (on.code, on.result.get("revision")) == (0, "0004"), on


def autocommitted(statement: str) -> str:
    """Return a migration that commits a statement by itself, and waits in it."""
    block = f'with op.get_context().autocommit_block():\n        op.execute("{statement}")'
    return SLOW.replace('op.execute("SELECT pg_sleep(20)")', block)


@pytest.mark.sampled("Alembic cut short")
def test_way_back_never_leads_below_what_was_adopted(attempt: Attempt, database: Postgres):
    first = replace(attempt, spec=(("migrations.to", "0001"),))
    assert first.run_to_end().code == 0
    for statement in ("DROP TABLE alembic_version", "DROP SCHEMA whimbrel CASCADE"):
        database.run(statement)
    adopted = replace(attempt, run="adopt", spec=(("migrations.baseline", "0001"),))
    answer = adopted.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0003"), answer
    back = replace(adopted, run="back", segment="Rollback").run_to_end()
    assert (back.code, back.result.get("revision")) == (0, "0001"), back
    assert database.run("SELECT to_regclass('users') IS NOT NULL") == [(True,)]


@pytest.mark.sampled("half done by Alembic")
def test_half_done_tool_is_not_started_again_without_a_person(
    attempt: Attempt, project: Path, database: Postgres
):
    up = 'op.execute("SELECT pg_sleep(20)")'
    half = 'with op.get_context().autocommit_block():\n        op.execute("CREATE TABLE half ()")'
    (project / "migrations/versions/0004_slow.py").write_text(SLOW.replace(up, f"{half}\n    {up}"))
    replace(attempt, spec=(("migrations.to", "0003"),)).run_to_end()
    kill_in_sleep(database, replace(attempt, run=f"{RUN}-2"))
    held = replace(attempt, run=f"{RUN}-2", attempt=2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert held.result["command"] == "whimbrel retry shop -n team"
    newer = replace(attempt, run=f"{RUN}-3", order=(("number", 2),)).run_to_end()
    assert newer.result["reason"] == "HalfDone", newer
    database.run("DROP TABLE half")
    (project / "migrations/versions/0004_slow.py").write_text(SLOW.replace("pg_sleep(20)", "1"))
    told = replace(attempt, run=f"{RUN}-4", order=(("number", 2), ("retry", "now"))).run_to_end()
    assert (told.code, told.result.get("revision")) == (0, "0004"), told


@pytest.mark.parametrize(
    "half",
    [
        "ALTER TYPE mood ADD VALUE 'b'",
        "CREATE TYPE taste AS ENUM ('a')",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
@pytest.mark.sampled("half done by Alembic")
def test_half_of_a_migration_that_is_no_relation_is_seen_too(
    half: str, attempt: Attempt, project: Path, database: Postgres
):
    database.run("CREATE TYPE mood AS ENUM ('a')")
    replace(attempt, run=f"{RUN}-0", spec=(("migrations.to", "0003"),)).run_to_end()
    broken = autocommitted(half).replace("\ndef down", '\n    op.execute("SELECT no()")\ndef down')
    (project / "migrations/versions/0004_half.py").write_text(broken)
    answer = replace(attempt, order=(("number", 2),)).run_to_end()
    assert (answer.code, answer.result["reason"]) == (3, "HalfDone"), answer


@pytest.mark.sampled("half done by Alembic")
def test_what_a_lost_run_added_is_known_and_taken_back(
    attempt: Attempt, project: Path, database: Postgres
):
    replace(attempt, spec=(("migrations.to", "0001"),)).run_to_end()
    running = replace(attempt, run=f"{RUN}-2").start()
    while database.run("SELECT version_num FROM alembic_version") != [("0003",)]:
        assert running.process.poll() is None, running.finish()
    running.process.kill()
    running.finish()
    again = replace(attempt, run=f"{RUN}-2", attempt=2).run_to_end()
    assert (again.code, again.result.get("revision")) == (0, "0003"), again
    back = replace(attempt, run=f"{RUN}-3", segment="Rollback").run_to_end()
    assert (back.code, back.result.get("revision")) == (0, "0001"), back


def altered(revision: str, below: str, up: str, back: str) -> str:
    """Return a migration of two statements."""
    text = SLOW.replace('"0004"', f'"{revision}"').replace('"0003"', f'"{below}"')
    return text.replace("SELECT pg_sleep(20)", up).replace("    pass", f'    op.execute("{back}")')


@pytest.mark.sampled("half done by Alembic")
def test_what_a_later_run_renamed_is_salvaged_under_its_new_name(
    attempt: Attempt, project: Path, database: Postgres
):
    replace(attempt, spec=(("migrations.to", "0003"),)).run_to_end()
    files = {
        "0004": ("ADD COLUMN c text", "DROP COLUMN c"),
        "0005": ("RENAME COLUMN c TO d", "RENAME COLUMN d TO c"),
    }
    for number, (revision, words) in enumerate(files.items(), start=2):
        below = f"000{int(revision) - 1}"
        text = altered(revision, below, *(f"ALTER TABLE users {each}" for each in words))
        (project / f"migrations/versions/{revision}.py").write_text(text)
        ran = replace(attempt, run=f"run{number}", order=(("number", number),)).run_to_end()
        assert (ran.code, ran.result["revision"]) == (0, revision), ran
    database.run("UPDATE users SET d = 'precious' WHERE id = 1")
    lower = (("number", 4), ("to", "0003"))
    back = replace(attempt, run="back", segment="Rollback", order=lower).run_to_end()
    assert (back.code, back.result["revision"]) == (0, "0003"), back
    (table,) = back.result["salvage"]
    assert database.run(f"SELECT d FROM whimbrel.{table}") == [("precious",)]


def test_later_migration_fails_and_the_run_is_taken_back(
    attempt: Attempt, project: Path, database: Postgres
):
    transaction_per_migration(project)
    replace(attempt, spec=(("migrations.to", "0001"),)).run_to_end()
    (project / "migrations/versions/0004_broken.py").write_text(BROKEN)
    answer = replace(attempt, run=f"{RUN}-2").run_to_end()
    assert answer.code == 1, answer
    assert "taken back" in answer.result["message"]
    assert answer.result["revision"] == "0001"


@pytest.mark.sampled("half done by Alembic")
def test_a_fingerprint_of_another_version_is_no_half_done_work(
    attempt: Attempt, project: Path, database: Postgres
):
    """The operator, or the server, was upgraded between a kill and the next attempt."""
    again = killed(attempt, project, database).attempt
    database.run("UPDATE whimbrel.tool_run SET fingerprint_before = '00000000/15:old'")
    answer = again.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer


@pytest.mark.sampled("Alembic cut short")
def test_an_edited_applied_migration_is_refused_until_its_text_is_back_or_a_person_retries(
    attempt: Attempt, project: Path, database: Postgres
):
    first = project / "migrations/versions"
    (path,) = first.glob("0001*")
    replace(attempt, spec=(("migrations.to", "0002"),)).run_to_end()
    text = path.read_bytes()
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    refused = replace(attempt, run=f"{RUN}-2", order=(("number", 2),)).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "EditedFile"), refused
    assert refused.result["message"].startswith(f"{path.name} was edited"), refused
    assert refused.result["command"] == "whimbrel retry shop -n team"
    assert database.run("SELECT version_num FROM alembic_version") == [("0002",)]
    path.write_bytes(text)
    restored = replace(attempt, run=f"{RUN}-3", order=(("number", 3),)).run_to_end()
    assert (restored.code, restored.result["revision"]) == (0, "0003"), restored
    path.write_bytes(text + b"\n")
    retried = replace(attempt, run=f"{RUN}-4", order=(("number", 4), ("retry", "now"))).run_to_end()
    assert (retried.code, retried.result["outcome"]) == (0, "NothingToDo"), retried
    assert retried.result["warnings"] == [
        f"EditAccepted: {path.name} is not what was applied; a person asked to retry, so it counts "
        "as it is now"
    ]
    kept = replace(attempt, run=f"{RUN}-5", order=(("number", 5),)).run_to_end()
    assert (kept.code, kept.result["outcome"]) == (0, "NothingToDo"), kept


@pytest.mark.sampled("half done by Alembic")
def test_a_text_that_a_killed_runner_had_applied_is_known(
    attempt: Attempt, project: Path, database: Postgres
):
    transaction_per_migration(project)
    replace(attempt, spec=(("migrations.to", "0001"),)).run_to_end()
    second = replace(attempt, run=f"{RUN}-2", order=(("number", 2),))
    again = killed(second, project, database).attempt
    (path,) = (project / "migrations/versions").glob("0002*")
    path.write_text(path.read_text() + "\n")
    failed = again.run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "EditedFile"), failed
    assert failed.result["message"].startswith(f"{path.name} was edited"), failed
    assert failed.result["revision"] == "0001", failed


@pytest.mark.sampled("half done by Alembic")
def test_a_project_that_is_broken_between_two_attempts_leaves_its_end_to_a_person(
    attempt: Attempt, project: Path, database: Postgres
):
    transaction_per_migration(project)
    again = killed(attempt, project, database).attempt
    (project / "alembic.ini").unlink()
    held = again.run_to_end()
    assert (held.code, held.result["outcome"]) == (3, "Held"), held
    assert "what they did stays: the database is at 0003" in held.result["message"]
