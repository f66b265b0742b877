"""Tool alembic on the real cluster: the project's own image, with its env.py unchanged."""

import pytest

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import SERVICE, Namespace, migration, wait_until
from tests.cluster.one_node import kill_container

pytestmark = pytest.mark.cluster


def project(image: str, **more: str) -> dict:
    """Return a DatabaseMigration of the example's project."""
    migrations = {
        "tool": "alembic",
        "image": image,
        "workingDir": "/app",
        "databaseURL": {"env": "DATABASE_URL", "scheme": "postgresql+psycopg"},
    }
    return migration(migrations=migrations, extra=more)


def at(shop: Namespace) -> str:
    """Return what alembic itself has written down."""
    return shop.sql("SELECT version_num FROM alembic_version")


@pytest.mark.sampled("the main path of a tool on the cluster")
def test_applied_in_the_users_own_image_and_again_runs_nothing(shop: Namespace, alembic: str):
    shop.apply(project(alembic, to="0002"))
    shop.wait("shop")
    assert at(shop) == "0002"
    assert shop.sql("SELECT email FROM users WHERE id = 1") == "ada.lovelace@example.com"
    (pod,) = shop.get("pods")["items"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["runner", "tool"]
    shop.apply(project(alembic))
    shop.at_revision("shop", "0003")
    shop.kubectl("delete", "dbm/shop", "--timeout=60s")
    shop.apply(project(alembic))
    shop.wait("shop")
    assert shop.condition("shop", "Ready")["reason"] == "NoChange"
    assert shop.sql("SELECT count(*) FROM users") == "2"


@pytest.mark.sampled("a tool on the cluster")
def test_the_url_in_parts_as_another_operator_writes_them(shop: Namespace, alembic: str):
    parts = {"host": SERVICE, "port": "5432", "dbname": shop.database}
    parts |= {"username": shop.database, "password": PASSWORD}
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-db-app"}}
    shop.apply(head | {"stringData": parts})
    body = project(alembic, to="0001")
    body["spec"]["database"] = {"partsFrom": {"secretRef": {"name": "shop-db-app"}}}
    shop.apply(body)
    shop.at_revision("shop", "0001")
    assert at(shop) == "0001"


@pytest.mark.sampled("a tool on the cluster")
def test_a_failing_revision_leaves_the_database_as_before(shop: Namespace, alembic: str):
    shop.apply(project(alembic, to="0002"))
    shop.wait("shop")
    shop.sql("INSERT INTO users (name, email) SELECT name, email FROM users")
    shop.apply(project(alembic))
    shop.wait("shop", "Stalled")
    message = shop.condition("shop", "Ready")["message"]
    for part in ("0003_email_is_unique.py", "23505", "as before"):
        assert part in message
    assert at(shop) == "0002"
    nullable = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass"
    assert shop.sql(f"{nullable} AND attname = 'email'") == "f"

    shop.sql("DELETE FROM users WHERE id > 2")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", "0003")
    assert at(shop) == "0003"


@pytest.mark.sampled("a tool on the cluster")
def test_rollback_by_annotation_keeps_what_was_written(shop: Namespace, alembic: str):
    shop.apply(project(alembic, to="0001"))
    shop.wait("shop")
    shop.apply(project(alembic, to="0002"))
    shop.at_revision("shop", "0002")
    shop.sql("UPDATE users SET email = 'by the new version' WHERE id = 1")
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/rollback-requested-at=2026-05-03T10:00:00Z")
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack")
    assert at(shop) == "0001"
    (table,) = shop.status("shop")["salvage"]
    assert "by the new version" in shop.sql(f"SELECT email FROM whimbrel.{table}")
    # The same plan is not tried again by itself; another spec starts at once.
    shop.apply(project(alembic))
    shop.at_revision("shop", "0003")


@pytest.mark.sampled("an image that cannot run")
def test_an_image_without_the_project_is_one_sentence_and_an_edit_heals_it(
    shop: Namespace, alembic: str
):
    shop.apply(project("python:3.11-slim-bookworm"))
    shop.wait("shop", "Stalled")
    ready = shop.condition("shop", "Ready")
    assert ready["reason"] == "AlembicMissing"
    assert "install alembic in the image" in ready["message"]
    shop.apply(project(alembic))
    shop.at_revision("shop", "0003")


@pytest.mark.sampled("an image that cannot run")
def test_an_image_that_cannot_be_pulled_locks_nothing_and_an_edit_heals_it(
    shop: Namespace, alembic: str
):
    image = "registry.invalid/shop:1.8.0"
    shop.apply(project(image))
    wait_until(
        "the image is named",
        lambda: f"the image {image} cannot" in shop.condition("shop", "Ready").get("message", ""),
    )
    assert shop.condition("shop", "Reconciling")["reason"] == "ProgressingWithRetry"
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    mine = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    assert shop.sql(f"{held} AND {mine}") == "0"
    assert shop.sql("SELECT to_regnamespace('whimbrel') IS NULL") == "t"
    # Nobody is kept waiting: another object on the same database goes through.
    shop.apply(migration("other", files={"001_o.up.sql": "CREATE TABLE o (n int);"}))
    shop.wait("other")
    shop.apply(project(alembic))
    shop.at_revision("shop", "0003")


# Sleeps for as long as the table has its row. It is there before the run: its going away is none.
SLOW = """
CREATE SCHEMA gate; GRANT USAGE ON SCHEMA gate TO public;
CREATE TABLE gate.closed AS SELECT 1; GRANT SELECT ON gate.closed TO public;
CREATE FUNCTION gate.pass() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(60) FROM gate.closed; RETURN new; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION gate.pass()
"""


@pytest.mark.parametrize("container", ["runner", "tool"])
@pytest.mark.sampled("a killed Pod")
def test_a_container_is_killed_in_mid_statement(
    shop: Namespace, alembic: str, one_node: None, container: str
):
    shop.apply(project(alembic, to="0001"))
    shop.wait("shop")
    shop.sql(SLOW)
    shop.apply(project(alembic, to="0002"))
    wait_until("the tool's statement sleeps", lambda: working(shop))
    kill_container(shop, newest_pod(shop), container)
    wait_until("the tool's session is gone", lambda: not working(shop), seconds=15)
    shop.sql("TRUNCATE gate.closed")
    shop.at_revision("shop", "0002")
    assert at(shop) == "0002"
    assert shop.sql("SELECT email FROM users WHERE id = 1") == "ada.lovelace@example.com"


def working(shop: Namespace) -> bool:
    """Tell whether revision 0002 fills its column right now."""
    return shop.active("UPDATE users SET email%")


def newest_pod(shop: Namespace) -> str:
    pods = shop.get("pods")["items"]
    return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])["metadata"]["name"]
