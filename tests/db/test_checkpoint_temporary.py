"""A replay works in tables that no crash leaves behind, and needs the right to make them."""

import pytest

from tests.db.checkpoint_desk import again, station
from tests.postgres import BINARIES, MEMORY, Postgres, create_database, running_postgres
from whimbrel.model.errors import RefusedError
from whimbrel.runner.checkpoint import owner_login, replay

USERS = ("app", "users")
MADE = (
    "CREATE SCHEMA app",
    "CREATE TABLE app.users (id int PRIMARY KEY, name text)",
    "INSERT INTO app.users SELECT n, 'n' || n FROM generate_series(1, 5) n",
)


class UndoneError(Exception):
    """What a test throws where a round would be undone."""


@pytest.mark.parametrize("version", sorted(BINARIES))
def test_a_server_that_crashes_behind_a_round_that_was_undone_starts_again(
    version: int, monkeypatch: pytest.MonkeyPatch
):
    """With UNLOGGED tables it found a file of theirs in its way, and never came up."""
    with running_postgres(version, folder=MEMORY) as server:
        database = create_database(server, "shop")
        for each in MADE:
            database.run(each)
        with station(database) as place:
            place.open(USERS)
            place.migrate("UPDATE app.users SET name = 'wrong'")
            database.run("UPDATE app.users SET name = 'right' WHERE id = 1")
            server.run("CHECKPOINT")

            def undone(*_: object) -> None:
                database.run("UPDATE app.users SET name = 'other' WHERE id = 2")
                raise UndoneError

            with monkeypatch.context() as patch:
                patch.setattr(replay, "_replay", undone)
                # Else it is the removal of that login which the server writes down behind it.
                patch.setattr(owner_login, "needs_login", lambda *_: False)
                with pytest.raises(UndoneError):
                    place.restore()
            server.pg_ctl("-m", "immediate", "restart")
        with again(place) as later:
            later.restore()
        rows = database.run("SELECT name FROM app.users ORDER BY id")
        assert [name for (name,) in rows] == ["right", "other", "n3", "n4", "n5"]


def test_who_may_make_no_temporary_tables_is_told_how(database: Postgres):
    for each in MADE:
        database.run(each)
    admin = Postgres(database.version, database.home, database.port, dbname=database.dbname)
    admin.run(f"REVOKE TEMPORARY ON DATABASE {database.dbname} FROM PUBLIC, {database.user}")
    with station(database) as place:
        with pytest.raises(RefusedError, match="GRANT TEMPORARY ON DATABASE") as refused:
            place.open(USERS)
        assert place.now() is None
        admin.run(refused.value.message.rpartition("runs: ")[2])
        place.open(USERS)
