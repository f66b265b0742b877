"""Tool typeorm on the real cluster: the project's own image, with its DataSource unchanged."""

import pytest

from tests.cluster.kube import Namespace, migration, wait_until
from tests.typeorm_shop import ONE, THREE, TWO

pytestmark = pytest.mark.cluster


def project(image: str, **more: object) -> dict:
    """Return a DatabaseMigration of the example's project."""
    migrations = {"tool": "typeorm", "image": image, "workingDir": "/app"}
    return migration(migrations=migrations, extra=more)


def newest(shop: Namespace) -> str:
    """Return what TypeORM itself has written down last."""
    return shop.sql("SELECT name FROM migrations ORDER BY id DESC LIMIT 1")


@pytest.mark.sampled("the main path of a tool on the cluster")
def test_applied_in_the_users_own_image_and_again_runs_nothing(shop: Namespace, typeorm: str):
    shop.apply(project(typeorm, to=TWO))
    shop.wait("shop")
    assert newest(shop) == TWO
    assert shop.sql("SELECT email FROM people WHERE id = 1") == "ada.lovelace@example.com"
    (pod,) = shop.get("pods")["items"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["runner", "tool"]
    shop.apply(project(typeorm))
    shop.at_revision("shop", THREE)
    shop.kubectl("delete", "dbm/shop", "--timeout=60s")
    shop.apply(project(typeorm))
    shop.wait("shop")
    assert shop.condition("shop", "Ready")["reason"] == "NoChange"
    assert shop.sql("SELECT count(*) FROM people") == "2"


@pytest.mark.sampled("a tool on the cluster")
def test_a_failing_migration_leaves_the_database_as_before(shop: Namespace, typeorm: str):
    shop.apply(project(typeorm, to=TWO))
    shop.wait("shop")
    shop.sql("INSERT INTO people (name, email) SELECT name, email FROM people")
    shop.apply(project(typeorm, to=THREE))
    shop.wait("shop", "Stalled")
    message = shop.condition("shop", "Ready")["message"]
    for part in (THREE, "23505", "as before"):
        assert part in message
    assert newest(shop) == TWO

    shop.sql("DELETE FROM people WHERE id > 2")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", THREE)
    assert newest(shop) == THREE


@pytest.mark.sampled("a tool on the cluster")
def test_down_up_and_rollback_keep_what_was_written(shop: Namespace, typeorm: str):
    shop.apply(project(typeorm))
    shop.at_revision("shop", THREE)
    shop.apply(project(typeorm, to=ONE))
    shop.at_revision("shop", ONE)
    assert newest(shop) == ONE
    shop.apply(project(typeorm, to=TWO))
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
def test_an_image_without_the_project_is_one_sentence_and_an_edit_heals_it(
    shop: Namespace, typeorm: str
):
    shop.apply(project("python:3.11-slim-bookworm"))
    shop.wait("shop", "Stalled")
    ready = shop.condition("shop", "Ready")
    # A Python image: Node is not even there.
    assert ready["reason"] == "NodeMissing"
    assert "is it the right image?" in ready["message"]
    shop.apply(project(typeorm))
    shop.at_revision("shop", THREE)
