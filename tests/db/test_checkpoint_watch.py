"""What makes a checkpoint that is open worthless is noticed, and said in one sentence."""

import pytest

from tests.db.checkpoints import Shop, a_desk, a_shop, journal, wanted
from tests.db.orders import until
from whimbrel.model.errors import HeldError
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.open import open_checkpoint
from whimbrel.runner.checkpoint.watch import expect_capture, is_used_up, journal_bytes

pytestmark = pytest.mark.sampled("a checkpoint that is watched")


@pytest.fixture
def shop(database) -> Shop:
    return a_shop(database)


CAPTURE = 'app.users {} trigger "00_whimbrel_4e65d3fbe8ad"'
BROKEN = {
    "disabled": f"alter table {CAPTURE.format('disable')}",
    "all of them disabled": "alter table app.users disable trigger user",
    "no more always": f"alter table {CAPTURE.format('enable')}",
    "disabled and enabled again": f"alter table {CAPTURE.format('disable')}; "
    f"alter table {CAPTURE.format('enable always')}",
    "dropped": 'drop trigger "00_whimbrel_4e65d3fbe8ad" on app.users',
    "truncate allowed": 'drop trigger "00_whimbrel_truncate_4e65d3fbe8ad" on app.users',
    "another table of that name": "alter table app.users rename to old; create table app.users "
    "(like app.old including all); drop table app.old",
    "another function": "alter function whimbrel.capture_4e65d3fbe8ad() security invoker",
    "its owner may log in": "do $$ begin execute 'alter role ' || (select proowner::regrole from "
    "pg_proc where proname = 'capture_4e65d3fbe8ad') || ' login'; end $$",
    "no journal": "drop table whimbrel.journal_4e65d3fbe8ad",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_capture_that_may_have_missed_something_is_noticed(shop, how):
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
        expect_capture(ready, desk.session)
        shop.admin().run(BROKEN[how])
        with pytest.raises(HeldError, match="cannot be relied on") as held:
            expect_capture(ready, desk.session)
        assert held.value.reason == "CaptureBroken"
        discard(ready, desk)


HARMLESS = {
    "the table has another name": "alter table app.users rename to people",
    "it is in another schema": "alter table app.users set schema public",
    "it has other columns": "alter table app.users drop column shown, drop column name, "
    "add column extra int default 7, alter org type bigint",
    "it is rewritten": "cluster app.users using users_pkey",
    "it is gone, and nobody can write to it": "drop table app.users",
    "somebody else has triggers on it": "create trigger t before update on app.users for each row "
    "execute function suppress_redundant_updates_trigger()",
}


@pytest.mark.parametrize("how", HARMLESS)
def test_what_a_migration_may_do_is_no_harm(shop, how):
    before = shop.traces()
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
        desk.session.run(HARMLESS[how])
        expect_capture(ready, desk.session)
        discard(ready, desk)
    left = set(shop.traces()) - set(before)
    assert not any("whimbrel" in text for _, text in left), left


def test_an_expiry_that_is_over_is_noticed(shop):
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, keep_for=2), desk)
        until(lambda: shop.admin().run("select now() > %s", ready.kept_until) == [(True,)])
        with pytest.raises(HeldError, match="captures nothing since then") as held:
            expect_capture(ready, desk.session)
        assert held.value.reason == "CheckpointExpired"


def test_somebody_with_the_migrations_login_is_noticed(shop):
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
        with shop.deploy.connect() as other:
            pid = other.info.backend_pid
            expect_capture(ready, desk.session, our_pids=[pid])
            with pytest.raises(HeldError, match=shop.deploy.user) as held:
                expect_capture(ready, desk.session)
            assert held.value.reason == "LoginShared"
        until(lambda: not shop.admin().run("select 1 from pg_stat_activity where pid = %s", pid))
        expect_capture(ready, desk.session)


def test_a_full_journal_fails_no_write_and_is_noticed_before_and_after(shop):
    """Values too long for the page count too: they are kept beside the journal itself."""
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "notes", max_journal=200_000), desk)
        assert (
            journal_bytes(ready, desk.session),
            is_used_up(ready, journal_bytes(ready, desk.session)),
        ) == (
            0,
            False,
        )
        insert = "insert into app.notes select 1, {0}, string_agg(md5(random()::text), '')"
        insert += " from generate_series(1, 500)"
        written = 0
        while not is_used_up(ready, journal_bytes(ready, desk.session)):
            shop.app.run(insert.format(written := written + 1))
        expect_capture(ready, desk.session)
        # The size is looked at now and then, by the clock: what is written until then is captured.
        while len(journal(shop, ready)) == written:
            shop.app.run(insert.format(written := written + 1))
            assert written < 2000
        assert shop.app.run("select count(*) from app.notes") == [(written,)]
        with pytest.raises(HeldError, match="larger spec") as held:
            expect_capture(ready, desk.session)
        assert held.value.reason == "JournalFull"
        # A vacuum of what was rolled back must not make it look as if nothing were missing.
        shop.owner.run(f"delete from whimbrel.{ready.journal}")
        shop.owner.run(f"vacuum whimbrel.{ready.journal}")
        with pytest.raises(HeldError):
            expect_capture(ready, desk.session)
