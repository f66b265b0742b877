"""Tool `prisma`: the directory, checksums, what Prisma itself began, and the plans."""

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Applied, Facts, Unfinished
from whimbrel.model.spec import parse_spec
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.build import plan_down, plan_up
from whimbrel.planning.describe import describe
from whimbrel.planning.tools.prisma import PRISMA

OWNER = "team/shop"
A, B, C = "20260101_a", "20260102_b", "20260103_c"
FILES = {
    f"{A}/migration.sql": "CREATE TABLE a (id int);",
    f"{A}/down.sql": "DROP TABLE a;",
    f"{B}/migration.sql": "CREATE TABLE b (id int);",
    f"{C}/migration.sql": "ALTER TABLE b ADD COLUMN c int;",
    f"{C}/down.sql": "ALTER TABLE b DROP COLUMN c;",
}


def spec(**migrations):
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            "migrations": {"tool": "prisma", "image": "shop:1"} | migrations,
        }
    )


def row(folder, *, files=FILES, checksum=""):
    name = f"{folder}/migration.sql"
    known = hashlib.sha256(files.get(name, "").encode()).hexdigest()
    return Applied("default", folder, name, checksum or known, "", "", "", None, frozenset())


def facts(*folders, catalog=(), unfinished=(), dialect="postgresql", **more):
    rows = tuple(row(folder, **more) for folder in folders)
    seen = {"unfinished": unfinished, "catalog": frozenset(catalog), "dialect": dialect}
    return Facts("shop", 160000, applied=rows, **seen)


def up(*folders, files=FILES, known=None, **migrations):
    return plan_up(spec(**migrations), OWNER, known or facts(*folders), files)


def ids(plan):
    return [step.id for step in plan.steps]


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        pytest.param({}, "NoFiles", "no folder", id="nothing"),
        pytest.param({"1_a/": ""}, "MigrationMissing", "1_a has no", id="an empty folder"),
        pytest.param({"1_a/down.sql": ""}, "MigrationMissing", "1_a has no", id="only a way down"),
        pytest.param({"1_a.up.sql": ""}, "BadFileName", "'1_a.up.sql'", id="a file of tool sql"),
        pytest.param({"1 a/migration.sql": ""}, "BadFileName", "spaces", id="a space"),
        pytest.param({"1_a/migration.sql": "\0"}, "NulByte", "1_a/migration.sql", id="NUL"),
    ],
)  # fmt: skip
def test_directories_that_are_refused(files, reason, words):
    with pytest.raises(RefusedError) as refused:
        PRISMA.read(files)
    assert (refused.value.reason, words in refused.value.message) == (reason, True)


@pytest.mark.parametrize(
    ("text", "dialect", "words"),
    [
        pytest.param('provider = "mysql"', "postgresql", "mysql, but the database is PostgreSQL",
                     id="MySQL's on PostgreSQL"),
        pytest.param('provider = "postgresql"', "mariadb", "made for mysql (prisma.path)",
                     id="PostgreSQL's on MariaDB"),
        pytest.param('provider = "sqlite"', "mariadb", "sqlite, but the database is MariaDB",
                     id="neither"),
        pytest.param("# nothing", "postgresql", "provider none", id="no provider"),
        pytest.param("", "mariadb", "provider none", id="an empty file"),
    ],
)  # fmt: skip
def test_a_directory_for_another_provider_is_refused_in_both_directions(text, dialect, words):
    files = FILES | {"migration_lock.toml": text}
    for plan in (
        lambda: up(files=files, known=facts(dialect=dialect)),
        lambda: plan_down(spec(), OWNER, facts(A, dialect=dialect), files, ""),
    ):
        with pytest.raises(RefusedError) as refused:
            plan()
        assert refused.value.reason == "WrongProvider"
        assert words in refused.value.message


@pytest.mark.parametrize(("dialect", "provider"), [("postgresql",) * 2, ("mariadb", "mysql")])
def test_a_directory_for_its_own_provider_is_planned(dialect, provider):
    files = FILES | {"migration_lock.toml": f'# hands off\nprovider = "{provider}"\n'}
    assert up(files=files, known=facts(dialect=dialect)).to == C


def test_folders_are_ordered_by_name_and_a_config_map_has_points():
    files = {"9_x.migration.sql": "", "10_y/migration.sql": "a", "10_y/down.sql": "b", "10_y/": ""}
    lock = {"migration_lock.toml": '# hands off\nprovider = "mysql"\n'}
    ten, nine = PRISMA.read(files | lock)
    assert (ten.version, ten.name, ten.up, ten.down) == ("10_y", "10_y/migration.sql", "a", "b")
    assert (nine.version, nine.down) == ("9_x", None)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("SELECT 1;\nSELECT 2;\n", id="the same"),
        pytest.param("SELECT 1;\r\nSELECT 2;\r\n", id="from a checkout on Windows"),
    ],
)
def test_checksums_that_the_engine_takes_for_the_same_text(written):
    digest = hashlib.sha256(written.encode()).digest()
    for text in ("SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n"):
        (file,) = PRISMA.read({"1_a/migration.sql": text})
        assert file.has(digest.hex())
        assert file.has("".join(f"{byte:x}" for byte in digest))
        assert not file.has(hashlib.sha256(b"SELECT 1;").hexdigest())


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("BEGIN;\nSELECT 1;\nCOMMIT;\n", "      \nSELECT 1;\n       \n"),
        ("-- a\nbegin transaction ;SELECT 1;commit", "-- a\n                   SELECT 1;      "),
        ("/* BEGIN; */ BEGIN;SELECT 1;\n-- done\nCOMMIT; -- COMMIT;",
         "/* BEGIN; */       SELECT 1;\n-- done\n        -- COMMIT;"),
        ("DO $$ BEGIN PERFORM 1; END; $$;", "DO $$ BEGIN PERFORM 1; END; $$;"),
        ("START TRANSACTION;\nSELECT 1;COMMIT;", "                  \nSELECT 1;       "),
        ("BEGIN;\nSELECT 1;", "BEGIN;\nSELECT 1;"),
        ("BEGIN;SELECT 1;\n-- COMMIT;", "BEGIN;SELECT 1;\n-- COMMIT;"),
    ],
)  # fmt: skip
def test_a_transaction_around_the_whole_file_is_ours(text, runs):
    (file,) = PRISMA.read({"1_a/migration.sql": text})
    assert file.up == runs
    assert file.has(hashlib.sha256(text.encode()).hexdigest())


@given(st.lists(st.sampled_from(["BEGIN", "COMMIT", ";", "/*", "*/", "--", "\n", " ", "a"])))
def test_blanking_changes_no_place(words):
    text = "".join(words)
    (file,) = PRISMA.read({"1_a/migration.sql": text})
    assert [len(line) for line in file.up.split("\n")] == [len(line) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("plan", "steps", "to"),
    [
        pytest.param(up(), [f"up:default:{A}-{C}"], C, id="fresh: all in one transaction"),
        pytest.param(up(A), [f"up:default:{B}-{C}"], C, id="one was applied by Prisma: the others"),
        pytest.param(up(to=B), [f"up:default:{A}-{B}"], B, id="up to a folder"),
        pytest.param(up(A, B, C, to=B), [f"down:default:{C}"], B, id="back to a folder"),
        pytest.param(up(A, to="base"), [f"down:default:{A}"], "", id="back to nothing"),
        pytest.param(up(baseline=A, known=facts(catalog=[CatalogObject("table", "public", "a"),
                     CatalogObject("column", "public", "a", "id")])),
                     [f"adopt:default:{A}", f"up:default:{B}-{C}"], C, id="baseline"),
    ],
)  # fmt: skip
def test_plans(plan, steps, to):
    assert (ids(plan), plan.to) == (steps, to)


def test_on_mariadb_each_file_is_a_step_with_its_own_way_back():
    plan = up(known=facts(dialect="mariadb"))
    assert ids(plan) == [f"up:default:{folder}" for folder in (A, B, C)]
    assert [step.undo and step.undo[0].statement.file for step in plan.steps] == [
        *(f"{A}/down.sql", None, f"{C}/down.sql")
    ]
    assert "commits each DDL statement by itself" in describe(plan)


def test_a_missing_way_back_is_said_before_anything_is_applied():
    assert f"{B}/migration.sql has no down.sql beside it: a rollback of it needs a checkpoint" in (
        describe(up())
    )
    with pytest.raises(RefusedError, match=f"write {B}/down.sql"):
        plan_down(spec(), OWNER, facts(A, B), FILES, A)


@pytest.mark.parametrize(
    ("known", "files", "reason", "words"),
    [
        pytest.param(facts(A, checksum="0" * 64), FILES, "EditedFile", f"{A}/migration.sql was",
                     id="edited after it was applied"),
        pytest.param(facts(A, C), FILES, "OutOfOrder", "rename its folder", id="a late one"),
    ],
)  # fmt: skip
def test_histories_that_are_refused(known, files, reason, words):
    with pytest.raises(RefusedError) as refused:
        up(known=known, files=files)
    assert (refused.value.reason, words in refused.value.message) == (reason, True)


def test_a_folder_that_only_a_newer_image_has():
    older = {name: text for name, text in FILES.items() if not name.startswith(C)}
    assert up(A, B, C, files=older).ahead
    with pytest.raises(RefusedError, match=f"{C}/migration.sql is applied") as refused:
        up(A, B, C, files=older, to=A)
    assert refused.value.reason == "NeedsNewerImage"
    assert f"{A}/migration.sql is applied but no longer in the project" in (
        up(A, B, files={name: text for name, text in FILES.items() if not name.startswith(A)}).notes
    )


SAID = (
    "A migration failed to apply.\n\nDatabase error code: 42P07\n\nDatabase error:\n"
    'ERROR: relation "b" already exists\n\nDbError { detail: Some("Key (x)=(secret)") }'
)
FAILED = (Unfinished("id1", B, "2026-01-02 10:00:00+00", SAID),)
TABLE_B = CatalogObject("table", "public", "b")


def test_a_failed_migration_of_prismas_of_which_nothing_stayed_runs_again():
    plan = up(known=facts(A, unfinished=FAILED))
    assert ids(plan) == [f"up:default:{B}-{C}"]
    assert "nothing of it stayed" in plan.notes[0]
    assert "secret" not in plan.notes[0]


@pytest.mark.parametrize(
    ("known", "files", "words"),
    [
        pytest.param(facts(A, unfinished=FAILED, catalog=[TABLE_B]), FILES,
                     "line 1 (CREATE TABLE b) is in part there", id="something is there"),
        pytest.param(facts(A, unfinished=(Unfinished("1", B, "noon", ""),)), FILES,
                     "began at noon, has no end", id="it may still run"),
        pytest.param(facts(A, unfinished=FAILED),
                     FILES | {f"{B}/migration.sql": "CREATE TABLE b ();\nDELETE FROM a;"},
                     "line 2 (DELETE FROM a) cannot be seen", id="rows leave no trace"),
        pytest.param(facts(A, unfinished=FAILED),
                     FILES | {f"{B}/migration.sql": "CREATE TABLE b (id int);\nDROP TABLE b;"},
                     "line 2 (DROP TABLE b) cannot be seen", id="made and dropped again"),
        pytest.param(facts(A, unfinished=FAILED), FILES | {f"{B}/migration.sql": "CREATE TABEL"},
                     "no SQL", id="its text is why it failed"),
        pytest.param(facts(A, unfinished=(Unfinished("1", "later", "noon", SAID),)), FILES,
                     "its file is missing", id="a folder of a newer image"),
    ],
)  # fmt: skip
def test_what_cannot_be_proven_is_held_with_prismas_own_commands(known, files, words):
    with pytest.raises(HeldError) as held:
        up(known=known, files=files)
    assert held.value.reason == "FailedMigration"
    message = held.value.message
    for part in (words, "P3009", "migrate resolve --rolled-back", "migrate resolve --applied"):
        assert part in message
    assert "secret" not in message
    assert held.value.command == "whimbrel retry shop -n team"


def test_what_prisma_wrote_down_is_told_without_the_row():
    said = SAID.replace("42P07", "22P02")
    said = said.replace(
        'relation "b" already exists', 'invalid input syntax for type json: "secret"'
    )
    row = Unfinished("id1", B, "noon", said)
    with pytest.raises(HeldError) as held:
        up(known=facts(A, unfinished=(row,), catalog=[TABLE_B]))
    assert "failed (22P02: invalid input syntax for type json: …)" in held.value.message


def test_what_we_began_ourselves_is_for_the_ledger_to_judge():
    ours = (Unfinished("id1", B, "noon", "", is_ours=True),)
    known = facts(A, unfinished=ours, catalog=[TABLE_B], dialect="mariadb")
    assert ids(up(known=known)) == [f"up:default:{B}", f"up:default:{C}"]


MYSQL_SAID = (
    "A migration failed to apply.\n\nDatabase error code: 1062\n\nDatabase error:\n"
    "Duplicate entry 'secret' for key 'x'\n\nPlease check the query number 2 from the file."
)


@pytest.mark.parametrize("catalog", [(), (CatalogObject("table", "shop", "b"),)])
def test_a_failed_migration_on_mariadb_is_read_by_its_own_grammar(catalog):
    text = "CREATE TABLE `b` (`id` BIGINT NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`));"
    rows = (Unfinished("1", B, "noon", MYSQL_SAID),)
    known = facts(A, unfinished=rows, catalog=catalog, dialect="mariadb")
    files = FILES | {f"{B}/migration.sql": text}
    if not catalog:
        assert (
            f"{B} failed under Prisma (1062) and nothing" in up(known=known, files=files).notes[0]
        )
        return
    with pytest.raises(HeldError) as held:
        up(known=known, files=files)
    assert "line 1 (CREATE TABLE `b`) is in part there" in held.value.message
    assert "secret" not in held.value.message


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_files_are_read_or_refused(files):
    with suppress(RefusedError):
        assert len(PRISMA.read(files)) <= len(files)
