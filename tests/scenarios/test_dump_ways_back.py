"""The dump as the way back: all of the database in one transaction, and what that loses."""

from pathlib import Path

import pytest

from tests.checkpoint_shop import admin, until
from tests.dump_runs import (
    ACCEPTED,
    AT_WORK,
    DAMAGED,
    EACH_FILE,
    FAILS,
    ON_EACH,
    WAITS,
    Shop,
    content,
    files,
    opened,
    ordering,
)
from tests.postgres import BINARIES, Postgres

pytestmark = pytest.mark.sampled("a dump as the way back")

NOTHING_ACCEPTED = ("rollback", {})


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Shop:
    return opened(database, tmp_path, {}, spec=(ACCEPTED,))


def test_the_plan_says_why_at_what_cost_and_with_what_loss(shop: Shop):
    log = shop.start(1, "Look").finish().log
    for words in (
        "Dump first: the whole database by postgres:17 to the claim dumps, as the way back of",
        "way back while it runs: rung 0, ROLLBACK, because all of it is one transaction",
        "way back afterwards, for 24h: rung 5, restore of a dump of the whole database by pg_dump",
        "because a copy of tables (rung 3) cannot be: ",
        "in one transaction that locks every table, so the application waits for it",
        "does not bring back roles, large objects, foreign servers, subscriptions and event",
        "loses every write of the application since it was made, which rollback.allowDataLoss",
    ):
        assert words in log, log


@ON_EACH
def test_a_person_takes_back_what_no_copy_covers(any_database: Postgres, tmp_path: Path):
    shop = opened(any_database, tmp_path, {}, spec=(ACCEPTED,))
    done = shop.run()
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    assert (done["checkpoint"]["restorable"], done["checkpoint"]["state"]) == (True, "Ready")
    known = {"database": done["databaseUuid"], "epoch": done["epoch"]}
    shop.database.run("INSERT INTO orders DEFAULT VALUES")
    back = shop.run(2, "Rollback", order=(("known", known),))
    assert (back["outcome"], back["reason"]) == ("RolledBack", "RolledBack"), back
    assert "the whole database was restored from the dump dumps/" in back["message"]
    assert "every write since then is lost: those of the last" in back["message"]
    assert back["warnings"] == ["DataLossAllowed: Ada allowed it (a test): every write since "
                                + back["message"].split("made at ")[1][:20]]  # fmt: skip
    assert shop.database.run("SELECT verdict, by FROM whimbrel.resolution") == [
        ("DataLossAllowed", "Ada")
    ]
    # Sequences never go back: 201 was given to the order that is lost, 202 comes next.
    assert shop.database.run("INSERT INTO orders DEFAULT VALUES RETURNING id") == [(202,)]
    shop.database.run("DELETE FROM orders WHERE id = 202")
    assert shop.database.run("SELECT nextval('numbers')") == [(8,)]
    shop.expect_as_before()
    assert [each.name for each in shop.claim.iterdir()] == [back["checkpoint"]["dump"][6:]]

    # The ledger did not go back, and knows what was taken back.
    known = {"database": back["databaseUuid"], "epoch": back["epoch"]}
    again = shop.run(3, order=(("known", known),))
    assert (again["outcome"], again["reason"]) == ("Held", "WasRolledBack"), again
    shop.expect_as_before()
    retried = shop.run(4, order=(("known", known), ("retry", "now")))
    assert retried["outcome"] == "Done", retried
    assert shop.database.run("SELECT count(*) FROM added.more") == [(0,)]


def test_nobody_has_accepted_the_loss_yet(shop: Shop):
    assert shop.run()["outcome"] == "Done"
    held = shop.run(2, "Rollback", spec=(NOTHING_ACCEPTED,))
    assert (held["outcome"], held["reason"]) == ("Held", "DumpLosesWrites"), held
    assert "a restore loses every write since" in held["message"]
    assert held["command"] == (
        "whimbrel rollback shop -n team --allow-data-loss --by WHO --reason TEXT"
    )
    assert shop.database.run("SELECT count(*) FROM added.more") == [(0,)], "nothing was changed"
    assert shop.run(3, "Rollback")["outcome"] == "RolledBack"
    shop.expect_as_before()


@pytest.mark.sampled("the main path")
def test_a_run_that_fails_after_its_first_transaction_is_taken_back(shop: Shop):
    failed = shop.run(files=files(FAILS), spec=(EACH_FILE,))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed
    assert "the whole database was restored from the dump" in failed["message"]
    assert "the database is as before this run" in failed["message"]
    shop.expect_as_before()
    assert shop.database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_manual_leaves_the_decision_to_a_person(shop: Shop):
    manual = ("rollback", {**ACCEPTED[1], "onFailure": "Manual"})
    held = shop.run(files=files(FAILS), spec=(EACH_FILE, manual))
    assert held["outcome"] == "Held", held
    back = shop.run(2, "Rollback", files=files(FAILS), spec=(EACH_FILE, manual))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_a_red_check_in_the_window_of_the_run_takes_it_back(shop: Shop):
    release = (("release", True),)
    assert shop.run(order=release)["goesOn"] is True
    back = shop.run(1, "Rollback", attempt=2, order=release)
    assert back["outcome"] == "RolledBack", back["message"]
    again = shop.run(1, "Rollback", attempt=3, order=release)
    assert (again["outcome"], again["message"]) == ("RolledBack", back["message"])
    shop.expect_as_before()


def test_the_work_of_a_later_run_is_not_taken_back_with_it(shop: Shop):
    shop.run()
    more = files(DAMAGED | {"002_more.up.sql": "CREATE TABLE later (n int)",
                            "002_more.down.sql": "DROP TABLE later"})  # fmt: skip
    none = ("checkpoint", {"scope": "Tables", "tables": [{"name": "orders"}]})
    assert shop.run(2, files=more, spec=(none,), dumper=None)["outcome"] == "Done"
    back = shop.run(3, "Rollback", files=more, order=(("to", "001"),), spec=(none,), dumper=None)
    assert back["outcome"] == "RolledBack", back
    assert "restored from the dump" not in back["message"]
    assert shop.database.run("SELECT to_regclass('later'), to_regclass('beside') IS NOT NULL") == [
        (None, True)
    ]


def damage(shop: Shop) -> None:
    (file,) = shop.claim.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def remove(shop: Shop) -> None:
    (file,) = shop.claim.iterdir()
    file.unlink()


@pytest.mark.parametrize("harm", [damage, remove])
def test_a_file_that_is_not_what_was_written_is_not_restored(shop: Shop, harm):
    shop.run()
    harm(shop)
    held = shop.run(2, "Rollback")
    assert (held["outcome"], held["reason"]) == ("Held", "DumpDamaged"), held
    assert shop.database.run("SELECT count(*) FROM added.more") == [(0,)], "nothing was changed"


def test_a_restore_that_fails_near_its_end_changes_nothing(shop: Shop):
    """Rights come last; a role that had some is gone meanwhile."""
    superuser, role = admin(shop.database), f"{shop.database.dbname}_reader"
    superuser.run(f"CREATE ROLE {role}")
    shop.database.run(f"GRANT SELECT ON orders TO {role}")
    shop.before["shape"][:] = content(shop.database)["shape"]
    shop.run()
    superuser.run(f"DROP OWNED BY {role}")
    superuser.run(f"DROP ROLE {role}")
    before = shop.database.run("SELECT count(*), sum(id), count(buyer) FROM orders")
    held = shop.run(2, "Rollback")
    assert (held["outcome"], held["reason"]) == ("Held", "DumpNotRestored"), held
    assert f'role "{role}" does not exist (42704); nothing was changed' in held["message"]
    assert shop.database.run("SELECT count(*), sum(id), count(buyer) FROM orders") == before
    assert shop.database.run("SELECT count(*) FROM added.more") == [(0,)]
    assert [each.suffix for each in shop.claim.iterdir()] == [".dump"], "no script is left"
    superuser.run(f"CREATE ROLE {role}")
    assert shop.run(3, "Rollback")["outcome"] == "RolledBack"
    shop.expect_as_before()


def test_what_belongs_to_somebody_else_is_refused_before_anything_ran(shop: Shop):
    admin(shop.database).run("CREATE TABLE shop.foreign_one (n int)")
    refused = shop.run()
    assert (refused["outcome"], refused["reason"]) == ("Refused", "DumpNotRestorable"), refused
    assert "shop.foreign_one belongs to postgres" in refused["message"]
    assert shop.database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]


def test_a_newer_pg_dump_is_no_way_back(shop: Shop):
    refused = shop.run(dumper=BINARIES[18])
    assert (refused["outcome"], refused["reason"]) == ("Refused", "DumperTooNew"), refused
    assert "name an image of PostgreSQL 16" in refused["message"]
    shop.expect_as_before()


def test_a_runner_that_is_killed_while_it_restores_is_finished_by_the_next(shop: Shop):
    shop.run()
    # A reader that stays keeps the restore from locking all tables.
    with shop.database.connect() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM orders")
        running = shop.start(2, "Rollback")
        until(lambda: admin(shop.database).run(WAITS) == [(1,)])
        running.process.kill()
        running.finish()
        until(lambda: admin(shop.database).run(AT_WORK) == [(0,)])
    assert shop.database.run("SELECT count(*) FROM added.more") == [(0,)]
    back = shop.run(2, "Rollback", attempt=2)
    assert back["outcome"] == "RolledBack", back
    shop.expect_as_before()


def test_a_busy_table_is_given_way_to_and_the_restore_comes_later(shop: Shop):
    shop.run()
    with shop.database.connect() as reader:
        with reader.transaction():
            reader.execute("SELECT count(*) FROM orders")
            running = shop.start(2, "Rollback")
            until(lambda: admin(shop.database).run(WAITS) == [(1,)])
            until(lambda: admin(shop.database).run(WAITS) == [(0,)])
        back = running.finish().result
    assert back["outcome"] == "RolledBack", back
    shop.expect_as_before()


def test_an_application_waits_and_sees_no_half_restore(shop: Shop):
    with ordering(shop.database) as told:
        shop.run()
        number = len(told)
        until(lambda: len(told) > number + 20)
        back = shop.run(2, "Rollback")
        number = len(told)
        until(lambda: len(told) > number + 20)
    assert back["outcome"] == "RolledBack", back
    assert set(told) == {"done"}
    assert back["checkpoint"]["state"] == "Restored"


def test_a_runner_that_is_killed_once_it_has_restored_is_finished_by_the_next(shop: Shop):
    shop.run()
    (folder := shop.attempt.folder / "killing").mkdir()
    told, real = folder / "pid", BINARIES[16]
    (folder / "psql").write_text(
        f'#!/bin/sh\n{real}/psql "$@" || exit\ncase "$1" in --version) exit;; esac\n'
        f"while [ ! -s {told} ]; do sleep 0.01; done\nkill -9 $(cat {told})\nsleep 60\n"
    )
    (folder / "psql").chmod(0o755)
    for name in ("pg_dump", "pg_restore"):
        (folder / name).symlink_to(real / name)
    running = shop.start(2, "Rollback", dumper=folder)
    told.write_text(str(running.process.pid))
    assert running.finish().result == {}
    # The application goes on with what is there, and nothing takes that away again.
    shop.database.run("INSERT INTO keyless VALUES (99, NULL)")
    back = shop.run(2, "Rollback", attempt=2)
    assert back["outcome"] == "RolledBack", back
    assert shop.database.run("DELETE FROM keyless WHERE n = 99 RETURNING n") == [(99,)]
    shop.expect_as_before()
