"""An Alembic project with a checkpoint: a login of its own, several commits, a part that stays."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_runs import Shop
from tests.checkpoint_shop import (
    USERS,
    admin,
    asleep,
    left_over,
    migrator,
    shape,
    until,
    writing,
)
from tests.postgres import Postgres
from tests.processes import ROOT, is_dead_within
from tests.runner_process import Attempt
from whimbrel.planning.dialects.postgresql_capture import prepare_role

pytestmark = pytest.mark.sampled("a checkpoint of Alembic")

HEAD = '''"""{0}"""
from alembic import op
revision = "{0}"
down_revision = {1}
def upgrade():
    with op.get_context().autocommit_block():
{2}
def downgrade():
    raise NotImplementedError
'''
FIRST = """
        op.execute("CREATE TABLE orders (id int PRIMARY KEY)")"""
DAMAGE = """
        op.execute("ALTER TABLE users DROP COLUMN mail, ADD COLUMN mood text")
        op.execute("UPDATE users SET name = upper(name), credits = credits / 2")
        op.execute("DELETE FROM users WHERE id % 7 = 0")
        op.execute("CREATE TABLE moods (id int PRIMARY KEY)")"""
FAILS = (
    DAMAGE
    + """
        op.execute("SELECT 1/0")"""
)
SLEEPS = (
    DAMAGE
    + """
        op.execute("SELECT pg_sleep(60)")"""
)
LISTED = ("checkpoint", {"scope": "Tables", "tables": [{"name": "users"}]})


def write(shop: Shop, revision: str, before: str, body: str) -> None:
    """Write a migration that commits each of its statements."""
    text = HEAD.format(revision, repr(before) if before else None, body)
    assert shop.attempt.project is not None
    (shop.attempt.project / f"migrations/versions/{revision}.py").write_text(text)


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    project = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    for each in (project / "migrations/versions").glob("*.py"):
        each.unlink()
    database.run(USERS)
    login = migrator(database)
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder, writing(database) as writer:
        attempt = Attempt(Path(folder), login.url, (), project, spec=(LISTED,))
        opened = Shop(database, writer, attempt, [])
        write(opened, "0001", "", FIRST)
        done = opened.run(1)
        assert done["outcome"] == "Done", done["message"]
        opened.before[:] = shape(database)
        yield opened


def books(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.database.run("SELECT version_num FROM alembic_version")


def expect_as_before(shop: Shop) -> None:
    shop.expect_as_before()
    assert books(shop) == [("0001",)]
    assert shop.writer.errors == []


@pytest.mark.sampled("the main path")
def test_a_migration_that_commits_a_part_and_fails_is_restored(shop: Shop):
    write(shop, "0002", "0001", FAILS)
    failed = shop.run(2)
    assert failed["outcome"] == "Failed", failed["message"]
    assert "2 table(s) were restored from the checkpoint" in failed["message"]
    expect_as_before(shop)
    # What was mended goes up, without a word of the half that is gone.
    write(shop, "0002", "0001", DAMAGE)
    done = shop.run(3)
    assert (done["outcome"], done.get("revision")) == ("Done", "0002"), done["message"]


def test_a_person_takes_a_run_back_that_has_no_way_down(shop: Shop):
    write(shop, "0002", "0001", DAMAGE)
    done = shop.run(2)
    assert done["checkpoint"]["tables"] == ["public.alembic_version", "public.users"]
    shop.writer.wait(100)
    back = shop.run(3, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    assert back["revision"] == "0001"
    expect_as_before(shop)
    assert shop.run(4)["reason"] == "WasRolledBack"


def test_a_lower_target_is_reached_by_the_checkpoint(shop: Shop):
    write(shop, "0002", "0001", DAMAGE)
    shop.run(2)
    back = shop.run(3, spec=(("migrations.to", "0001"),))
    assert (back["outcome"], back["reason"]) == ("Done", "TakenBack"), back["message"]
    expect_as_before(shop)


def test_a_tool_that_shows_no_sql_wants_a_list(shop: Shop):
    write(shop, "0002", "0001", DAMAGE)
    told = shop.run(2, spec=(("checkpoint", {}),))
    assert (told["outcome"], told["reason"]) == ("Refused", "CheckpointNotPossible")
    assert "list them in checkpoint.tables with checkpoint.scope Tables" in told["message"]
    expect_as_before(shop)


def test_a_login_that_the_application_uses_too_names_both_ways_out(shop: Shop):
    """The owner itself may make no logins, so the tool runs as we do."""
    write(shop, "0002", "0001", DAMAGE)
    shop.run(1, "Discard")
    as_owner = replace(shop, attempt=replace(shop.attempt, url=shop.database.url))
    with shop.database.connect():
        told = as_owner.run(2)
    assert (told["outcome"], told["reason"]) == ("Refused", "LoginShared"), told["message"]
    assert "runRole" in told["message"]
    expect_as_before(shop)


LINGERS = """
        op.execute("SET application_name = 'mine'")
        op.execute("UPDATE users SET credits = credits / 2")
        op.execute("CREATE TEMP TABLE held (a int)")
        op.execute("SELECT pg_advisory_lock_shared(42)")"""

LATER = (
    "SELECT after IS NOT NULL AND at < clock_timestamp() - interval '1 second'"
    " FROM whimbrel.tool_run WHERE run = %s"
)
HELD = "SELECT oid::regclass::text FROM pg_class WHERE relname = 'held'"


@pytest.fixture
def prepared(shop: Shop) -> Iterator[Shop]:
    """A shop whose migration runs as the owner, who may make no logins: the tool runs as we do."""
    dba, owner = admin(shop.database), shop.database.user
    shop.run(1, "Discard")
    dba.run(prepare_role("whimbrel", owner, owner)[1])
    yield replace(shop, attempt=replace(shop.attempt, url=shop.database.url))
    shop.run(2, "Discard")
    dba.run("DROP OWNED BY whimbrel_capture CASCADE; DROP ROLE whimbrel_capture")


@pytest.mark.parametrize("then", ["", '\n        op.execute("SELECT 1/0")'], ids=["done", "failed"])
def test_a_session_of_the_tool_that_ends_after_it_is_nobody_elses(prepared: Shop, then: str):
    """The server drops its temporary table first; its name is not the one we gave."""
    write(prepared, "0002", "0001", LINGERS + then)
    dba = admin(prepared.database)
    with dba.connect() as reader, reader.transaction():
        with dba.connect() as gate:
            gate.execute("SELECT pg_advisory_lock(42)")
            running = prepared.start(2, spec=(("limits.lockTimeout", "60s"),))
            until(lambda: dba.run(HELD))
            reader.execute(f"LOCK TABLE {dba.run(HELD)[0][0]} IN ACCESS SHARE MODE")
        until(lambda: dba.run(LATER, prepared.id(2)) == [(True,)])
        assert dba.run("SELECT 1 FROM pg_stat_activity WHERE application_name = 'mine'")
    told = running.finish().result
    assert told["outcome"] == ("Failed" if then else "Done"), told["message"]
    assert told["checkpoint"].get("restorable", False) is not bool(then)
    if then:
        expect_as_before(prepared)


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_ends_while_the_tool_works_loses_nothing(shop: Shop, ended: int):
    write(shop, "0002", "0001", SLEEPS)
    running = shop.start(2)
    until(lambda: asleep(shop.database))
    running.process.send_signal(ended)
    assert running.tool is not None
    assert is_dead_within(running.tool.pid, 20)
    running.finish()
    shop.writer.wait(50)
    # What the next attempt meets: a part that stays, so the checkpoint is the way back.
    write(shop, "0002", "0001", FAILS)
    answers = [shop.run(2, attempt=number) for number in (2, 3)]
    assert answers[-1]["outcome"] == "Failed", [each["message"] for each in answers]
    assert "restored from the checkpoint" in answers[-1]["message"]
    expect_as_before(shop)
    assert shop.run(2, "Discard")["outcome"] == "Done"
    assert left_over(shop.database) == []


def test_every_login_that_is_made_for_the_run_is_the_migrations(shop: Shop):
    """Each attempt of a run has a login of its own; the writes of all are no application's."""
    write(shop, "0002", "0001", DAMAGE)
    shop.run(2)
    known = "SELECT login, own_login FROM whimbrel.checkpoint WHERE id = %s"
    assert shop.database.run(known, shop.id(2)) == [(f"whimbrel_run_{shop.id(2)}_", True)]
