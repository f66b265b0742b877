"""The ledger on real servers: installed, refused, upgraded, compared with what is known."""

import multiprocessing
import re
from datetime import UTC, datetime

import psycopg
import pytest

from tests.db.orders import RUN, a_ledger, a_session, an_order, known, resolved
from tests.postgres import Postgres
from whimbrel.model.errors import HeldError, RefusedError, TransientError
from whimbrel.model.facts import Applied
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.dialects import postgresql_ledger as statements
from whimbrel.planning.dialects.postgresql import TRY_BOOTSTRAP_LOCK
from whimbrel.runner.checkpoint.manifest import (
    has_checkpoints,
    read_checkpoint,
    read_checkpoints,
)
from whimbrel.runner.known import look_at_ledger, open_ledger
from whimbrel.runner.ledger import Ledger, install_ledger, raise_epoch, read_meta
from whimbrel.runner.notes import Kind, forget_note, has_notes, read_note, write_note
from whimbrel.runner.records import (
    NOBODY,
    ToolRun,
    delete_applied,
    expired_salvage,
    finish_step,
    forget_salvage,
    insert_applied,
    lift_rolled_back,
    read_applied,
    read_rolled_back,
    read_salvage,
    read_tool_runs,
    record_rolled_back,
    record_salvage,
    record_tool_run,
    start_step,
    steps_done,
    steps_started,
)
from whimbrel.runner.resolutions import read_resolutions
from whimbrel.runner.runs import reserve

COLUMN = CatalogObject("column", "public", "users", "email")
ROW = Applied(
    "default", "001", "001_a.up.sql", "abc", "shop/schema", RUN, "", "drop %s", frozenset([COLUMN])
)


def no_fence(_: str) -> str:
    return ""


def install_in_a_process(url_parts: Postgres, start, answers) -> None:
    start.wait()
    try:
        with a_session(url_parts) as session:
            answers.put(install_ledger(Ledger(session, "whimbrel")).database)
    except Exception as error:  # noqa: BLE001 - it must reach the test, whatever it is
        answers.put(repr(error))


def test_install_and_read_back(any_database):
    with a_ledger(any_database) as ledger:
        meta = read_meta(ledger)
        assert (meta.version, meta.epoch) == (statements.LEDGER_VERSION, 0)
        assert re.fullmatch(r"[0-9a-f-]{36}", meta.database)
        again = open_ledger(ledger, an_order())
    assert (again.meta, again.warnings) == (meta, ())


def test_eight_processes_install_at_once(database):
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    workers = [
        context.Process(target=install_in_a_process, args=(database, start, answers))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    start.set()
    seen = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert len(set(seen)) == 1, seen
    assert re.fullmatch(r"[0-9a-f-]{36}", seen[0]), seen


def test_a_look_writes_nothing(database):
    with a_session(database) as session:
        opened = look_at_ledger(Ledger(session, "whimbrel"), an_order())
        assert opened.meta is None
        assert session.execute("select to_regnamespace('whimbrel')").fetchone() == (None,)


def test_any_name_is_a_legal_schema(database):
    with a_session(database) as session:
        ledger = Ledger(session, 'a "b" %s $1 c.d ü')
        meta = install_ledger(ledger)
        insert_applied(ledger, ROW)
        assert read_meta(ledger) == meta
        assert read_applied(ledger, "default") == (ROW,)


def statements_of(message: str) -> str:
    return message.partition("runs there: ")[2]


@pytest.fixture
def guest(database, postgres_server):
    """A login that may connect to the database and nothing else."""
    with postgres_server(16).connect(dbname=database.dbname) as admin:
        admin.execute(f"create role guest_{database.dbname} login password 'guest'")
    return Postgres(
        database.version, database.home, database.port, f"guest_{database.dbname}", "guest",
        database.dbname,
    )  # fmt: skip


def test_a_role_that_may_not_create_schemas_is_told_the_statements(guest, postgres_server):
    with a_session(guest) as session:
        with pytest.raises(RefusedError, match="may not keep a ledger") as refused:
            open_ledger(Ledger(session, "whimbrel"), an_order())
        assert refused.value.reason == "LedgerNotAllowed"
        with postgres_server(16).connect(dbname=guest.dbname) as admin:
            admin.execute(statements_of(refused.value.message))
        assert open_ledger(Ledger(session, "whimbrel"), an_order()).meta.epoch == 0


def test_a_schema_of_somebody_else_needs_grants(guest, database, postgres_server):
    with a_ledger(database), a_session(guest) as session:
        ledger = Ledger(session, "whimbrel")
        with pytest.raises(RefusedError, match="GRANT USAGE") as refused:
            open_ledger(ledger, an_order())
        with postgres_server(16).connect(dbname=guest.dbname) as admin:
            admin.execute(statements_of(refused.value.message))
        assert open_ledger(ledger, an_order()).meta.version == statements.LEDGER_VERSION
        reserve(ledger, an_order(), no_fence)
        insert_applied(ledger, ROW)


def test_an_empty_schema_of_a_dba_needs_grants(guest, postgres_server):
    with postgres_server(16).connect(dbname=guest.dbname) as admin:
        admin.execute("create schema whimbrel")
        with a_session(guest) as session:
            with pytest.raises(RefusedError) as refused:
                open_ledger(Ledger(session, "whimbrel"), an_order())
            admin.execute(statements_of(refused.value.message))
            assert open_ledger(Ledger(session, "whimbrel"), an_order()).meta.epoch == 0


def test_a_newer_ledger_is_refused(database):
    with a_ledger(database) as ledger:
        ledger.rows(statements.SET_VERSION, statements.LEDGER_VERSION + 1)
        with pytest.raises(HeldError) as held:
            open_ledger(ledger, an_order())
    assert held.value.reason == "LedgerTooNew"


@pytest.mark.parametrize("version", range(statements.LEDGER_VERSION))
def test_an_older_ledger_is_upgraded_and_keeps_what_it_says(database, version):
    with a_session(database) as session:
        ledger = Ledger(session, "whimbrel")
        ledger.rows("create schema {s}")
        ledger.rows(statements.CREATE_META)
        ledger.rows(statements.FIRST_META)
        for older in range(version):
            for statement in statements.UPGRADES[older]:
                ledger.rows(statement)
        ledger.rows(statements.SET_VERSION, version)
        raise_epoch(ledger, above=41)
        before = read_meta(ledger)
        assert has_notes(ledger) == (version >= 2)  # a look upgrades nothing
        assert (read_checkpoints(ledger), read_checkpoint(ledger, RUN)) == ((), None)
        after = open_ledger(ledger, an_order()).meta
        assert (before.version, after.version) == (version, statements.LEDGER_VERSION)
        assert (after.database, after.epoch) == (before.database, 42)
        assert read_applied(ledger, "default") == ()
        assert has_checkpoints(ledger)
        for value in ({"a": "1"}, ["b", {}]):
            write_note(ledger, Kind.IMAGE, "key", value)
            assert read_note(ledger, Kind.IMAGE, "key") == value
        forget_note(ledger, Kind.IMAGE, "key")
        assert read_note(ledger, Kind.IMAGE, "key") is None


@pytest.mark.parametrize("open_it", [open_ledger, look_at_ledger])
def test_a_ledger_that_is_gone_is_held(database, open_it):
    with a_session(database) as session:
        with pytest.raises(HeldError) as held:
            open_it(Ledger(session, "whimbrel"), an_order(known=known("some-uuid", 3)))
        assert session.execute("select to_regnamespace('whimbrel')").fetchone() == (None,)
    assert held.value.reason == "LedgerMissing"
    assert held.value.command == (
        "whimbrel resolve schema -n shop --as LedgerAccepted --by WHO --reason TEXT"
    )


def test_a_person_accepts_that_the_ledger_is_gone(database):
    order = an_order(known=known("some-uuid", 3), resolution=resolved("LedgerAccepted"))
    with a_session(database) as session:
        ledger = Ledger(session, "whimbrel")
        assert open_ledger(ledger, order).meta.epoch == 4
        (answer,) = read_resolutions(ledger)
    assert (answer.verdict, answer.run, answer.by) == ("LedgerAccepted", RUN, "ann")


def test_a_resolution_of_another_run_does_not_count(database):
    order = an_order(
        known=known("some-uuid", 3), resolution=resolved("LedgerAccepted", run="other")
    )
    with a_session(database) as session, pytest.raises(HeldError):
        open_ledger(Ledger(session, "whimbrel"), order)


def test_a_ledger_that_went_back_is_held_until_accepted(database):
    with a_ledger(database) as ledger:
        uuid = read_meta(ledger).database
        remembered = an_order(known=known(uuid, 9))
        with pytest.raises(HeldError) as held:
            open_ledger(ledger, remembered)
        assert held.value.reason == "LedgerWentBack"
        accepted = remembered.model_copy(update={"resolution": resolved("LedgerAccepted")})
        assert open_ledger(ledger, accepted).meta.epoch == 10


def test_another_uuid_is_a_warning_only(database):
    with a_ledger(database) as ledger:
        opened = open_ledger(ledger, an_order(known=known("11111111-uuid", 99)))
    assert opened.warnings[0].startswith("DatabaseMoved: ")


def test_rows_of_applied_files(database):
    with a_ledger(database) as ledger:
        insert_applied(ledger, ROW)
        with pytest.raises(psycopg.errors.UniqueViolation):
            insert_applied(ledger, ROW)
        assert read_applied(ledger, "default") == (ROW,)
        assert read_applied(ledger, "other") == ()
        assert delete_applied(ledger, "default", "001")
        assert not delete_applied(ledger, "default", "001")


def test_a_step_ends_with_its_transaction(database):
    with a_ledger(database) as ledger:
        reserve(ledger, an_order(), no_fence)
        start_step(ledger, RUN, "index")
        assert steps_started(ledger) == {"index"}
        with ledger.session.transaction():
            finish_step(ledger, RUN, "index")
            xid = ledger.session.execute("select pg_current_xact_id()::text").fetchone()[0]
        assert steps_started(ledger) == frozenset()
        assert steps_done(ledger, RUN) == {"index": xid}
        with ledger.session.transaction(force_rollback=True):
            finish_step(ledger, RUN, "other")
        assert "other" not in steps_done(ledger, RUN)


def test_tool_runs_salvage_and_rolled_back_plans(database):
    begun = ToolRun(RUN, "Migrate", 1, "up:x", "default", "shop:2", ("a",), None, {}, "before", "")
    ended = ToolRun(
        RUN,
        "Migrate",
        1,
        "up:x",
        "default",
        "shop:2",
        ("a",),
        ("b",),
        {COLUMN: (COLUMN.kind, 17000, 3)},
        "before",
        "x",
    )
    with a_ledger(database) as ledger:
        reserve(ledger, an_order(), no_fence)
        record_tool_run(ledger, begun)
        assert read_tool_runs(ledger, an_order().spec) == (begun,)
        record_tool_run(ledger, ended)
        assert read_tool_runs(ledger, an_order().spec) == (ended,)
        ledger.session.execute("UPDATE whimbrel.tool_run SET home = home::int8 + 1")
        (restored,) = read_tool_runs(ledger, an_order().spec)
        assert restored.added == {COLUMN: NOBODY}
        record_salvage(ledger, RUN, "salvage_1", "column users (email)", kept=(3, 0))
        record_salvage(ledger, RUN, "salvage_2", "table a", kept=(3, 3600))
        assert [each.table_name for each in expired_salvage(ledger)] == ["salvage_1"]
        assert read_salvage(ledger)[1].kept_until > datetime.now(UTC)
        forget_salvage(ledger, "salvage_1")
        assert [each.table_name for each in read_salvage(ledger)] == ["salvage_2"]
        record_rolled_back(ledger, "default", "digest", RUN)
        record_rolled_back(ledger, "default", "digest", RUN)
        assert read_rolled_back(ledger, "default") == {"digest"}
        lift_rolled_back(ledger, "default")
        assert read_rolled_back(ledger, "default") == frozenset()


PLANTED = """
create schema trap;
create table trap.hits (what text);
create function trap.hit(what text, answer bool) returns bool language plpgsql as
  $$ begin insert into trap.hits values (what); return answer; end $$;
create function trap.same(text, text) returns bool language sql as $$ select trap.hit('=', true) $$;
create operator trap.= (leftarg = text, rightarg = text, function = trap.same);
create function trap.now() returns timestamptz language sql as
  $$ select trap.hit('now', true); select pg_catalog.now() $$;
create table trap.meta (version int, epoch bigint, database uuid);
"""


def test_nothing_planted_in_the_search_path_runs_with_our_statements(database):
    with a_ledger(database) as ledger:
        reserve(ledger, an_order(), no_fence)
        ledger.session.execute(PLANTED)
        ledger.session.execute("set search_path = trap, pg_catalog, public")
        with ledger.session.transaction():
            insert_applied(ledger, ROW)
            assert read_applied(ledger, "nothing") == ()
            finish_step(ledger, RUN, "s")
            path = ledger.session.execute("show search_path").fetchone()[0]
        assert path == "trap, pg_catalog, public"
        assert ledger.session.execute("select what from trap.hits").fetchall() == []
        assert ledger.session.execute("show search_path").fetchone()[0] == path


def test_an_author_who_sets_the_search_path_in_the_transaction_keeps_it(database):
    with a_ledger(database) as ledger:
        with ledger.session.transaction():
            ledger.session.execute("set search_path = app")
            insert_applied(ledger, ROW)
            assert ledger.session.execute("show search_path").fetchone()[0] == "app"
        assert ledger.session.execute("show search_path").fetchone()[0] == "app"


def test_installing_waits_for_another_that_hangs_no_longer_than_it_is_told(database):
    with a_session(database) as first, a_session(database) as second, first.transaction():
        first.execute(TRY_BOOTSTRAP_LOCK)
        with pytest.raises(TransientError, match="installing the ledger"):
            install_ledger(Ledger(second, "whimbrel"), patience=0.3)
