"""A migration of SQL files with a checkpoint: taken back, and no write of the application lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoint_runs import DAMAGE, DAMAGED, EACH_FILE, FAILS, Shop, files, opened
from tests.checkpoint_shop import (
    admin,
    end_the_look_at_the_journal,
    expect_nothing_lost,
    no_further_session,
    shape,
)
from tests.postgres import Postgres
from tests.scenarios.terminal import await_sleeper

# Rows that come and go: 18 MiB for the journal, and nothing to remember.
BURST = """
DO $$ BEGIN
    INSERT INTO users (name, credits)
        SELECT (SELECT string_agg(md5(m::text || n), '') FROM generate_series(1, 3200) m), 1
        FROM generate_series(1, 90) n;
    DELETE FROM users WHERE length(name) > 100000;
END $$
"""

pytestmark = pytest.mark.sampled("a checkpoint of files")


@pytest.fixture
def any_shop(any_database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(any_database, tmp_path)


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(database, tmp_path)


@pytest.mark.sampled("the main path")
def test_a_run_that_fails_after_its_first_transaction_is_restored(any_shop: Shop):
    shop = any_shop
    failed = shop.run(files=files(FAILS), spec=(EACH_FILE,))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed
    assert f"1 table(s) were restored from the checkpoint of run {shop.id(1)}" in failed["message"]
    assert failed["checkpoint"]["state"] == "Restored"
    assert shop.writer.errors == []
    shop.expect_as_before()
    assert shop.database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_a_person_takes_a_run_back_and_writes_made_since_stay(any_shop: Shop):
    shop = any_shop
    done = shop.run()
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    assert done["checkpoint"]["restorable"] is True
    assert done["checkpoint"]["tables"] == ["public.users"]
    shop.writer.wait(200)
    back = shop.run(2, "Rollback")
    assert (back["outcome"], back["reason"]) == ("RolledBack", "RolledBack"), back
    assert f"restored from the checkpoint of run {shop.id(1)}" in back["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()
    again = shop.run(3)
    assert (again["outcome"], again["reason"]) == ("Held", "WasRolledBack"), again


def test_an_index_that_cannot_be_built_alone_takes_the_run_back(shop: Shop):
    index = "-- whimbrel: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY twice ON users (name)"
    failed = shop.run(files=files(DAMAGED | {"002_twice.up.sql": index}))
    assert failed["outcome"] == "Failed", failed["message"]
    assert "were restored from the checkpoint" in failed["message"]
    shop.expect_as_before()


def test_manual_leaves_the_decision_to_a_person_who_restores(shop: Shop):
    manual = ("rollback", {"onFailure": "Manual"})
    held = shop.run(files=files(FAILS), spec=(EACH_FILE, manual))
    assert (held["outcome"], held["checkpoint"]["restorable"]) == ("Held", True), held["message"]
    back = shop.run(2, "Rollback", files=files(FAILS), spec=(EACH_FILE, manual))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_a_red_check_in_the_window_of_the_run_restores(shop: Shop):
    release = (("release", True),)
    assert shop.run(order=release)["goesOn"] is True
    shop.writer.wait(50)
    back = shop.run(1, "Rollback", attempt=2, order=release)
    assert back["outcome"] == "RolledBack", back["message"]
    again = shop.run(1, "Rollback", attempt=3, order=release)
    assert (again["outcome"], again["message"]) == ("RolledBack", back["message"])
    shop.expect_as_before()


def test_a_lower_target_is_reached_by_the_checkpoint_of_the_run_that_left_it(shop: Shop):
    first = {"000_first.up.sql": "CREATE TABLE other (id int PRIMARY KEY)"}
    assert shop.run(1, files=files(first))["outcome"] == "Done"
    shop.before[:] = shape(shop.database)
    assert shop.run(2, files=files(first | DAMAGED))["outcome"] == "Done"
    lower = ("migrations.to", "000")
    back = shop.run(3, files=files(first | DAMAGED), spec=(lower,))
    assert (back["outcome"], back["reason"]) == ("Done", "TakenBack"), back["message"]
    assert "restored from the checkpoint" in back["message"]
    assert back["revision"] == "000"
    shop.expect_as_before()


def test_what_has_no_place_in_the_shape_before_is_on_record(shop: Shop):
    """The new version of the application writes a column that only the new shape has."""
    shop.run()
    app = shop.writer.database
    app.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    back = shop.run(2, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    assert "1 value(s) have no place: `whimbrel conflicts shop -n team`" in back["message"]
    rows = "SELECT key, column_name, value FROM whimbrel.checkpoint_conflict"
    assert shop.database.run(rows) == [({"id": 3}, "mood", "sad")]
    shop.expect_as_before()


def test_a_conflict_holds_where_that_is_asked_and_a_person_may_let_it_go(shop: Shop):
    hold = ("checkpoint", {"onConflict": "Hold"})
    shop.run(spec=(hold,))
    shop.writer.database.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    held = shop.run(2, "Rollback", spec=(hold,))
    assert held["outcome"] == "Held", held["message"]
    assert "the restore of the checkpoint did not come to its end" in held["message"]
    assert shop.database.run("SELECT count(mood) FROM users") == [(1,)], "nothing was changed"
    back = shop.run(3, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_what_is_changed_besides_is_found_named_and_not_half_restored(shop: Shop):
    shop.database.run("CREATE TABLE orgs (id int PRIMARY KEY)")
    block = "DO $$ BEGIN ALTER TABLE orgs ADD COLUMN x int; END $$;" + DAMAGE
    listed = ("checkpoint", {"scope": "Tables", "tables": [{"name": "users"}]})
    done = shop.run(files=(("001_x.up.sql", block),), spec=(listed,))
    assert done["outcome"] == "Done", done["message"]
    (warned,) = [each for each in done["warnings"] if each.startswith("NotCovered: ")]
    assert "public.orgs (column)" in warned
    held = shop.run(2, "Rollback", files=(("001_x.up.sql", block),), spec=(listed,))
    assert (held["outcome"], held["reason"]) == ("Held", "CheckpointPartial"), held["message"]
    shop.database.run("ALTER TABLE orgs DROP COLUMN x")
    back = shop.run(3, "Rollback", files=(("001_x.up.sql", block),), spec=(listed,))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.writer.stop()
    expect_nothing_lost(shop.database, shop.writer)


@pytest.mark.sampled("the main path")
def test_a_journal_that_fills_stops_the_migration_and_never_the_application(shop: Shop):
    """The migration's half is filled at once; its writers alone do not fill the other one."""
    slow = DAMAGED | {"002_slow.up.sql": "SELECT pg_sleep(60)"}
    small = ("checkpoint", {"maxJournal": "32Mi"})
    running = shop.start(files=files(slow), spec=(EACH_FILE, small))
    await_sleeper(admin(shop.database))
    shop.writer.database.run(BURST)
    failed = running.finish().result
    assert (failed["outcome"], failed["reason"]) == ("Failed", "JournalFull"), failed["message"]
    assert "reached half of its checkpoint.maxJournal (32Mi)" in failed["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()


def test_a_journal_is_looked_at_also_where_the_session_for_that_was_lost(shop: Shop):
    slow = DAMAGED | {"002_slow.up.sql": "SELECT pg_sleep(60)"}
    small = ("checkpoint", {"maxJournal": "32Mi"})
    running = shop.start(files=files(slow), spec=(EACH_FILE, small))
    await_sleeper(admin(shop.database))
    end_the_look_at_the_journal(shop.database)
    shop.writer.database.run(BURST)
    failed = running.finish().result
    assert (failed["outcome"], failed["reason"]) == ("Failed", "JournalFull"), failed["message"]
    shop.expect_as_before()


def test_a_journal_that_nobody_can_look_at_stops_the_migration(shop: Shop):
    slow = DAMAGED | {"002_slow.up.sql": "SELECT pg_sleep(60)"}
    running = shop.start(files=files(slow), spec=(EACH_FILE,))
    await_sleeper(admin(shop.database))
    with no_further_session(shop.database):
        end_the_look_at_the_journal(shop.database)
        failed = running.finish().result
    assert (failed["outcome"], failed["reason"]) == ("Failed", "JournalUnseen"), failed["message"]
    assert "were restored from the checkpoint" in failed["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()


def test_a_trigger_that_was_taken_off_makes_the_way_back_unprovable(shop: Shop):
    off = DAMAGED | {"002_off.up.sql": "ALTER TABLE users DISABLE TRIGGER ALL"}
    held = shop.run(files=files(off), spec=(EACH_FILE,))
    assert (held["outcome"], held["reason"]) == ("Held", "CaptureBroken"), held["message"]
    assert "restorable" not in held["checkpoint"]
    assert "going back by it is not provable" in held["checkpoint"]["reason"]


def test_objects_of_others_are_not_restored(shop: Shop):
    shop.run()
    other = replace(shop, attempt=replace(shop.attempt, name="other", uid="uid-other"))
    refused = other.run(2, "Rollback", spec=(("migrations.history", "other"),))
    assert refused["outcome"] == "Refused", refused["message"]
    assert shop.database.run("SELECT state FROM whimbrel.checkpoint") == [("Ready",)]


def test_prismas_own_table_goes_back_with_the_others(shop: Shop):
    prisma = ("migrations.tool", "prisma")
    first = {"20260101000000_first.migration.sql": "CREATE TABLE orgs (id int PRIMARY KEY)"}
    damage = {"20260102000000_damage.migration.sql": DAMAGE}
    assert shop.run(1, files=files(first), spec=(prisma,))["outcome"] == "Done"
    shop.before[:] = shape(shop.database)
    books = "SELECT migration_name, finished_at FROM _prisma_migrations"
    known = shop.database.run(books)
    done = shop.run(2, files=files(first | damage), spec=(prisma,))
    assert done["checkpoint"]["tables"] == ["public._prisma_migrations", "public.users"]
    back = shop.run(3, "Rollback", files=files(first | damage), spec=(prisma,))
    assert back["outcome"] == "RolledBack", back["message"]
    assert shop.database.run(books) == known
    shop.expect_as_before()
