"""Tool prisma on the real cluster: an image FROM scratch that holds the migration directory."""

import pytest

from tests.cluster.kube import Namespace, migration, wait_until

pytestmark = pytest.mark.cluster

ONE, TWO, THREE = (
    "20260105090000_create_users",
    "20260112090000_fill_email",
    "20260119090000_email_is_unique",
)


def project(image: str, **more: object) -> dict:
    """Return a DatabaseMigration of the example's project."""
    return migration(migrations={"tool": "prisma", "image": image}, extra=more)


def newest(shop: Namespace) -> str:
    """Return what stands last in Prisma's own table."""
    query = "SELECT migration_name FROM _prisma_migrations WHERE rolled_back_at IS NULL"
    return shop.sql(f"{query} ORDER BY started_at DESC LIMIT 1")


@pytest.mark.sampled("the main path of a tool on the cluster")
def test_applied_from_an_image_without_anything_else_and_again_runs_nothing(
    shop: Namespace, prisma: str
):
    shop.apply(project(prisma, to=TWO))
    shop.wait("shop")
    assert newest(shop) == TWO
    assert shop.sql("SELECT email FROM users WHERE id = 1") == "ada.lovelace@example.com"
    (pod,) = shop.get("pods")["items"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["runner"]
    shop.apply(project(prisma))
    shop.at_revision("shop", THREE)
    shop.kubectl("delete", "dbm/shop", "--timeout=60s")
    shop.apply(project(prisma))
    shop.wait("shop")
    assert shop.condition("shop", "Ready")["reason"] == "NoChange"
    assert shop.sql("SELECT count(*) FROM users") == "2"


@pytest.mark.sampled("a tool on the cluster")
def test_a_failing_migration_leaves_the_database_as_before(shop: Namespace, prisma: str):
    shop.apply(project(prisma, to=TWO))
    shop.wait("shop")
    shop.sql("INSERT INTO users (name, email) SELECT name, email FROM users")
    shop.apply(project(prisma, to=THREE))
    shop.wait("shop", "Stalled")
    message = shop.condition("shop", "Ready")["message"]
    for part in (f"{THREE}/migration.sql", "line 5", "23505", "as before"):
        assert part in message
    assert newest(shop) == TWO
    shop.sql("DELETE FROM users WHERE id > 2")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", THREE)
    assert newest(shop) == THREE


@pytest.mark.sampled("a tool on the cluster")
def test_down_up_and_rollback_keep_what_was_written(shop: Namespace, prisma: str):
    shop.apply(project(prisma))
    shop.at_revision("shop", THREE)
    shop.apply(project(prisma, to=ONE))
    shop.at_revision("shop", ONE)
    assert newest(shop) == ONE
    shop.apply(project(prisma, to=TWO))
    shop.at_revision("shop", TWO)
    shop.sql("UPDATE users SET email = 'by the new version' WHERE id = 1")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/rollback-requested-at=2026-05-03T10:00:00Z")
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack")
    assert newest(shop) == ONE
    assert shop.status("shop")["revision"] == ONE
