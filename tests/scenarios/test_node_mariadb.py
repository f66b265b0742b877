"""Sequelize and TypeORM on a real MariaDB, as a person types it: bounded, named, and truthful."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.matrix.project import Project
from tests.matrix.projects.sequelize import SequelizeProject
from tests.matrix.projects.typeorm import TypeormProject
from tests.matrix.server import MariadbServer
from tests.npm_projects import made
from tests.scenarios.terminal import Said, Terminal, half_done
from tests.typeorm_shop import OLD

pytestmark = pytest.mark.sampled("a tool on MariaDB")

SEE = (
    "CREATE TABLE seen AS SELECT @@lock_wait_timeout AS wait, "
    "@@innodb_lock_wait_timeout AS row_wait, @whimbrel AS name"
)
ADD = "INSERT INTO notes VALUES (7, 'a secret of Ada')"
IN_SEQUELIZE = """
module.exports = {
  async up(q) {
    await q.sequelize.transaction(async (transaction) => {
      for (const sql of %s) await q.sequelize.query(sql, {transaction});
    });
  },
  async down() {},
};
"""
TOOLS: dict[str, Callable[..., Project]] = {
    "sequelize": SequelizeProject,
    "typeorm": TypeormProject,
}


class Place:
    """A project, its database, and a terminal; the manifest names no server."""

    def __init__(self, home: Path, tool: str, mariadb: MariaDB) -> None:
        """Copy the project of the example."""
        self.database, self.tool = mariadb, tool
        self.project = TOOLS[tool](home / "project", MariadbServer(mariadb))
        self.terminal = Terminal(home, mariadb.url)

    def in_transaction(self, title: str, statements: list[str]) -> None:
        """Write a migration all of which is in one transaction; TypeORM opens one by itself."""
        self.project.add(title, statements, [])
        if self.tool == "sequelize":
            file = self.project.folder / "migrations" / self.project.revisions[-1]
            file.write_text(IN_SEQUELIZE % json.dumps(statements))

    def run(self) -> Said:
        """Carry it out: the terminal's own check is that no password was shown."""
        spec = {**self.project.migrations, "to": "head"}
        spec.pop("databaseURL")  # as on PostgreSQL
        file = self.terminal.manifest({}, "shop", migrations=spec)
        said = self.terminal.type(f"whimbrel run {file} --project {self.project.folder} -o json")
        assert "secret" not in said.text, said
        return said


@pytest.fixture(params=["sequelize", "typeorm"])
def place(request, tmp_path: Path, mariadb: MariaDB) -> Place:
    return Place(tmp_path, request.param, mariadb)


@pytest.mark.sampled("half a transaction of a Node tool")
def test_its_sessions_are_bounded_and_named_and_half_a_transaction_is_told(place: Place):
    """DDL ends the author's transaction, also one that fails: rows before it stay."""
    place.project.add("see", [SEE, "CREATE TABLE notes (n int UNIQUE, word text)"], [])
    said = place.run()
    assert said.code == 0, said
    assert place.database.run("SELECT * FROM seen") == [(1, 1, 1)]
    place.in_transaction("rows", [ADD, ADD])
    said = place.run()
    assert said.code == 1, said  # all of it is rolled back, and the message has no value
    assert "Duplicate entry '…' for key 'n' (error 1062)" in said.text, said
    assert place.database.run("SELECT COUNT(*) FROM notes") == [(0,)]
    place.in_transaction("rows", [ADD, "ALTER TABLE notes DROP COLUMN nowhere"])
    message = half_done(place.run())
    assert re.search(r"and stay: \[[^]]*: INSERT INTO notes VALUES \(…\]; undo", message), message
    assert place.database.run("SELECT n FROM notes") == [(7,)]
    assert half_done(place.run())  # nothing is started again


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_the_dialect_of_a_sequelize_project_is_kept(dialect: str, tmp_path: Path, mariadb: MariaDB):
    place = Place(tmp_path, "sequelize", mariadb)
    (place.project.folder / "config/config.js").write_text(
        f"module.exports = {{dialect: '{dialect}', host: 'nowhere', dialectOptions: "
        "{host: 'nowhere', socketPath: '/nowhere', multipleStatements: true}};"
    )
    dialects = "CREATE TABLE is_DIALECT (n int); CREATE TABLE two (n int)"
    place.project.add("which", [dialects.replace("DIALECT", dialect)], [])
    said = place.run()
    assert said.code == 0, said
    assert place.database.run("SHOW TABLES LIKE 'two'") == [("two",)]


def test_a_data_source_for_mysql_is_refused_before_anything_is_done(
    tmp_path: Path, mariadb: MariaDB
):
    place = Place(tmp_path, "typeorm", mariadb)
    source = place.project.folder / "dist/data-source.js"
    source.write_text(source.read_text().replace('"mariadb"', '"mysql"'))
    said = place.run()
    assert (said.code, json.loads(said.out)["reason"]) == (2, "TypeWrong"), said
    assert "is made for mysql, and this database needs mariadb (" in said.text, said
    assert mariadb.run("SHOW TABLES LIKE 'migrations'") == []


@pytest.mark.soak
def test_typeorm_03_too(tmp_path: Path, mariadb: MariaDB):
    place = Place(tmp_path, "typeorm", mariadb)
    modules = place.project.folder / "node_modules"
    modules.unlink()
    modules.symlink_to(made(OLD) / "node_modules")
    test_its_sessions_are_bounded_and_named_and_half_a_transaction_is_told(place)
