"""`whimbrel plan`, `run`, `checkpoints`, `rollback`, `gc`: a dump without a cluster."""

import json
from pathlib import Path

import pytest

from tests.checkpoint_shop import until
from tests.dump_runs import DUMP
from tests.postgres import Postgres
from tests.scenarios.held.test_dump import (
    AS_BEFORE,
    CREDITS,
    DAMAGE,
    manifest,
    terminal as with_programs,
    the_dump,
)
from tests.scenarios.terminal import Terminal

terminal = with_programs
FROZEN = {"dump": DUMP, "writeFreeze": True}


def test_from_the_plan_to_the_rollback(terminal: Terminal, database: Postgres):
    file = manifest(terminal, DAMAGE, checkpoint=FROZEN)
    planned = terminal.type(f"whimbrel plan {file}")
    assert "Dump first: the whole database, while applications cannot write" in planned.out
    assert "rung 5" in planned.out
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]

    assert terminal.type(f"whimbrel run {file}").code == 0
    dump = the_dump(terminal)
    (kept,) = json.loads(terminal.type(f"whimbrel checkpoints {file} -o json").out)
    assert (kept["object"], kept["state"], kept["dump"]) == (
        "team/shop",
        "Ready",
        f"dumps/{dump.name}",
    )
    assert (kept["bytes"], kept["restorable"]) == (dump.stat().st_size, True)
    assert dump.name in terminal.type(f"whimbrel checkpoints {file}").out
    assert dump.name in terminal.type("whimbrel status shop -o yaml").out

    consent = "--allow-data-loss --by Ada --reason tests"
    back = terminal.type(f"whimbrel rollback {file} {consent}")
    assert back.code == 0, back
    assert "RolledBack: the whole database was restored from the dump" in back.out
    assert "DataLossAllowed: Ada allowed it (tests)" in back.text
    assert database.run(CREDITS) == AS_BEFORE
    assert "no: it was restored" in terminal.type(f"whimbrel checkpoints {file}").out
    assert "DataLossAllowed" in terminal.type(f"whimbrel history {file}").out


@pytest.mark.sampled("what waits for a clock")
def test_gc_removes_it_when_its_time_is_over_and_not_before(terminal: Terminal, database: Postgres):
    file = manifest(terminal, DAMAGE, checkpoint=FROZEN | {"keepFor": "20s"})
    assert terminal.type(f"whimbrel run {file}").code == 0
    dump = the_dump(terminal)
    listed = json.loads(terminal.type(f"whimbrel gc {file} --yes -o json").out)
    assert (listed["removed"], len(listed["kept"])) == ([], 1)
    over = (
        "SELECT (value ->> 'kept_until')::timestamptz < now() FROM whimbrel.note"
        " WHERE kind = 'dump'"
    )
    until(lambda: database.run(over) == [(True,)])
    assert dump.name in terminal.type("whimbrel gc").out
    said = terminal.type("whimbrel gc --yes")
    assert f"removed: dump {dump.name}" in said.out
    assert not dump.exists()
    assert "no checkpoint is kept" in terminal.type(f"whimbrel checkpoints {file}").out


def test_gc_takes_away_what_stops_writes_for_a_run_that_is_over(
    terminal: Terminal, database: Postgres
):
    assert terminal.type(f"whimbrel run {manifest(terminal, DAMAGE, checkpoint=FROZEN)}").code == 0
    database.run(
        "CREATE FUNCTION whimbrel.freeze_x() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'; CREATE TRIGGER \"00_whimbrel_freeze_x\" BEFORE INSERT"
        " ON users FOR EACH STATEMENT EXECUTE FUNCTION whimbrel.freeze_x()"
    )
    assert "freeze_x" in terminal.type("whimbrel gc").out
    said = terminal.type("whimbrel gc --yes")
    assert "removed: freeze_x" in said.out, said
    assert database.run("SELECT tgname FROM pg_trigger WHERE tgname ~ 'whimbrel'") == []


def test_programs_that_are_none(tmp_path: Path, terminal: Terminal):
    for name in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / "bin" / name).unlink()
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 3\n")
        (tmp_path / "bin" / name).chmod(0o755)
    said = terminal.type(f"whimbrel run {manifest(terminal, DAMAGE, checkpoint=FROZEN)}")
    assert said.code == 2, said
    assert "Refused (DumperWrong): pg_dump does not tell its version (exit code 3)" in said.err
    assert "at a terminal install it" in said.err
