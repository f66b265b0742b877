"""How long a checkpoint is kept, who ends it, and what is refused before one is opened."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoint_runs import DAMAGED, EACH_FILE, FAILS, Shop, files, opened
from tests.checkpoint_shop import admin, application, left_over, migrator, shape, until
from tests.postgres import Postgres

pytestmark = pytest.mark.sampled("the life of a checkpoint")

LATER = DAMAGED | {"002_later.up.sql": "ALTER TABLE users ADD COLUMN later int"}
MILD = {
    "001_mild.up.sql": "ALTER TABLE users ADD COLUMN mild int",
    "001_mild.down.sql": "ALTER TABLE users DROP COLUMN mild",
}
WAIT = ("checkpoint", {"onLaterRun": "Wait"})


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(database, tmp_path)


def states(shop: Shop) -> list[tuple[str, str]]:
    found = shop.database.run("SELECT id, state FROM whimbrel.checkpoint ORDER BY opened_at")
    return [(name.removeprefix(shop.id(0)[:-1]), state) for name, state in found]


@pytest.mark.sampled("the main path")
def test_when_its_time_is_over_it_goes_and_nothing_is_left(shop: Shop):
    shop.run()
    assert left_over(shop.database) != []
    gone = shop.run(1, "Discard")
    assert (gone["outcome"], gone["reason"]) == ("Done", "Discarded"), gone["message"]
    assert gone["checkpoint"]["state"] == "Closed"
    assert left_over(shop.database) == []
    assert shop.run(1, "Discard", attempt=2)["outcome"] == "Done", "again is safe"
    assert states(shop) == [("1", "Closed")]
    next_run = shop.run(2, files=files(LATER))
    assert next_run["outcome"] == "Done", next_run["message"]
    assert not [each for each in next_run.get("warnings", ()) if "ForeignChange" in each]
    assert shop.writer.errors == []


def test_kept_tables_and_what_was_moved_go_too(shop: Shop):
    shop.run(files=files(FAILS), spec=(EACH_FILE,))
    shop.expect_as_before()
    assert any(name.startswith("kept_") for name in left_over(shop.database))
    assert shop.run(1, "Discard")["outcome"] == "Done"
    assert left_over(shop.database) == []
    assert admin(shop.database).run("SELECT typname FROM pg_type WHERE typtype = 'e'") == []


def with_a_conflict(shop: Shop) -> str:
    """Take a run back after a write that has no place; return what is kept of that."""
    shop.run()
    shop.writer.database.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    assert shop.run(2, "Rollback")["outcome"] == "RolledBack"
    told = f"conflict of {shop.id(1)}"
    assert told in left_over(shop.database)
    return told


def test_values_without_a_place_go_with_it(shop: Shop):
    with_a_conflict(shop)
    gone = shop.run(1, "Discard")
    assert (gone["outcome"], gone["reason"]) == ("Done", "Discarded"), gone["message"]
    assert left_over(shop.database) == []


def test_values_without_a_place_stay_for_their_time_where_a_later_run_closes_it(shop: Shop):
    told = with_a_conflict(shop)
    assert shop.run(3, files=files(MILD))["outcome"] == "Done"
    assert told in left_over(shop.database), "a person may still look at them"
    admin(shop.database).run("UPDATE whimbrel.checkpoint SET kept_until = now()")
    assert shop.run(4, files=files(MILD | {"002_x.up.sql": LATER["002_later.up.sql"]}))
    assert told not in left_over(shop.database)


def test_what_is_left_of_it_is_read_back_and_named(shop: Shop):
    shop.run()
    ((journal,),) = shop.database.run("SELECT journal FROM whimbrel.checkpoint")
    assert shop.run(1, "Discard")["outcome"] == "Done"
    shop.database.run(f"CREATE TABLE whimbrel.{journal} (again int)")
    told = shop.run(1, "Discard", attempt=2)
    assert (told["outcome"], told["reason"]) == ("NotFinished", "CheckpointLeft"), told
    assert f"whimbrel.{journal}" in told["message"]
    shop.database.run(f"DROP TABLE whimbrel.{journal}")
    assert shop.run(1, "Discard", attempt=3)["outcome"] == "Done"


def test_a_later_run_closes_it_first(shop: Shop):
    shop.run()
    done = shop.run(2, files=files(LATER))
    assert (done["outcome"], done["checkpoint"]["id"]) == ("Done", shop.id(2)), done["message"]
    assert states(shop) == [("1", "Closed"), ("2", "Ready")]
    back = shop.run(3, "Rollback", files=files(LATER))
    assert f"the checkpoint of run {shop.id(2)}" in back["message"], "only the last is kept"
    assert shop.database.run("SELECT version FROM whimbrel.applied") == [("001",)]


def test_a_later_run_waits_where_its_owner_wants_that(shop: Shop):
    shop.run(spec=(WAIT,))
    other = replace(shop, attempt=replace(shop.attempt, name="other", uid="uid-other"))
    history = ("migrations.history", "other")
    add = (("001_x.up.sql", "ALTER TABLE users ADD COLUMN x int"),)
    waits = other.run(2, files=add, spec=(history,))
    assert (waits["outcome"], waits["reason"]) == ("NotFinished", "CheckpointKept"), waits
    assert "team/shop keeps a checkpoint" in waits["message"]
    # Its owner is not kept from going back meanwhile.
    back = shop.run(4, "Rollback", spec=(WAIT,))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_a_run_that_waits_goes_on_when_the_time_is_over(shop: Shop):
    shop.run(spec=(("checkpoint", {"onLaterRun": "Wait", "keepFor": "20s"}),))
    later = files(LATER)

    def is_done() -> bool:
        return shop.run(2, files=later, attempt=next(attempts))["outcome"] == "Done"

    attempts = iter(range(1, 99))
    assert not is_done()
    until(is_done, 60)
    assert states(shop) == [("1", "Closed"), ("2", "Ready")]


def test_what_fails_in_its_only_transaction_leaves_no_checkpoint(shop: Shop):
    failed = shop.run(files=(("001_fails.up.sql", "UPDATE users SET credits = 1; SELECT 1/0"),))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed
    assert "restored" not in failed["message"]
    assert left_over(shop.database) == []
    shop.expect_as_before()


def refused(shop: Shop, **more: object) -> str:
    """Check that a run is refused with nothing left, and return the sentence."""
    answer = shop.run(**more)
    assert answer["outcome"] == "Refused", answer["message"]
    assert left_over(shop.database) == []
    assert "\n" not in answer["message"]
    shop.expect_as_before()
    return f"{answer['reason']}: {answer['message']}"


def test_a_login_that_the_application_uses_too_is_refused(shop: Shop):
    with migrator(shop.database).connect():
        told = refused(shop)
    assert told.startswith("LoginShared: 1 other session(s) use the login")


def test_without_a_role_for_the_capture_the_statements_are_printed(shop: Shop):
    owner = replace(shop.attempt, url=shop.database.url)
    told = refused(replace(shop, attempt=owner))
    assert told.startswith("CaptureRoleMissing: ")
    assert "CREATE ROLE" in told


def test_code_that_cannot_be_read_is_refused_and_listed_tables_are_not(shop: Shop):
    block = (("001_x.up.sql", "DO $$ BEGIN UPDATE users SET credits = 7; END $$"),)
    assert "list them in checkpoint.tables" in refused(shop, files=block)


def test_a_table_without_a_key_is_refused(shop: Shop):
    shop.database.run("CREATE TABLE log (told text)")
    try:
        told = shop.run(files=(("001_x.up.sql", "UPDATE log SET told = 'x'"),))
    finally:
        shop.database.run("DROP TABLE log")
    assert (told["outcome"], told["reason"]) == ("Refused", "TableNotCovered"), told["message"]
    assert "no primary key" in told["message"]


def test_the_plan_says_it_all_before_anything_starts(shop: Shop):
    looked = shop.run(1, "Look", order=(("number", 0),))
    answer = shop.start(2, "Look").finish()
    assert looked["outcome"] == "Done"
    noticed = ("MiB of disk", "TRUNCATE of a covered table by the application fails")
    for said in ("Checkpoint first: table public.users", "rung 0", "rung 3", *noticed):
        assert said in answer.log
    assert left_over(shop.database) == []


def test_an_approved_plan_is_that_with_its_checkpoint(shop: Shop):
    gate = ("approval", {"before": ["Start"]})
    digest = shop.run(1, "Look", spec=(gate,))["planDigest"]
    bare = shop.run(2, "Look", spec=(("checkpoint", None), ("strategy", {"type": "Transactional"})))
    assert bare["planDigest"] != digest
    done = shop.run(3, spec=(gate,), order=(("approved", digest),))
    assert done["outcome"] == "Done", done["message"]


def test_the_application_may_use_what_is_covered_and_nothing_of_ours(shop: Shop):
    shop.run()
    app = application(shop.database)
    names = [name for name in left_over(shop.database) if name.startswith("journal_")]
    journal = min(names, key=len)
    with pytest.raises(Exception, match="permission denied"):
        app.run(f"SELECT * FROM whimbrel.{journal}")


def test_a_look_of_another_object_with_the_same_login_is_no_application(shop: Shop):
    name = "whimbrel:other:team/other"
    with migrator(shop.database).connect(application_name=name):
        done = shop.run()
    assert done["outcome"] == "Done", done["message"]


def test_a_journal_that_is_full_by_then_leaves_the_way_back_to_the_down_files(shop: Shop):
    small = ("checkpoint", {"maxJournal": "200Ki"})
    assert shop.run(files=files(MILD), spec=(small,))["outcome"] == "Done"
    shop.writer.wait(3000)
    held = shop.run(2, "Rollback", files=files(MILD), spec=(small,))
    assert (held["outcome"], held["reason"]) == ("Held", "JournalFull"), held["message"]
    assert "to go back without it: whimbrel rollback shop -n team" in held["message"]
    assert "restorable" not in held["checkpoint"]
    back = shop.run(3, "Rollback", files=files(MILD), spec=(small,))
    assert back["outcome"] == "RolledBack", back["message"]
    assert "1 taken back by down migrations" in back["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()


def test_a_time_that_is_over_is_named_where_the_down_files_lead_back(shop: Shop):
    assert shop.run(files=files(MILD))["outcome"] == "Done"
    admin(shop.database).run("UPDATE whimbrel.checkpoint SET kept_until = now()")
    back = shop.run(2, "Rollback", files=files(MILD))
    assert "1 taken back by down migrations" in back["message"]
    (told,) = back["warnings"]
    assert told.startswith(f"CheckpointExpired: the checkpoint of run {shop.id(1)} was kept until ")
    shop.expect_as_before()


@pytest.mark.parametrize(
    "made", ["", "; CREATE VIEW names AS SELECT 1 AS x"], ids=["gone", "other"]
)
def test_a_view_that_the_migration_drops_is_as_before_with_its_rights(shop: Shop, made: str):
    """Also in the eyes of the run: rights are no others because they were given again."""
    app = application(shop.database, "users").user
    shop.database.run("CREATE VIEW names AS SELECT id, name FROM users")
    shop.database.run("CREATE VIEW more AS SELECT id FROM names")
    shop.database.run(f"GRANT SELECT (id) ON names TO {app}, PUBLIC")
    shop.before[:] = shape(shop.database)
    drops = FAILS | {
        "001_damage.up.sql": f"DROP VIEW names CASCADE; UPDATE users SET credits = 0{made}"
    }
    failed = shop.run(files=files(drops), spec=(EACH_FILE,))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed["message"]
    shop.expect_as_before()


def test_a_default_that_went_with_a_sequence_is_given_back_by_hand(shop: Shop):
    """The table is not covered; a restore takes the sequence that was made for it."""
    shop.database.run("CREATE TABLE notes (id serial PRIMARY KEY, word text)")
    shop.database.run("CREATE TABLE others (id int DEFAULT nextval('notes_id_seq'))")
    listed = ("checkpoint", {"scope": "Tables", "tables": [{"name": "notes"}]})
    drops = files(FAILS | {"001_damage.up.sql": "DROP SEQUENCE notes_id_seq CASCADE"})
    spec = (EACH_FILE, listed)
    shop.before[:] = shape(shop.database)
    held = shop.run(files=drops, spec=spec)
    assert (held["outcome"], held["reason"]) == ("Held", "CheckpointPartial"), held["message"]
    assert "changed public.others (column)" in held["message"]
    shop.database.run("CREATE SEQUENCE notes_id_seq")
    shop.database.run("ALTER TABLE others ALTER id SET DEFAULT nextval('notes_id_seq')")
    back = shop.run(2, "Rollback", files=drops, spec=spec)
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()
