"""Tool sequelize on the real cluster: the project's own image, by its own sequelize-cli."""

import pytest

from tests.cluster.kube import Namespace, migration, wait_until
from tests.sequelize_project import ONE, THREE, TWO

pytestmark = pytest.mark.cluster


# The new table does not take the migration's rows.
STRICT = """
    CREATE FUNCTION strict() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF to_regclass('public.people') IS NOT NULL THEN
        ALTER TABLE public.people ADD CHECK (name <> 'Ada Lovelace');
    END IF; END $$
"""


def project(image: str, **more: object) -> dict:
    """Return a DatabaseMigration of the example's project."""
    migrations = {"tool": "sequelize", "image": image, "workingDir": "/app"}
    return migration(migrations=migrations, extra=more)


def newest(shop: Namespace) -> str:
    """Return the last name that Sequelize itself has written down."""
    return shop.sql('SELECT max(name) FROM "SequelizeMeta"')


@pytest.mark.sampled("the main path of a tool on the cluster")
def test_applied_in_the_users_own_image_and_again_runs_nothing(shop: Namespace, sequelize: str):
    shop.apply(project(sequelize, to=TWO))
    shop.wait("shop")
    assert newest(shop) == TWO
    assert shop.sql("SELECT email FROM people WHERE id = 1") == "ada.lovelace@example.com"
    (pod,) = shop.get("pods")["items"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["runner", "tool"]
    shop.apply(project(sequelize))
    shop.at_revision("shop", THREE)
    shop.kubectl("delete", "dbm/shop", "--timeout=60s")
    shop.apply(project(sequelize))
    shop.wait("shop")
    assert shop.condition("shop", "Ready")["reason"] == "NoChange"
    assert shop.sql("SELECT count(*) FROM people") == "2"


@pytest.mark.sampled("a tool on the cluster")
def test_a_failing_migration_leaves_the_database_as_before(shop: Namespace, sequelize: str):
    shop.apply(project(sequelize, to=TWO))
    shop.wait("shop")
    shop.sql("INSERT INTO people (name, email) SELECT name, email FROM people")
    shop.apply(project(sequelize, to=THREE))
    shop.wait("shop", "Stalled")
    message = shop.condition("shop", "Ready")["message"]
    for part in (f"migrations/{THREE}, line", "23505", "as before"):
        assert part in message
    assert newest(shop) == TWO

    shop.sql("DELETE FROM people WHERE id > 2")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", THREE)
    assert newest(shop) == THREE


@pytest.mark.sampled("a tool on the cluster")
def test_half_of_a_migration_is_held_until_somebody_has_looked(shop: Namespace, sequelize: str):
    """The first one has no transaction of its own: its table stays when its rows do not go in."""
    shop.sql(STRICT)
    shop.sql("CREATE EVENT TRIGGER strict ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
             "EXECUTE FUNCTION strict()")  # fmt: skip
    shop.apply(project(sequelize, to=ONE))
    shop.wait("shop", "Stalled")
    ready = shop.condition("shop", "Ready")
    assert ready["reason"] == "HalfDone"
    assert f"[{ONE}: CREATE TABLE IF NOT EXISTS" in ready["message"]
    assert shop.sql("SELECT count(*) FROM people") == "0"
    shop.sql("DROP EVENT TRIGGER strict")
    shop.sql("DROP FUNCTION strict")
    shop.sql("DROP TABLE people")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", ONE)
    assert shop.sql("SELECT count(*) FROM people") == "2"


@pytest.mark.sampled("a tool on the cluster")
def test_down_up_and_rollback_keep_what_was_written(shop: Namespace, sequelize: str):
    shop.apply(project(sequelize))
    shop.at_revision("shop", THREE)
    shop.apply(project(sequelize, to=ONE))
    shop.at_revision("shop", ONE)
    assert newest(shop) == ONE
    shop.apply(project(sequelize, to=TWO))
    shop.at_revision("shop", TWO)
    shop.sql("UPDATE people SET email = 'by the new version' WHERE id = 1")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/rollback-requested-at=2026-05-03T10:00:00Z")
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack")
    assert newest(shop) == ONE
    # More is copied than goes: the first run had reached what goes now, and had made it all.
    table = shop.sql(
        "SELECT table_name FROM whimbrel.salvage WHERE source LIKE 'public.people%' "
        "ORDER BY at DESC LIMIT 1"
    )
    assert table in shop.status("shop")["salvage"]
    assert "by the new version" in shop.sql(f"SELECT email FROM whimbrel.{table}")


@pytest.mark.sampled("an image that cannot run")
def test_an_image_without_node_is_one_sentence_and_an_edit_heals_it(
    shop: Namespace, sequelize: str
):
    shop.apply(project("python:3.11-slim-bookworm"))
    shop.wait("shop", "Stalled")
    ready = shop.condition("shop", "Ready")
    assert ready["reason"] == "NodeMissing"
    assert "is it the right image?" in ready["message"]
    shop.apply(project(sequelize))
    shop.at_revision("shop", THREE)
