"""Checkpoints on the real cluster: Alembic damages data under load, and nothing is lost."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import (
    PSQL,
    ROOT,
    SERVICE,
    Namespace,
    kubectl,
    migration,
    quoted,
    wait_until,
)
from tests.cluster.load import Load, answers, load
from tests.cluster.one_node import provide_image
from tests.cluster.release import FAULTS, deployment, example

pytestmark = [pytest.mark.cluster, pytest.mark.sampled("a checkpoint on the cluster")]

# One transaction, after the three of the example; locks first, so that it waits for nobody inside.
DAMAGE = '''"""damage"""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("ALTER TABLE customers ADD COLUMN since date")
    op.execute("DROP INDEX orders_by_token")
    op.execute("UPDATE customers SET name = 'lost' WHERE id % 2 = 0")
    op.execute("DELETE FROM orders WHERE id % 3 = 0")
def downgrade():
    raise NotImplementedError("there is no way down")
'''
TABLES = """
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, 500) n;
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer bigint NOT NULL REFERENCES customers,
    token text NOT NULL,
    placed_by text NOT NULL
);
CREATE INDEX orders_by_token ON orders (token);
"""
LOST = {"query": "SELECT count(*) FROM customers WHERE name = 'lost'"}
RED = {
    "name": "names",
    "type": "SQL",
    "when": ["PostMigrate"],
    "interval": "1s",
    "failureThreshold": 2,
    "sql": LOST | {"expect": {"op": "Equal", "value": "0"}},
}
LEFT = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'whimbrel' AND c.relname ~ '^(journal|clone|kept)_'
"""


@pytest.fixture(scope="session")
def damaging(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of examples/tools/alembic with a migration that damages what it does not own."""
    folder = Path(
        shutil.copytree(ROOT / "examples/tools/alembic", tmp_path_factory.mktemp("damage") / "app")
    )
    (folder / "migrations/versions/0004_damage.py").write_text(DAMAGE)
    return provide_image(folder, "whimbrel-test-damage:1")


@pytest.fixture
def busy(shop: Namespace, versions: tuple[str, ...], tmp_path: Path) -> Iterator[Load]:
    """A shop on a login of its own, under load from here to the end."""
    assert versions
    app, owner = f"{shop.database}_app", shop.database
    as_owner = f"SET ROLE {owner}; {TABLES}"
    # It makes the login of the tool and the owner of the capture function.
    kubectl(*PSQL, "-c", f"ALTER ROLE {owner} CREATEROLE")
    kubectl(*PSQL, "-c", f"CREATE ROLE {app} LOGIN PASSWORD '{PASSWORD}'")
    shop.sql(as_owner)
    shop.sql(FAULTS.format(owner=owner))
    shop.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {app}")
    url = f"postgresql://{app}:{quoted(PASSWORD)}@{SERVICE}:5432/{shop.database}"
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-db"}}
    shop.apply(head | {"stringData": {"url": url}})
    (service, _) = example("service")
    service["spec"]["selector"] = {"app": "shop", "track": "blue"}
    shop.apply(service)
    shop.apply(deployment("blue"))
    shop.kubectl("scale", "deploy/shop-blue", "--replicas=2")
    shop.kubectl("rollout", "status", "deploy/shop-blue", "--timeout=120s")
    wait_until("it answers", lambda: answers(shop, "shop"))
    with load(shop, "shop", tmp_path / "requests.jsonl", rate=50) as found:
        found.wait_for(200)
        yield found


def project(image: str, to: str, **spec: Any) -> dict[str, Any]:
    """Return the object: two tables are covered, and a red check takes the run back."""
    migrations = {
        "tool": "alembic",
        "image": image,
        "workingDir": "/app",
        "to": to,
        "databaseURL": {"env": "DATABASE_URL", "scheme": "postgresql+psycopg"},
    }
    covered = {"scope": "Tables", "tables": [{"name": "customers"}, {"name": "orders"}]}
    asked = {"checkpoint": covered, "strategy": {"type": "Checkpoint"}} | spec
    return migration(migrations=migrations, **asked)


def is_as_before(shop: Namespace, busy: Load) -> None:
    """Check every order that was answered with 200, names and shape."""
    assert busy.failed() == [], busy.told()
    assert busy.not_there_once(shop) == {}, busy.told()
    assert shop.sql("SELECT count(*) FROM customers WHERE name = 'lost'") == "0"
    columns = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0"
    assert shop.sql(f"{columns} AND attrelid = 'customers'::regclass") == "id,name"
    assert shop.sql("SELECT to_regclass('orders_by_token') IS NOT NULL") == "t"
    assert shop.sql("SELECT version_num FROM alembic_version") == "0003"


def test_damage_under_load_is_seen_by_a_check_and_taken_back_without_a_loss(
    shop: Namespace, busy: Load, damaging: str
):
    shop.apply(project(damaging, "0003"))
    shop.at_revision("shop", "0003")
    shop.apply(project(damaging, "head", healthChecks=[RED]))
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack", seconds=180)
    status = shop.status("shop")
    assert "names" in status["run"]["release"]["red"]
    assert "restored from the checkpoint of run" in shop.condition("shop", "Ready")["message"]
    assert status["checkpoint"]["state"] == "Restored"
    busy.wait_for(len(busy.requests()) + 200)
    is_as_before(shop, busy)

    shop.kubectl("delete", "dbm/shop", "--timeout=120s")
    assert shop.sql(LEFT) == "0"
    assert shop.sql("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'whimbrel'") == "0"
    is_as_before(shop, busy)


def test_a_person_takes_back_what_went_well_for_a_while(shop: Namespace, busy: Load, damaging: str):
    shop.apply(project(damaging, "0003"))
    shop.at_revision("shop", "0003")
    shop.apply(project(damaging, "head"))
    shop.at_revision("shop", "0004")
    kept = shop.status("shop")["checkpoint"]
    assert (kept["state"], kept["restorable"]) == ("Ready", True)
    assert set(kept["tables"]) >= {"public.customers", "public.orders", "public.alembic_version"}
    busy.wait_for(len(busy.requests()) + 300)
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/rollback-requested-at=now")
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack", seconds=180)
    busy.wait_for(len(busy.requests()) + 200)
    is_as_before(shop, busy)


def test_it_goes_by_itself_when_its_time_is_over(shop: Namespace, busy: Load, damaging: str):
    shop.apply(project(damaging, "0003"))
    shop.at_revision("shop", "0003")
    short = {"scope": "Tables", "tables": [{"name": "customers"}], "keepFor": "45s"}
    shop.apply(project(damaging, "head", checkpoint=short))
    shop.at_revision("shop", "0004")
    assert shop.status("shop")["checkpoint"]["state"] == "Ready"
    wait_until("it is gone", lambda: "checkpoint" not in shop.status("shop"), seconds=120)
    assert shop.sql(LEFT) == "0"
    assert shop.condition("shop", "Completed")["status"] == "True"
    assert busy.failed() == [], busy.told()
