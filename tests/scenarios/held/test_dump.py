"""The way back by a dump needs a person: it loses writes, its file is not whole, or it fails."""

from pathlib import Path

import pytest

from tests.checkpoint_shop import USERS, admin, application, migrator
from tests.dump_runs import DUMP
from tests.postgres import BINARIES, Postgres
from tests.scenarios.held.asking import held, obey
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Said, Terminal

pytestmark = pytest.mark.sampled("what a person is asked")

KEYLESS = "CREATE TABLE keyless (n int); INSERT INTO keyless VALUES (1)"
DAMAGE = "UPDATE users SET credits = 0; UPDATE keyless SET n = 2;"
CREDITS = "SELECT sum(credits) FROM users"
DAMAGED, AS_BEFORE = [(0,)], [(125_250,)]
ACCEPTED = {"rollback": {"allowDataLoss": {"by": "Ada", "reason": "a test"}}}
FROZEN = {"checkpoint": {"dump": DUMP, "writeFreeze": True}}
BY_FILE = {"migrations": {"atomicity": "File"}}


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    """A terminal with the programs of the server's version, and a shop with a table without key."""
    database.run(USERS)
    database.run(KEYLESS)
    terminal = Terminal(tmp_path, migrator(database).url, ELSEWHERE)
    terminal.environment()
    for name in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / "bin" / name).symlink_to(BINARIES[database.version] / name)
    return terminal


def manifest(terminal: Terminal, *ups: str, **spec: object) -> str:
    """Write a manifest of ups that only a dump leads back from."""
    files = {f"00{number}_it.up.sql": text for number, text in enumerate(ups, 1)}
    files |= {name.replace(".up.", ".down."): "SELECT 1/0" for name in files}
    return terminal.manifest(files, **({"checkpoint": {"dump": DUMP}} | spec))


def damaged(terminal: Terminal, database: Postgres, **spec: object) -> None:
    done = terminal.type(f"whimbrel run {manifest(terminal, DAMAGE, **spec)}")
    assert (done.code, database.run(CREDITS)) == (0, DAMAGED), done


def the_dump(terminal: Terminal) -> Path:
    (file,) = (terminal.home / ELSEWHERE["WHIMBREL_STATE_DIR"] / "dumps").iterdir()
    return file


def expect_back(said: Said, database: Postgres) -> None:
    assert (said.code, "RolledBack: the whole database was restored" in said.out) == (0, True), said
    assert database.run(CREDITS) == AS_BEFORE


def test_a_restore_would_lose_writes(terminal: Terminal, database: Postgres):
    damaged(terminal, database, **ACCEPTED)
    manifest(terminal, DAMAGE)
    said = terminal.type("whimbrel rollback shop")
    held(said, "DumpLosesWrites")
    assert database.run(CREDITS) == DAMAGED
    expect_back(obey(terminal, said), database)


def test_the_file_is_gone_and_comes_back(terminal: Terminal, database: Postgres):
    damaged(terminal, database, **ACCEPTED)
    file = the_dump(terminal)
    file.rename(file.with_suffix(".elsewhere"))
    said = terminal.type("whimbrel rollback shop")
    held(said, "DumpDamaged")
    assert database.run(CREDITS) == DAMAGED
    file.with_suffix(".elsewhere").rename(file)
    expect_back(obey(terminal, said), database)


def test_what_was_granted_to_a_role_that_is_gone(terminal: Terminal, database: Postgres):
    superuser, role = admin(database), f"{database.dbname}_reader"
    superuser.run(f"CREATE ROLE {role}")
    database.run(f"GRANT SELECT ON users TO {role}")
    damaged(terminal, database, **ACCEPTED)
    superuser.run(f"DROP OWNED BY {role}")
    superuser.run(f"DROP ROLE {role}")
    said = terminal.type("whimbrel rollback shop")
    held(said, "DumpNotRestored")
    assert database.run(CREDITS) == DAMAGED
    superuser.run(f"CREATE ROLE {role}")
    expect_back(obey(terminal, said), database)


def test_the_migration_takes_the_freeze_away(terminal: Terminal, database: Postgres):
    broken = (DAMAGE, "ALTER TABLE keyless DISABLE TRIGGER ALL", "SELECT 1")
    said = terminal.type(f"whimbrel run {manifest(terminal, *broken, **FROZEN, **BY_FILE)}")
    held(said, "FreezeBroken")
    assert database.run(CREDITS) == DAMAGED
    assert "a retry makes a new dump of what is there now" in said.err
    done = obey(terminal, said)
    assert (done.code, database.run(CREDITS)) == (0, DAMAGED), done
    application(database, "users").run("UPDATE users SET credits = 5 WHERE id = 1")
