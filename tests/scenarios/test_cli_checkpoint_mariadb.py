"""`whimbrel run`, `checkpoints`, `rollback`, `conflicts`, `gc` with a checkpoint on MariaDB."""

import json
from pathlib import Path

import pytest

from tests.db.mariadb_checkpoint_desk import application
from tests.mariadb import MariaDB
from tests.scenarios.terminal import Terminal
from tests.scenarios.test_checkpoint_mariadb import DAMAGED, USERS, definition


def test_from_the_plan_to_the_end_of_its_time(mariadb: MariaDB, tmp_path: Path):
    mariadb.run(USERS)
    mariadb.run("INSERT INTO users (name, mail, credits) VALUES ('a', 'a@x', 1), ('b', 'b@x', 2)")
    before, terminal = definition(mariadb), Terminal(tmp_path, mariadb.url)
    checkpoint = {"checkpoint": {}, "strategy": {"type": "Checkpoint"}}
    file = terminal.manifest(DAMAGED, **checkpoint)
    planned = terminal.type(f"whimbrel plan {file}")
    assert f"Checkpoint first: table {mariadb.dbname}.users" in planned.out
    assert terminal.type(f"whimbrel run {file}").code == 0
    (kept,) = json.loads(terminal.type(f"whimbrel checkpoints {file} -o json").out)
    assert (kept["object"], kept["state"], kept["restorable"]) == ("team/shop", "Ready", True)
    written = application(mariadb)
    written.run("UPDATE users SET mood = 'sad', credits = 5 WHERE id = 2")
    assert terminal.type(f"whimbrel rollback {file}").code == 0
    assert definition(mariadb) == before
    assert mariadb.run("SELECT id, name, mail, credits FROM users") == [
        (1, "a", "a@x", 1), (2, "b", "b@x", 5)
    ]  # fmt: skip
    (conflict,) = json.loads(terminal.type(f"whimbrel conflicts {file} -o json").out)
    assert (conflict["key"], conflict["column"], conflict["value"]) == ({"id": "2"}, "mood", "sad")
    expired = "kept_until = UTC_TIMESTAMP() - INTERVAL 1 HOUR"
    mariadb.run(f"UPDATE whimbrel_checkpoint SET {expired}")
    assert terminal.type(f"whimbrel gc {file} --yes").code == 0
    tables = [name for (name,) in mariadb.run("SHOW TABLES")]
    assert not [each for each in tables if "_kept_" in each or "_journal_" in each]
    assert mariadb.run("SHOW TRIGGERS") == []
    assert mariadb.run("SELECT * FROM whimbrel_checkpoint_conflict") == []


@pytest.mark.parametrize("more", [{}, {"writeFreeze": True}])
@pytest.mark.parametrize("word", ["plan", "run"])
def test_a_dump_is_refused_before_anything_is_touched(
    word: str, more: dict, mariadb: MariaDB, tmp_path: Path
):
    mariadb.run(USERS)
    terminal = Terminal(tmp_path, mariadb.url)
    dump = {"dump": {"image": "mariadb:11", "claimName": "dumps"}}
    said = terminal.type(f"whimbrel {word} {terminal.manifest(DAMAGED, checkpoint=dump | more)}")
    assert said.code == 2
    assert "Refused (DumpNotRestorable): a dump needs PostgreSQL, and this is MariaDB" in said.err
    assert mariadb.run("SHOW TABLES") == [("users",)]
