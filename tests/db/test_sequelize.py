"""Sequelize in a user's project through the real launcher, against a real PostgreSQL."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.db.tool_shop import NAME, PASSWORD, Shop, opened_shop, refused
from tests.postgres import Postgres
from tests.sequelize_project import ONE, THREE, TWO, copied
from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import CatalogObject, Direction, RunTool, StepId
from whimbrel.planning.tools.project import WayBack
from whimbrel.runner.run_tool import ToolFailedError, run_tool
from whimbrel.runner.sessions import connect

pytestmark = pytest.mark.sampled("Sequelize asked and told")

NODE = str(Path(shutil.which("node") or "node").parent)
FOUR, FIVE = "20260104090000-four.js", "20260105090000-five.js"
MIGRATION = """
module.exports = {{
  async up(q, Sequelize) {{
    const run = (sql, words) => q.sequelize.query(sql, words);
    {up}
  }},
  {back}
}};
"""
FREE = "async down() { return true; }"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copied(tmp_path / "app")


@pytest.fixture
def shop(app: Path, database: Postgres) -> Iterator[Shop]:
    with opened_shop(app, database, f"{NODE}:/usr/bin", {"tool": "sequelize"}) as opened:
        yield opened


def write(shop: Shop, name: str, up: str = "", back: str = FREE) -> None:
    (shop.folder / "migrations" / name).write_text(MIGRATION.format(up=up, back=back))


def configure(shop: Shop, words: str) -> None:
    (shop.folder / "config/config.js").write_text(f"module.exports = {words};")


def columns(shop: Shop) -> list[tuple]:
    return shop.sql(
        "SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'SequelizeMeta' ORDER BY 1, 2"
    )


def test_the_project_is_read_without_a_database(shop: Shop):
    shop.target = type(shop.target)(**{**vars(shop.target), "port": 1})
    project = shop.project()
    assert project.heads == (THREE,)
    assert [(each.id, each.below) for each in project.in_order(project.revisions)] == [
        (ONE, ()),
        (TWO, (ONE,)),
        (THREE, (TWO,)),
    ]
    assert {each.way_back for each in project.revisions.values()} == {WayBack.WRITTEN}


@pytest.mark.sampled("the main path")
def test_up_down_up_leads_to_the_same_schema(shop: Shop):
    assert shop.go() == ()
    there = columns(shop)
    assert shop.rows() == (ONE, TWO, THREE)
    assert shop.sql("SELECT email FROM people ORDER BY id") == [
        ("ada.lovelace@example.com",),
        ("grace.hopper@example.com",),
    ]
    shop.go(ONE)  # it stays: `undo:all --to` would take it back too
    assert shop.rows() == (ONE,)
    assert [row[1] for row in columns(shop)] == ["id", "name", "tags"]
    shop.go()
    assert (columns(shop), shop.rows()) == (there, (ONE, TWO, THREE))
    shop.go("base")
    assert (shop.rows(), columns(shop)) == ((), [])


@pytest.mark.soak
def test_only_the_newest_in_a_row_of_names_can_be_left_out(shop: Shop):
    """One that was merged late comes before what is applied; the way back takes it alone."""
    (shop.folder / "migrations" / TWO).rename(shop.folder / "late.js")
    write(shop, THREE)
    shop.go()
    (shop.folder / "late.js").rename(shop.folder / "migrations" / TWO)
    assert shop.rows() == (ONE, THREE)
    shop.go()
    assert shop.rows() == (ONE, TWO, THREE)

    shop.back(f"without {TWO}")
    assert shop.rows() == (ONE, THREE)
    shop.go()
    assert shop.rows() == (ONE, TWO, THREE)


def test_its_sessions_carry_our_name_and_limits_over_the_projects_own(shop: Shop):
    configure(
        shop,
        "{production: {dialect: 'postgres', host: 'nowhere', url: 'postgres://u:p@nowhere/x', "
        "replication: {write: {host: 'nowhere'}, read: []}, dialectOptions: {lock_timeout: 7000, "
        "application_name: 'mine', options: '-c work_mem=5MB'}}}",
    )
    query = (
        "CREATE TABLE seen AS SELECT current_setting('application_name') AS name, "
        "current_setting('lock_timeout') AS wait, current_setting('work_mem') AS memory"
    )
    write(shop, FOUR, f'await run("{query}");')
    shop.go()
    assert shop.sql("SELECT * FROM seen") == [(NAME, "100ms", "5MB")]


def test_models_of_the_project_that_open_their_own_connection_are_bounded_too(shop: Shop):
    """Their URL comes from the variable, name and limits from what node-postgres reads itself."""
    own = (
        "const own = new Sequelize.Sequelize(process.env.SHOP_URL, {logging: console.log}); "
        "await own.query(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS wait, "
        "'secret' AS x\"); await own.close();"
    )
    write(shop, FOUR, own)
    shop.go()
    assert shop.sql("SELECT wait FROM seen") == [("100ms",)]
    assert "secret" not in "\n".join(shop.said)


def test_everything_of_the_project_can_be_named(shop: Shop):
    for old, new in (("config/config.js", "live.js"), ("migrations", "steps")):
        (shop.folder / old).rename(shop.folder / new)
    (shop.folder / ".sequelizerc").rename(shop.folder / "rc.js")
    text = (shop.folder / "live.js").read_text()
    extra = "staging: {dialect: 'postgres', migrationStorageTableName: 'done', "
    extra += "migrationStorageTableSchema: 'books'}"
    (shop.folder / "live.js").write_text(text.replace("production: ", f"{extra}, production: "))
    shop.migrations["sequelize"] = {
        "environment": "staging",
        "config": "live.js",
        "migrationsPath": "steps",
        "optionsPath": "rc.js",
    }
    with pytest.raises(RefusedError) as refused:
        shop.go(ONE)
    assert refused.value.reason == "BookkeepingElsewhere"
    assert "migrations.bookkeeping to {schema: books, table: done}" in refused.value.message
    shop.migrations["bookkeeping"] = {"schema": "books", "table": "done"}
    shop.go(ONE)
    assert shop.rows() == (ONE,)
    assert shop.sql("SELECT name FROM books.done") == [(ONE,)]


def test_the_password_is_nowhere_in_what_is_shown(shop: Shop):
    leaks = (
        "console.log('URL', process.env.SHOP_URL); console.log('SET', q.sequelize.config.password);"
        "throw new Error('cannot reach ' + process.env.SHOP_URL);"
    )
    write(shop, FOUR, leaks)
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    everything = "\n".join([*shop.said, failed.value.message])
    assert "URL postgresql://" in everything
    assert "cannot reach" in failed.value.message
    assert "***" in failed.value.message
    assert not [word for word in (PASSWORD, "p%25", "x%2540") if word in everything]


def test_a_failing_migration_says_statement_by_statement_what_stayed(shop: Shop):
    shop.go(TWO)
    write(
        shop,
        FOUR,
        "await q.createTable('half', {n: Sequelize.INTEGER});"
        "await q.bulkInsert('half', [{n: 4711}]);"
        "await q.sequelize.transaction(async (transaction) => {"
        " await run('DELETE FROM half', {transaction}); });"
        "await q.sequelize.transaction(async (transaction) => {"
        " await run('DROP TABLE people', {transaction}); await run('SELECT nonsense()', "
        "{transaction}); });",
    )
    write(shop, FIVE)
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    error = failed.value
    assert (error.sqlstate, error.after) == ("42883", (ONE, TWO, THREE))
    assert "function nonsense() does not exist" in error.message
    assert f"migrations/{FOUR}, line 5" in error.message
    assert error.stays == (
        f'{FOUR}: CREATE TABLE IF NOT EXISTS "half" ("n" INTEGER);',
        f'{FOUR}: INSERT INTO "half" ("n") VALUES (…',
        f"{FOUR}: DELETE FROM half",
    )
    everything = "\n".join([*shop.said, error.message])
    assert f'{FOUR}: INSERT INTO "half" ("n") VALUES (…' in everything
    assert "4711" not in everything


def test_rows_of_the_database_do_not_get_into_the_message(shop: Shop):
    insert = "INSERT INTO people (name, email) SELECT 'secret', email FROM people"
    write(shop, FOUR, f'await run("{insert}", {{logging: console.log}});')
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.sqlstate == "23505"
    assert "people_email_is_unique" in failed.value.message
    everything = "\n".join([failed.value.message, *shop.said])
    assert "Key (email)" not in everything
    assert "'secret'" not in everything


@pytest.mark.soak
def test_a_lock_is_not_waited_for_longer_than_the_limit(shop: Shop):
    shop.go(TWO)
    with connect(shop.target, "application") as session, session.transaction():
        session.execute("SELECT * FROM people")
        with pytest.raises(ToolFailedError) as failed:
            shop.go(THREE)
    assert (failed.value.sqlstate, failed.value.stays) == ("55P03", ())
    shop.go(THREE)


@pytest.mark.soak
def test_a_killed_tool_is_reported_and_its_statement_ends(shop: Shop):
    shop.go()
    insert = "INSERT INTO people (name, email) SELECT 'late', 'late' FROM pg_sleep(20)"
    write(shop, FOUR, f"console.log('now'); await run(\"{insert}\");")

    def kill(line: str) -> None:
        if line.endswith("now"):
            shop.tool.signal(signal.SIGKILL)

    shop.hear = kill
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.message.startswith("sequelize-cli db:migrate was killed by SIGKILL")
    assert failed.value.cut_off
    with connect(shop.target, "test") as session, session.transaction():
        session.execute("SET LOCAL lock_timeout = '4s'")
        session.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
    assert shop.sql("SELECT count(*) FROM people WHERE name = 'late'") == [(0,)]


@pytest.mark.soak
def test_a_stop_comes_between_two_migrations(shop: Shop):
    write(shop, FOUR, "console.log('now'); await run('SELECT pg_sleep(0.5)');")
    write(shop, FIVE)

    def stop(line: str) -> None:
        if line.endswith("now"):
            shop.tool.signal(signal.SIGTERM)

    shop.hear = stop
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.after[-1] == FOUR
    assert f"asked to stop, and did so before {FIVE}" in failed.value.message
    shop.go()
    assert shop.rows()[-1] == FIVE


def test_an_exit_code_alone_decides_nothing(shop: Shop):
    shop.go(TWO)
    # The tool itself says "already up to date" and ends well.
    words = ("sequelize-cli", "db:migrate", "--to", "2026")
    step = RunTool(StepId("up"), Direction.UP, words, (ONE, TWO), (ONE, TWO, THREE))
    with pytest.raises(ToolFailedError) as failed:
        run_tool(shop.place(), step, shop.rows)
    assert "the project has no migration 2026" in failed.value.message
    (shop.folder / "migrations" / FOUR).write_text("module.exports = {};")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert f"migrations/{FOUR}, line 1: Could not find migration method" in failed.value.message
    write(shop, FOUR, "process.on('exit', () => { process.exitCode = 9; });")
    (warning,) = shop.go()
    assert warning.startswith("ToolExit: sequelize-cli db:migrate failed, yet")


def test_an_existing_database_is_adopted_without_running_anything(shop: Shop):
    shop.sql("CREATE TABLE people (id bigint, name text, email text)")
    shop.migrations["baseline"] = TWO
    people = frozenset({CatalogObject("table", "public", "people")})
    shop.carry_out(shop.plan(TWO, catalog=people))
    assert shop.rows() == (ONE, TWO)
    assert shop.sql("SELECT count(*) FROM people") == [(0,)]


WAYS_BACK = {
    "": WayBack.MISSING,
    "async down(q) { /** Add reverting commands here. */ // await q\n }": WayBack.EMPTY,
    "down: async ({a = '()'}) => {}": WayBack.EMPTY,
    "down: () => Promise.resolve()": WayBack.EMPTY,
    "down() {}": WayBack.REFUSES,
    "async down() { // no\n throw new Error('no'); }": WayBack.REFUSES,
    "down: async q => { throw q; }": WayBack.REFUSES,
    "down: (q) => q.dropTable('x')": WayBack.WRITTEN,
    "async down(q) { if (q) { throw q; } }": WayBack.WRITTEN,
}


def test_the_way_back_is_told_without_running_it(shop: Shop):
    for number, down in enumerate(WAYS_BACK):
        write(shop, f"3{number}.js", back=down)
    told = [each.way_back for each in shop.project().revisions.values() if each.id[0] == "3"]
    assert told[::-1] == list(WAYS_BACK.values())


# ---- images and projects that cannot work: one sentence each ----


def test_an_image_without_node(app: Path, database: Postgres, tmp_path: Path):
    with opened_shop(app, database, str(tmp_path), {"tool": "sequelize"}) as shop:
        assert refused(shop).reason == "NodeMissing"


@pytest.mark.parametrize("package", ["sequelize-cli", "pg"])
def test_an_image_without_a_package(shop: Shop, package: str):
    packages = (shop.folder / "node_modules").resolve()
    (shop.folder / "node_modules").unlink()
    (shop.folder / "node_modules").mkdir()
    for each in packages.iterdir():
        if each.name != package:
            (shop.folder / "node_modules" / each.name).symlink_to(each)
    # Else a package would find those beside the one that its link leads to.
    shop.migrations["env"] = [{"name": "NODE_OPTIONS", "value": "--preserve-symlinks"}]
    error = refused(shop)
    assert error.reason == ("DriverMissing" if package == "pg" else "PackageMissing")
    assert package in error.message


@pytest.mark.parametrize(
    ("migrations", "reason", "words"),
    [
        ({"workingDir": "/no/such/place"}, "WorkingDirMissing", "cannot be entered"),
        ({"workingDir": "/"}, "PackageMissing", "sequelize is not installed in /: run npm ci"),
        ({"sequelize": {"config": "x.js"}}, "ConfigMissing", "x.js does not exist"),
        ({"sequelize": {"environment": "live"}}, "EnvironmentMissing", "no entry live (it has: d"),
        ({"sequelize": {"migrationsPath": "x"}}, "FolderMissing", "no folder"),
        ({"databaseURL": {"env": "SHOP_URL", "scheme": "jdbc"}}, "SchemeUnknown", "jdbc://"),
        ({"to": "2026"}, "UnknownRevision", "no revision 2026"),
    ],
)
def test_what_is_named_wrong_is_one_sentence(shop: Shop, migrations, reason: str, words: str):
    shop.migrations |= migrations
    error = refused(shop, migrations.get("to", "head"))
    assert error.reason == reason
    assert words in error.message


def test_books_that_the_database_does_not_hold(shop: Shop):
    configure(shop, "{production: {migrationStorage: 'json'}}")
    error = refused(shop)
    assert error.reason == "BookkeepingOutside"
    assert "as json" in error.message


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (FOUR, "module.exports = {\n  up: (\n};", f"migrations/{FOUR}, line 3"),
        (FOUR, "require('./gone');", "Cannot find module './gone'"),
        (FOUR.replace(".js", ".ts"), "enum Kind { A }", "--require ts-node/register"),
        (FOUR, "throw new TypeError('at once');", f"migrations/{FOUR}, line 1: at once"),
    ],
    ids=["syntax", "module", "TypeScript", "exception"],
)
def test_a_file_that_cannot_be_loaded(shop: Shop, name: str, text: str, words: str):
    (shop.folder / "migrations" / name).write_text(text)
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert words in error.message


def test_a_configuration_that_cannot_be_loaded(shop: Shop):
    configure(shop, "{\n  production: missing }")
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert "config/config.js, line 2: missing is not defined" in error.message
