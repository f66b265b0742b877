"""MariaDB on the real cluster: a server in a Pod, and a Secret that leads there."""

import uuid
from typing import Any

import pytest

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import ROOT, Namespace, kubectl, migration, quoted
from tests.cluster.one_node import provide_image
from tests.sequelize_project import ONE, THREE, TWO

pytestmark = pytest.mark.cluster

HOST = "mariadb.databases.svc.cluster.local"
# root comes in by the socket of the container alone.
CLIENT = (
    *("-n", "databases", "exec", "-i", "deploy/mariadb", "-c", "mariadb", "--"),
    *("mariadb", "--no-defaults", "--socket=/var/lib/mariadb/socket", "--user=root", "-NB"),
)


@pytest.fixture(scope="module")
def server() -> None:
    """Have a MariaDB beside the cluster's PostgreSQL; like that one, it stays for others."""
    provide_image(ROOT / "tests/cluster/node/images/mariadb", "whimbrel-mariadb:10.11")
    kubectl("apply", "-f", str(ROOT / "tests/cluster/mariadb.yaml"))
    kubectl("-n", "databases", "rollout", "status", "deploy/mariadb", "--timeout=180s")


@pytest.fixture
def database(shop: Namespace, server: None) -> str:
    """Return the name of a fresh database, and of a plain login that may use nothing else."""
    name = f"m{uuid.uuid4().hex[:8]}"
    run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    run(f"CREATE USER {name} IDENTIFIED BY '{PASSWORD}'")
    run(f"GRANT ALL ON {name}.* TO {name}")
    return name


def run(statement: str, *, database: str = "mysql") -> str:
    """Run a statement as root through `kubectl exec`; values of a row are split by tabs."""
    return kubectl(*CLIENT, "-D", database, "-e", statement).strip()


def secret(name: str, **values: str) -> dict[str, Any]:
    """Return a Secret."""
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return head | {"stringData": values}


def columns(database: str, table: str) -> str:
    """Return the names of a table's columns."""
    asked = "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema"
    return run(f"{asked}.COLUMNS WHERE TABLE_SCHEMA = '{database}' AND TABLE_NAME = '{table}'")


def project(shop: Namespace, database: str, image: str, to: str) -> dict[str, Any]:
    """Return the example's object; its Secret has the keys that mariadb-operator writes."""
    parts = {"host": HOST, "port": "3306", "database": database, "username": database}
    shop.apply(secret("maria", **parts, password=PASSWORD))
    source = {"tool": "sequelize", "image": image, "workingDir": "/app", "to": to}
    body = migration(migrations=source)
    asked = {"engine": "MariaDB", "secretRef": {"name": "maria"}, "name": "database"}
    body["spec"]["database"] = {"partsFrom": asked}
    return body


@pytest.mark.sampled("the main path of a tool on the cluster")
def test_sequelize_up_and_a_migration_of_which_a_half_stays(
    shop: Namespace, database: str, sequelize: str
):
    shop.apply(project(shop, database, sequelize, TWO))
    shop.at_revision("shop", TWO)
    emails = "SELECT email FROM people WHERE id = 1"
    assert run(emails, database=database) == "ada.lovelace@example.com"
    run("INSERT INTO people (name, email) SELECT name, email FROM people", database=database)
    shop.apply(project(shop, database, sequelize, THREE))
    shop.wait("shop", "Stalled")
    ready = shop.condition("shop", "Ready")
    assert ready["reason"] == "HalfDone"
    # Every statement commits by itself: the first of the two stays, and is named.
    for part in (f"migrations/{THREE}, line", "error 1062", f"stay: [{THREE}: ALTER TABLE"):
        assert part in ready["message"]
    assert run("SELECT MAX(name) FROM SequelizeMeta", database=database) == TWO
    run("DELETE FROM people ORDER BY id DESC LIMIT 2", database=database)
    run("ALTER TABLE people MODIFY email varchar(254) NULL", database=database)
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", THREE)


@pytest.mark.sampled("a tool on the cluster")
def test_sequelize_down_up_and_what_was_written_is_kept(
    shop: Namespace, database: str, sequelize: str
):
    shop.apply(project(shop, database, sequelize, THREE))
    shop.at_revision("shop", THREE)
    run("UPDATE people SET email = 'by the new version' WHERE id = 1", database=database)
    shop.apply(project(shop, database, sequelize, ONE))
    shop.at_revision("shop", ONE)
    assert columns(database, "people") == "id,name,tags"
    kept = shop.status("shop")["salvage"]
    salvaged = [run(f"SELECT email FROM whimbrel_{each}", database=database) for each in kept]
    assert any("by the new version" in each for each in salvaged)
    shop.apply(project(shop, database, sequelize, THREE))
    shop.at_revision("shop", THREE)
    seen = shop.kubectl("get", "dbm,jobs,pods,events,configmaps", "-o", "yaml")
    assert PASSWORD not in seen
    assert quoted(PASSWORD) not in seen


@pytest.mark.sampled("a tool on the cluster")
def test_plain_sql_up_down_and_up_again_with_the_manifest_of_postgresql(
    shop: Namespace, database: str, sql: str
):
    url = f"mysql://{database}:{quoted(PASSWORD)}@{HOST}:3306/{database}"
    shop.apply(secret("db", url=url))
    source = {"tool": "sql", "image": sql, "sql": {"path": "/app/migrations"}}
    for revision in ("004", "001", "004"):
        shop.apply(migration(migrations=source | {"to": revision}))
        shop.at_revision("shop", revision)
        more = ",email,tags" if revision == "004" else ""
        assert columns(database, "users") == f"id,name{more}"
    asked = "SELECT email, tags FROM users WHERE id = 1"
    assert run(asked, database=database) == "ada.lovelace@example.com\t[]"
