"""Django on a real MariaDB with either driver, as a person types it: bounded and truthful."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.matrix.projects.django import DjangoProject
from tests.matrix.server import MariadbServer
from tests.mysqlclient import django_with_mysqlclient
from tests.scenarios.terminal import Said, Terminal, half_done

SEE = (
    "CREATE TABLE seen AS SELECT @@lock_wait_timeout AS wait, @@innodb_lock_wait_timeout AS "
    "row_wait, @whimbrel AS name, @mine AS mine, @@sql_mode LIKE 'STRICT_ALL%' AS mode"
)
IN_PYTHON = """
from django.db import migrations
def forth(apps, editor):
    run = editor.connection.cursor().execute
    {body}
class Migration(migrations.Migration):
    dependencies = [("people", "{below}")]
    operations = [migrations.RunPython(forth, migrations.RunPython.noop)]
"""
# A traceback shows the author's lines, so the word is put together there.
ADD = "run('INSERT INTO notes VALUES (7, %s)', ['sec' + 'ret'])"
OPTIONS = """
import MySQLdb
with open("driver", "w") as file:
    file.write(MySQLdb.__name__)
DATABASES["default"]["HOST"] = "nowhere"
DATABASES["default"]["OPTIONS"] |= {
    "init_command": "SET @mine = 5, sql_mode = 'STRICT_ALL_TABLES'",
    "unix_socket": "/nowhere",
    "read_default_file": "/nowhere/my.cnf",
    "sslrootcert": "/nowhere/ca.pem",
}
"""


class Place:
    """The example, its database, and a terminal; the manifest names no server."""

    def __init__(self, home: Path, driver: str, mariadb: MariaDB) -> None:
        """Copy the example; its `.venv` has one of the drivers."""
        self.home, self.driver, self.database = home, driver, mariadb
        self.project = DjangoProject(home / "project", MariadbServer(mariadb))
        if driver == "MySQLdb":
            (self.project.folder / ".venv").symlink_to(django_with_mysqlclient())
        self.terminal = Terminal(home, mariadb.url)

    def in_python(self, title: str, *lines: str) -> None:
        """Write a migration whose only operation is RunPython, in a transaction."""
        self.project.add(title, [], [])
        names = [each.partition(":")[2] for each in self.project.revisions]
        file = self.project.folder / f"people/migrations/{names[-1]}.py"
        file.write_text(IN_PYTHON.format(below=names[-2], body="\n    ".join(lines)))

    def run(self, to: str = "head") -> Said:
        """Carry it out: the terminal's own check is that no password was shown."""
        spec = {"tool": "django", "image": "shop:1", "to": to}  # as on PostgreSQL
        file = self.terminal.manifest({}, "shop", migrations=spec)
        said = self.terminal.type(f"whimbrel run {file} --project {self.project.folder} -o json")
        assert "secret" not in said.text, said
        return said

    def notes(self) -> int:
        """Return how many rows stand where the migrations put them."""
        return self.database.run("SELECT COUNT(*) FROM notes")[0][0]


@pytest.fixture(params=["pymysql", "MySQLdb"])
def place(request, tmp_path: Path, mariadb: MariaDB) -> Place:
    return Place(tmp_path, request.param, mariadb)


@pytest.mark.sampled("a driver of Django on MariaDB")
def test_its_sessions_are_bounded_and_named_and_the_settings_stay(place: Place):
    settings = place.project.folder / "shop/settings.py"
    settings.write_text(settings.read_text() + OPTIONS)
    place.project.add("see", [SEE], [])
    said = place.run()
    assert said.code == 0, said
    assert (place.project.folder / "driver").read_text() == place.driver
    assert place.database.run("SELECT * FROM seen") == [(1, 1, 1, 5, 1)]
    assert place.database.run("SELECT JSON_VALUE(tags, '$.words[0]') FROM people LIMIT 1") == [
        ("Ada",)
    ]


@pytest.mark.sampled("a driver of Django on MariaDB")
def test_what_stays_of_a_migration_that_fails_is_told(place: Place):
    """DDL ends the author's transaction, also one that fails: rows before it stay."""
    place.project.add("notes", ["CREATE TABLE notes (n int UNIQUE, word text)"], [])
    assert place.run().code == 0
    place.in_python("rows", ADD, ADD)
    said = place.run()
    assert said.code == 1, said  # all of it is rolled back, and the message has no value
    message = json.loads(said.out)["message"]
    assert re.search(r"0005_rows.py, line 6: \(1062, .Duplicate entry for key 'n'", message), said
    assert "(error 1062)" in message, said
    assert "nothing stayed" in message, said
    assert place.notes() == 0
    place.in_python("rows", ADD, "run('ALTER TABLE notes DROP COLUMN nowhere')")
    message = half_done(place.run())
    assert "[people:0005_rows: INSERT INTO notes VALUES (…]; undo" in message, message
    assert place.notes() == 1
    assert half_done(place.run())  # nothing is started again
    place.database.run("DELETE FROM notes")
    place.in_python("rows", ADD)
    assert place.terminal.type("whimbrel retry shop").code == 0
    said = place.run()
    assert (said.code, place.notes()) == (0, 1), said


@pytest.mark.sampled("a driver of Django on MariaDB")
def test_rows_after_ddl_are_rolled_back_and_not_called_staying(place: Place):
    place.in_python("both", "run('CREATE TABLE notes (n int, word text)')", ADD, "run('SELECT x')")
    message = half_done(place.run())
    assert "[people:0004_both: CREATE TABLE notes (n int, word text)]; undo" in message, message
    assert place.notes() == 0


@pytest.mark.sampled("a driver of Django on MariaDB")
def test_a_typing_error_of_ddl_commits_nothing(place: Place):
    place.project.add("notes", ["CREATE TABLE notes (n int, word text)"], [])
    assert place.run().code == 0
    place.in_python("typo", ADD, "run('ALTER TABLE notes DORP COLUMN n')")
    said = place.run()
    assert said.code == 1, said
    assert "(error 1064)" in said.text, said
    assert place.notes() == 0


@pytest.mark.sampled("a driver of Django on MariaDB")
def test_a_taking_back_that_fails_is_told_too(place: Place):
    drop = ["ALTER TABLE people DROP COLUMN z", "SELECT nonsense()"]
    place.project.add("wide", ["ALTER TABLE people ADD COLUMN z int"], drop)
    assert place.run().code == 0
    said = place.run("people:0003_email_is_unique")
    assert "[people:0004_wide: ALTER TABLE people DROP COLUMN z]; undo" in half_done(said), said
    books = "SELECT COUNT(*) FROM django_migrations WHERE name = '0004_wide'"
    assert place.database.run(books) == [(1,)]


def test_localhost_is_the_port_of_the_url(tmp_path: Path, mariadb: MariaDB):
    """For mysqlclient that word alone would be a socket, perhaps another server's."""
    place = Place(tmp_path, "MySQLdb", mariadb)
    url = mariadb.url.replace("127.0.0.1", "localhost")
    place.terminal = replace(place.terminal, url=url)
    said = place.run("people:0001_create_people")
    assert said.code == 0, said
    assert mariadb.run("SELECT COUNT(*) FROM people") == [(2,)]
