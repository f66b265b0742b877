"""TypeORM in a user's project through the real launcher, against a real PostgreSQL."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.db.tool_shop import NAME, PASSWORD, Shop, opened_shop
from tests.postgres import Postgres
from tests.typeorm_shop import ONE, THREE, TWO, copied, migration, query
from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.tools.project import WayBack
from whimbrel.planning.tools.typeorm import relations
from whimbrel.runner.bookkeeping import UnreadableError
from whimbrel.runner.run_tool import ToolFailedError
from whimbrel.runner.sessions import connect

pytestmark = pytest.mark.sampled("TypeORM asked and told")

LATE = "Late1767300000000"  # between ONE and TWO
FOUR, FIVE = "Fourth1767484800000", "Fifth1767571200000"
BIN = Path(shutil.which("node") or "").parent
SEE = (
    "CREATE TABLE IF NOT EXISTS seen AS SELECT current_setting('application_name') AS name, "
    "current_setting('lock_timeout') AS wait, current_setting('search_path') AS path"
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copied(tmp_path / "app")


@pytest.fixture
def shop(app: Path, database: Postgres) -> Iterator[Shop]:
    with opened_shop(app, database, f"{BIN}:/usr/bin:/bin", {"tool": "typeorm"}) as opened:
        yield opened


def options(shop: Shop, text: str) -> None:
    """Change what the data source is made from."""
    file = shop.folder / "dist/data-source.js"
    made = file.read_text().replace("DataSource(options)", f"DataSource({{...options, ...{text}}})")
    assert text in made
    file.write_text(made)


def columns(shop: Shop) -> list[tuple]:
    return shop.sql(
        "SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'migrations' ORDER BY 1, 2"
    )


def test_the_project_is_read_without_a_database(shop: Shop):
    shop.target = type(shop.target)(**{**vars(shop.target), "port": 1})
    migration(shop.folder, FOUR, up="1", down="// nothing to do")
    commits = "transaction = false;"
    no_way = "/* no way */ throw new Error('no');"
    migration(shop.folder, FIVE, up="1", down=no_way, transaction=commits)
    project = shop.project()
    assert project.heads == (FIVE,)
    oldest_first = project.in_order(project.revisions)
    assert [each.id for each in oldest_first] == [ONE, TWO, THREE, FOUR, FIVE]
    assert [each.below for each in oldest_first] == [(), (ONE,), (TWO,), (THREE,), (FOUR,)]
    ways = [each.way_back for each in oldest_first]
    assert ways == [WayBack.WRITTEN] * 3 + [WayBack.EMPTY, WayBack.REFUSES]
    assert [each.id for each in oldest_first if not each.atomic] == [FIVE]
    assert project.revisions[TWO].file == "dist/migrations/1767312000000-FillEmail.js"


@pytest.mark.sampled("the main path")
def test_up_down_up_leads_to_the_same_schema(shop: Shop):
    assert shop.go() == ()
    there = columns(shop)
    assert shop.rows() == (ONE, TWO, THREE)
    assert shop.sql("SELECT email FROM people ORDER BY id") == [
        ("ada.lovelace@example.com",),
        ("grace.hopper@example.com",),
    ]
    assert ("people", "details", "YES", "jsonb") in there
    shop.go(ONE)
    assert (shop.rows(), [row[1] for row in columns(shop)]) == ((ONE,), ["id", "name"])
    shop.go()
    assert (columns(shop), shop.rows()) == (there, (ONE, TWO, THREE))
    assert [shop.plan(to).steps for to in ("head", THREE)] == [(), ()]
    shop.go("base")
    assert (shop.rows(), columns(shop)) == ((), [])


def test_what_was_merged_late_is_applied_and_taken_back_in_the_order_of_the_rows(shop: Shop):
    shop.go()
    log = "CREATE TABLE IF NOT EXISTS log (n int, word text)"
    for number, name in enumerate((LATE, FOUR)):
        down = query(f"INSERT INTO log VALUES ({number}, '{name}')")
        migration(shop.folder, name, up=query(log), down=down)
    assert shop.plan(THREE).steps  # nothing newer is missing, but something older
    shop.go()
    assert shop.rows() == (ONE, TWO, THREE, LATE, FOUR)
    with pytest.raises(RefusedError) as refused:
        shop.plan(TWO)
    assert refused.value.reason == "AppliedLater"
    assert f"name {TWO}" in refused.value.message
    shop.back(f"{THREE},without:{LATE}")
    assert shop.rows() == (ONE, TWO, THREE)
    assert shop.sql("SELECT word FROM log") == [(FOUR,), (LATE,)]


def test_limits_reach_every_session_whatever_the_data_source_says(shop: Shop):
    theirs = "{application_name: 'x', lock_timeout: 9000, options: '-c search_path=mine,public', "
    theirs += "connectionString: 'postgresql://nobody@127.0.0.1:1/x'}"
    slaves = "{master: {url: 'postgresql://127.0.0.1:1/x'}, slaves: []}"
    more = f"applicationName: 'y', poolSize: 3, logging: true, replication: {slaves}"
    options(shop, f"{{extra: {theirs}, {more}}}")
    shop.sql("CREATE SCHEMA mine")
    # Two sessions of the pool: the migration's own, and one that it opens itself.
    second = "const other = (q.dataSource ?? q.connection).createQueryRunner(); await other.query("
    second += f"{SEE.replace('seen', 'seen2')!r}); await other.release();"
    migration(shop.folder, FOUR, up=query(SEE) + second)
    shop.go()
    for table in ("seen", "seen2"):
        assert shop.sql(f"SELECT * FROM mine.{table}") == [(NAME, "100ms", "mine,public")]


def test_what_a_data_source_does_beside_migrations_is_left_out(shop: Shop):
    shop.sql("CREATE TABLE kept (n int)")
    options(shop, "{dropSchema: true, synchronize: true, migrationsRun: true, cache: true}")
    shop.go(ONE)
    assert shop.rows() == (ONE,)
    assert [row[:2] for row in columns(shop)] == [
        ("kept", "n"), ("people", "id"), ("people", "name"),
    ]  # fmt: skip


@pytest.mark.sampled("the main path")
def test_no_value_of_a_row_and_no_password_is_shown(shop: Shop):
    options(shop, "{logging: true, logger: 'simple-console', maxQueryExecutionTime: 1}")
    leaks = "console.log('URL', process.env.SHOP_URL); "
    insert = "INSERT INTO people (name, email) VALUES ($1, $2)"
    leaks += query(insert, "secret name", "ada.lovelace@example.com")
    migration(shop.folder, FOUR, up=leaks)
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    error = failed.value
    assert error.sqlstate == "23505"
    assert error.after == (ONE, TWO, THREE)
    assert "people_email" in error.message
    assert f"dist/migrations/{FOUR[-13:]}-Fourth.js, line 5" in error.message
    assert "[INSERT INTO people (name, email) VALUES ($1, $2)]" in error.message
    everything = "\n".join([*shop.said, error.message])
    assert "URL postgresql://" in everything
    assert f"Migration {THREE} has been" in everything
    hidden = (PASSWORD, "p%25", "x%2540", "secret name", "ada.lovelace", "Key (email)")
    assert not [word for word in hidden if word in everything]


def test_what_fails_at_the_commit_names_its_migration(shop: Shop):
    deferred = "ALTER TABLE people ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED"
    twice = "INSERT INTO people (name, email) SELECT name, 'x' || id FROM people"
    migration(shop.folder, FOUR, up=query(deferred) + query(twice))
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.sqlstate == "23505"
    assert f"dist/migrations/{FOUR[-13:]}-Fourth.js, line 2" in failed.value.message


def test_a_migration_without_a_transaction_goes_up_and_back(shop: Shop):
    up = query("CREATE INDEX CONCURRENTLY names ON people (name)")
    down = query("DROP INDEX CONCURRENTLY names")
    migration(shop.folder, FOUR, up=up, down=down, transaction="transaction = false;")
    migration(shop.folder, FIVE, up=query("SELECT 1"))
    shop.go()
    shop.go(THREE)
    assert shop.rows() == (ONE, TWO, THREE)
    assert shop.sql("SELECT to_regclass('names')") == [(None,)]


def test_an_existing_database_is_adopted_without_running_anything(shop: Shop):
    shop.sql("CREATE TABLE people (id int, name text, email text)")
    up = query("SELECT 1")
    migration(shop.folder, LATE, up="throw new Error('ran')", transaction="transaction = false;")
    migration(shop.folder, FOUR, up=up, transaction="transaction = false;")
    shop.migrations["baseline"] = TWO
    catalog = frozenset({CatalogObject("table", "public", "people")})
    adopted, run = shop.plan("head", catalog=catalog).steps
    assert adopted.argv == ("typeorm", "migration:run", "--fake", "--to", TWO)
    assert run.argv == ("typeorm", "migration:run")
    shop.go("head", catalog=catalog)
    assert shop.rows() == (ONE, LATE, TWO, THREE, FOUR)
    stamps = shop.sql("SELECT name FROM migrations WHERE name NOT LIKE '%' || timestamp")
    assert stamps == []


@pytest.mark.soak
def test_a_killed_tool_is_reported_and_its_statement_ends(shop: Shop):
    shop.go()
    insert = "INSERT INTO people (name, email) SELECT 'late', 'late' FROM pg_sleep(20)"
    migration(shop.folder, FOUR, up=f"console.log('now'); {query(insert)}")

    def kill(line: str) -> None:
        if line.endswith("now"):
            shop.tool.signal(signal.SIGKILL)

    shop.hear = kill
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.message.startswith("typeorm migration:run was killed by SIGKILL")
    with connect(shop.target, "test") as session, session.transaction():
        session.execute("SET LOCAL lock_timeout = '4s'")
        session.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
    assert shop.sql("SELECT count(*) FROM people WHERE name = 'late'") == [(0,)]


@pytest.mark.soak
def test_a_lock_is_not_waited_for_longer_than_the_limit(shop: Shop):
    shop.go(TWO)
    with connect(shop.target, "application") as session, session.transaction():
        session.execute("SELECT * FROM people")
        with pytest.raises(ToolFailedError) as failed:
            shop.go(THREE)
    assert failed.value.sqlstate == "55P03"


def test_the_books_are_its_own(shop: Shop):
    shop.sql("CREATE SCHEMA other; CREATE TABLE other.migrations (id int, name text)")
    shop.go(TWO)  # without a time stamp it is somebody else's
    shop.sql(f"UPDATE migrations SET timestamp = 1 WHERE name = '{TWO}'")
    with pytest.raises(ToolFailedError) as failed:
        shop.go(ONE)
    assert "correct the row to the 13 digits" in failed.value.message
    assert ("people", "email", "YES", "character varying") in columns(shop)
    shop.sql(f"INSERT INTO migrations (timestamp, name) VALUES (2, '{ONE}')")
    with pytest.raises(UnreadableError) as refused:
        shop.rows()
    assert refused.value.reason == "AppliedTwice"


def test_a_table_of_another_name_is_named_in_the_spec(shop: Shop):
    options(shop, "{migrationsTableName: 'done', schema: 'mine'}")
    shop.sql("CREATE SCHEMA mine")
    with pytest.raises(RefusedError) as refused:
        shop.project()
    assert refused.value.reason == "BookkeepingElsewhere"
    assert "mine.done" in refused.value.message
    shop.migrations["bookkeeping"] = {"schema": "mine", "table": "done"}
    shop.go(ONE)
    assert shop.sql("SELECT name FROM mine.done") == [(ONE,)]
    made = "SELECT relname FROM pg_class WHERE relnamespace = 'mine'::regnamespace"
    assert {name for (name,) in shop.sql(made)} <= {*relations("done"), *relations("people")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("require('typeorm2'.slice(0, -1) + '/missing.js')", "BrokenMigration"),
        ("module.exports = {};", "NotADataSource"),
        ("exports.default.options.migrations = ['none/*.js'];", "NoMigrations"),
        ("exports.default.options.type = 'mysql';", "TypeWrong"),
        ("exports.default.isInitialized = true;", "DataSourceOpened"),
        ("const {DataSource} = require('typeorm'); exports.b = new DataSource({type: 'postgres'});",
         "SeveralDataSources"),
        ("exports.default.options.migrations = [class Foo {}];", "NameWrong"),
        ("class Foo1767484800000 {}; exports.default.options.migrations = "
         "[Foo1767484800000, Foo1767484800000];", "DuplicateMigration"),
    ],
    ids=lambda each: each if each.isidentifier() else "",
)  # fmt: skip
def test_a_project_that_cannot_be_used_is_one_sentence(shop: Shop, text: str, reason: str):
    file = shop.folder / "dist/data-source.js"
    file.write_text(f"{file.read_text()}\n{text}\n")
    with pytest.raises(RefusedError) as refused:
        shop.project()
    assert (refused.value.reason, "{" in refused.value.message) == (reason, False)


def test_what_the_image_lacks_is_one_sentence(shop: Shop):
    found = {}
    for name in ("dist/missing.js", "src/data-source.ts", "dist/data-source.js"):
        if name.endswith(".ts"):
            (shop.folder / "src").mkdir()
            (shop.folder / name).write_text("export const a: number = 1;")
        if name == "dist/data-source.js":
            (shop.folder / "node_modules").unlink()
            (shop.folder / "node_modules/reflect-metadata").mkdir(parents=True)
            (shop.folder / "node_modules/reflect-metadata/index.js").touch()
        shop.migrations["typeorm"] = {"dataSource": name}
        with pytest.raises(RefusedError) as refused:
            shop.project()
        found[name] = refused.value.reason
    assert [*found.values()] == ["DataSourceMissing", "TypeScriptSource", "TypeormMissing"]


def test_a_data_source_may_be_a_promise_of_an_es_module(shop: Shop):
    (shop.folder / "source.mjs").write_text(
        "import { DataSource } from 'typeorm';\n"
        f"import {{ {ONE} }} from './dist/migrations/1767225600000-CreatePeople.js';\n"
        "export class Last1767484800000 { async up(q) { await q.query('SELECT 1'); } }\n"
        f"const migrations = [Last1767484800000, {ONE}];\n"
        "export const source = Promise.resolve(new DataSource({type: 'postgres', migrations}));\n"
    )
    shop.migrations["typeorm"] = {"dataSource": "source.mjs"}
    project = shop.project()
    last = project.revisions["Last1767484800000"]
    assert (last.file, last.way_back) == ("source.mjs", WayBack.MISSING)
    shop.go()
    assert shop.rows() == (ONE, "Last1767484800000")


def test_typeorm_0_3_goes_up_and_back_and_says_what_failed(tmp_path: Path, database: Postgres):
    app = copied(tmp_path / "app", old=True)
    migration(app, FOUR, up=query("INSERT INTO missing VALUES ($1)", "secret"))
    with opened_shop(app, database, f"{BIN}:/usr/bin:/bin", {"tool": "typeorm"}) as shop:
        with pytest.raises(ToolFailedError) as failed:
            shop.go()
        assert failed.value.sqlstate == "42P01"
        assert "Fourth.js, line 5" in failed.value.message
        assert shop.rows() == (ONE, TWO, THREE)
        shop.go(ONE)
        shop.go(THREE)
        assert shop.rows() == (ONE, TWO, THREE)
        shop.go("base")
        assert (shop.rows(), columns(shop)) == ((), [])
