"""The examples do what their comments say, one after the other on one database.

Those of a release need an application: see test_rolling_stories.py and test_blue_green_stories.py.
"""

import pytest

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import ROOT, Namespace, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def project(shop: Namespace) -> Namespace:
    """Return a namespace with the Secret that the examples name."""
    shop.secret("shop-db", password=PASSWORD)
    return shop


def apply(project: Namespace, example: str) -> None:
    """Apply a file as a reader of the page would."""
    project.kubectl("apply", "-f", str(ROOT / "examples" / f"{example}.yaml"))


def settled(project: Namespace, name: str, revision: str) -> dict:
    """Wait until the newest generation is ready, and return the status."""
    project.wait(name)
    status = project.status(name)
    assert status["revision"] == revision, status
    return status


def columns(project: Namespace, table: str) -> list[str]:
    """Return the names of a table's columns."""
    found = project.sql(
        "select column_name from information_schema.columns "
        f"where table_schema = 'public' and table_name = '{table}' order by ordinal_position"
    )
    return found.split()


@pytest.mark.sampled("an example on the cluster")
def test_inline_and_back(project: Namespace):
    apply(project, "sql-inline")
    settled(project, "shop", "002")
    assert columns(project, "users") == ["id", "name", "email"]
    project.sql("insert into users (name, email) values ('Ada', 'ada@example.org')")

    apply(project, "rollback")
    wait_until("back", lambda: project.status("shop").get("revision") == "001")
    status = settled(project, "shop", "001")
    assert columns(project, "users") == ["id", "name"]
    (salvage,) = status["salvage"]
    schema, _, table = salvage.rpartition(".")
    kept = project.sql(f'select email from "{schema or "whimbrel"}"."{table}"')
    assert kept == "ada@example.org"


@pytest.mark.sampled("an example on the cluster")
def test_configmap_with_an_index_outside_a_transaction(project: Namespace):
    apply(project, "sql-configmap")
    settled(project, "orders", "002")
    valid = project.sql(
        "select indisvalid from pg_index where indexrelid = 'orders_by_total'::regclass"
    )
    assert valid == "t"


@pytest.mark.sampled("an example on the cluster")
def test_approval(project: Namespace):
    apply(project, "approval")
    # The gate is there before the plan is: first the intent, then what a person reads.
    wait_until("the plan", lambda: project.status("billing")["gate"]["token"])
    gate = project.status("billing")["gate"]
    assert columns(project, "invoices") == []
    assert project.kubectl("get", "configmap", gate["plan"], "-o", "name")
    project.kubectl("annotate", "dbm", "billing", f"whimbrel.dev/approve={gate['token']}")
    wait_until("applied", lambda: columns(project, "invoices"))
    settled(project, "billing", "001")


@pytest.mark.sampled("an example on the cluster")
def test_checkpoint(project: Namespace):
    apply(project, "checkpoint")
    settled(project, "accounts", "002")
    assert project.sql("select string_agg(cents::text, ' ' order by id) from accounts") == "12 9"
    # The first time no table was there that could have been covered.
    assert "checkpoint" not in project.status("accounts")
