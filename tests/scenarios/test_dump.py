"""A dump besides a migration: made before its first step, read back, kept, put back by hand."""

import hashlib
from pathlib import Path

import pytest

from tests.dump_runs import DAMAGED, ON_EACH, Shop, files, opened
from tests.postgres import BINARIES, Postgres, create_database, drop_database
from tests.scenarios.test_restored_dump import Dump, emptied

pytestmark = pytest.mark.sampled("a dump")

SMALL = {"scope": "Tables", "tables": [{"name": "orders"}]}
# Tables with keys alone: there is a copy of tables, and the dump is a backup.
KEYED = {"001_keyed.up.sql": "UPDATE orders SET buyer = NULL WHERE id = 3"}


def notes(shop: Shop) -> list[tuple]:
    return shop.database.run("SELECT key, value FROM whimbrel.note WHERE kind = 'dump'")


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Shop:
    return opened(database, tmp_path, SMALL)


@ON_EACH
def test_a_backup_is_whole_private_and_on_record(any_database: Postgres, tmp_path: Path):
    shop = opened(any_database, tmp_path, SMALL)
    done = shop.run(files=files(KEYED))
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    ((run, note),) = notes(shop)
    (file,) = shop.claim.iterdir()
    assert (run, note["file"], note["state"]) == (shop.id(1), file.name, "Ready")
    assert note["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (note["size"], file.stat().st_mode & 0o777) == (file.stat().st_size, 0o600)
    assert done["checkpoint"]["dump"] == f"dumps/{file.name}"
    assert (done["checkpoint"]["state"], done["checkpoint"]["restorable"]) == ("Ready", True)
    # The copy of tables is the way back, and the dump stays where it is.
    back = shop.run(2, "Rollback", files=files(KEYED))
    assert "restored from the checkpoint of run" in back["message"], back
    shop.expect_as_before()
    assert file.exists()


@pytest.mark.sampled("the main path")
def test_a_backup_that_is_restored_by_hand_rewinds_the_ledger_which_is_noticed(shop: Shop):
    first = shop.run(files=files(KEYED))
    known = {"database": first["databaseUuid"], "epoch": first["epoch"]}
    (file,) = shop.claim.iterdir()
    emptied(shop.database)
    Dump(file).restore(shop.database)
    shop.expect_as_before()
    held = shop.run(2, files=files(KEYED), order=(("known", known),))
    assert (held["outcome"], held["reason"]) == ("Held", "LedgerWentBack"), held
    shop.expect_as_before()


@pytest.mark.sampled("the main path")
def test_an_older_pg_dump_is_refused_before_anything_ran(postgres_server, tmp_path: Path):
    server = postgres_server(18)
    database = create_database(server, "old")
    shop = opened(database, tmp_path, SMALL)
    refused = shop.run(files=files(KEYED), dumper=BINARIES[15])
    assert (refused["outcome"], refused["reason"]) == ("Refused", "DumperTooOld"), refused
    assert "pg_dump 15 cannot dump a server of version 18" in refused["message"]
    assert "name an image of PostgreSQL 18 in checkpoint.dump.image" in refused["message"]
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]
    shop.expect_as_before()
    assert list(shop.claim.iterdir()) == []
    drop_database(server, "old")


def test_an_image_without_the_programs_is_refused(shop: Shop, tmp_path: Path):
    for program in ("pg_dump", "pg_restore"):
        (folder := tmp_path / f"no_{program}").mkdir()
        (folder / program).write_text("#!/bin/sh\nexit 127\n")
        (folder / program).chmod(0o755)
        for other in {"pg_dump", "pg_restore"} - {program}:
            (folder / other).symlink_to(BINARIES[16] / other)
        refused = shop.run(files=files(KEYED), dumper=folder)
        assert (refused["outcome"], refused["reason"]) == ("Refused", "DumperWrong"), refused
        assert f"{program} does not tell its version" in refused["message"]


def test_a_dump_that_fails_leaves_no_file_and_no_step(shop: Shop, tmp_path: Path):
    (folder := tmp_path / "broken").mkdir()
    script = 'case "$1" in --version) exec {0} "$@";; esac; echo "pg_dump: error: no" >&2; exit 1'
    (folder / "pg_dump").write_text("#!/bin/sh\n" + script.format(BINARIES[16] / "pg_dump"))
    (folder / "pg_dump").chmod(0o755)
    for name in ("pg_restore", "psql"):
        (folder / name).symlink_to(BINARIES[16] / name)
    refused = shop.run(files=files(KEYED), dumper=folder)
    assert (refused["outcome"], refused["reason"]) == ("Refused", "DumpFailed"), refused
    assert "pg_dump failed: pg_dump: error: no; no step ran" in refused["message"]
    shop.expect_as_before()
    assert (list(shop.claim.iterdir()), notes(shop)) == ([], [])


def test_the_plan_says_what_a_backup_is_and_is_not(shop: Shop):
    looked = shop.start(1, "Look", files=files(KEYED)).finish()
    assert looked.result["outcome"] == "Done", looked
    assert "Dump first: the whole database by postgres:17 to the claim dumps, as a backup" in (
        looked.log
    )
    assert "backup besides, for 24h: rung 5, a dump of the whole database by pg_dump 16" in (
        looked.log
    )
    assert "it is no way back of this run" in looked.log
    assert "way back afterwards, for 24h: rung 3" in looked.log
    assert list(shop.claim.iterdir()) == []


def test_no_password_is_told_to_anybody(shop: Shop, tmp_path: Path):
    """The programs get it in their environment alone, and repeat nothing of it into our log."""
    (folder := tmp_path / "telling").mkdir()
    seen = tmp_path / "seen"
    for name in ("pg_dump", "pg_restore", "psql"):
        text = f'#!/bin/sh\necho "{name} $*" >> {seen}\necho "the word is $PGPASSWORD" >&2\n'
        (folder / name).write_text(f'{text}exec {BINARIES[16] / name} "$@"\n')
        (folder / name).chmod(0o755)
    answer = shop.start(files=files(KEYED), dumper=folder).finish()
    assert answer.result["outcome"] == "Done", answer
    assert "x7q" not in answer.log + seen.read_text() + str(answer.result)


def test_it_goes_with_its_time_and_the_job_that_drops_the_checkpoint(shop: Shop):
    shop.run(files=files(KEYED))
    assert len(list(shop.claim.iterdir())) == 1
    gone = shop.run(1, "Discard", files=files(KEYED))
    assert (gone["outcome"], gone["reason"]) == ("Done", "Discarded"), gone
    assert (list(shop.claim.iterdir()), notes(shop)) == ([], [])
    assert "warnings" not in gone


def test_a_file_that_cannot_be_reached_is_said_to_stay(shop: Shop):
    shop.run(files=files(KEYED))
    (file,) = shop.claim.iterdir()
    file.rename(shop.claim / "moved")
    gone = shop.run(1, "Discard", files=files(KEYED))
    assert gone["outcome"] == "Done"
    (warning,) = gone["warnings"]
    assert warning.startswith(f"DumpLeft: {file.name} is not removed from the claim dumps")


def test_a_failed_run_that_left_nothing_keeps_no_dump(shop: Shop):
    failed = shop.run(files=files({"001_no.up.sql": "UPDATE orders SET id = 1/0"}))
    assert failed["outcome"] == "Failed", failed
    shop.expect_as_before()
    assert (list(shop.claim.iterdir()), notes(shop)) == ([], [])


def test_without_a_copy_a_backup_alone_is_no_way_back(database: Postgres, tmp_path: Path):
    shop = opened(database, tmp_path, {})
    refused = shop.run(files=files(DAMAGED))
    assert (refused["outcome"], refused["reason"]) == ("Refused", "TableNotCovered"), refused
    assert "or let the dump be the way back: checkpoint.writeFreeze true" in refused["message"]
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]
    shop.expect_as_before()
