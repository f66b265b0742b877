"""Tool sql on the real cluster, through kubectl only: what a user types and sees."""

import json

import pytest

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import Namespace, kubectl, migration, quoted, wait_until

pytestmark = pytest.mark.cluster

COUNTED = "CREATE TABLE counted (n int); INSERT INTO counted VALUES (0);"
COUNT = "UPDATE counted SET n = n + 1;"
USERS = {
    "001_counted.up.sql": COUNTED,
    "001_counted.down.sql": "DROP TABLE counted;",
    "002_count.up.sql": COUNT,
    "002_count.down.sql": "SELECT 1;",
}
THIRD = {"003_note.up.sql": "ALTER TABLE counted ADD COLUMN note text;" + COUNT}
BROKEN = {"003_note.up.sql": "ALTER TABLE counted ADD COLUMN note text;\nSELECT nonsense();"}
SLOW = {"003_slow.up.sql": COUNT + "\nSELECT pg_sleep(8);"}


def applied(shop: Namespace) -> str:
    return shop.sql("SELECT string_agg(version, ',' ORDER BY version) FROM whimbrel.applied")


def test_apply_success_and_what_kubectl_shows(shop: Namespace):
    shop.apply(migration(files=USERS))
    shop.wait("shop")
    shop.wait("shop", "Completed")
    assert applied(shop) == "001,002"
    assert shop.sql("SELECT n FROM counted") == "1"
    header, row = shop.kubectl("get", "dbm").splitlines()
    assert header.split()[:2] == ["NAME", "DATABASE"]
    assert "Completed" in row
    assert "002" in row
    assert "True" in row


def test_nothing_runs_twice_after_reapply_relabel_replace_and_recreate(shop: Namespace):
    shop.apply(migration(files=USERS))
    shop.wait("shop")
    shop.apply(migration(files=USERS))
    shop.kubectl("label", "dbm/shop", "team=a")
    shop.kubectl("replace", "-f", "-", given=json.dumps(migration(files=USERS)))
    shop.wait("shop")
    shop.kubectl("delete", "dbm/shop", "--timeout=60s")
    shop.apply(migration(files=USERS))
    shop.wait("shop")
    assert shop.sql("SELECT n FROM counted") == "1"
    assert shop.status("shop")["revision"] == "002"


def test_failure_leaves_nothing_and_the_fix_starts_at_once(shop: Namespace):
    shop.apply(migration(files=USERS | BROKEN))
    shop.wait("shop", "Stalled")
    message = shop.condition("shop", "Ready")["message"]
    for part in ("003_note.up.sql", "line 2", "42883", "as before"):
        assert part in message
    assert shop.sql("SELECT to_regclass('counted') IS NULL") == "t"
    shop.apply(migration(files=USERS | THIRD))
    shop.wait("shop", seconds=30)
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.sampled("a story of SQL")
def test_missing_secret_heals_when_it_is_created(shop: Namespace):
    shop.kubectl("delete", "secret", "db")
    shop.apply(migration(files=USERS))
    wait_until(
        "the missing Secret is named",
        lambda: "Secret 'db'" in shop.condition("shop", "Ready").get("message", ""),
    )
    assert shop.condition("shop", "Reconciling")["reason"] == "ProgressingWithRetry"
    shop.secret(password=PASSWORD)
    shop.wait("shop", seconds=90)
    assert shop.sql("SELECT n FROM counted") == "1"


@pytest.mark.sampled("a story of SQL")
def test_suspended_starts_nothing_until_resumed(shop: Namespace):
    shop.apply(migration(files=USERS, suspend=True))
    wait_until("phase Suspended", lambda: shop.status("shop").get("phase") == "Suspended")
    assert shop.get("jobs")["items"] == []
    shop.apply(migration(files=USERS, suspend=False))
    shop.wait("shop")
    assert shop.sql("SELECT n FROM counted") == "1"


@pytest.mark.sampled("a story of SQL")
def test_spec_edit_while_running_waits_for_its_turn(shop: Namespace):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    shop.apply(migration(files=USERS | SLOW | {"004_more.up.sql": COUNT}))
    shop.wait("shop", seconds=120)
    assert applied(shop) == "001,002,003,004"
    assert shop.sql("SELECT n FROM counted") == "3"


def sleeping(shop: Namespace) -> bool:
    """Tell whether our migration's pg_sleep runs right now."""
    return shop.active("%pg_sleep%")


@pytest.mark.sampled("a story of SQL")
def test_two_objects_for_one_database_take_turns(shop: Namespace):
    shop.apply(migration("first", files=USERS | SLOW))
    wait_until("the first one runs", lambda: sleeping(shop))
    other = {"001_other.up.sql": "CREATE TABLE other (id int);"}
    shop.apply(migration("second", files=other, extra={"history": "other"}))
    wait_until(
        "the holder is named",
        lambda: f"{shop.name}/first" in shop.status("second").get("message", ""),
    )
    assert shop.status("second")["phase"] == "Waiting"
    shop.wait("first")
    shop.wait("second")
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.sampled("a story of SQL")
def test_two_objects_that_claim_one_version_with_other_content(shop: Namespace):
    shop.apply(migration("first", files=USERS))
    shop.wait("first")
    shop.apply(migration("second", files={"001_counted.up.sql": "CREATE TABLE b (id int);"}))
    shop.wait("second", "Stalled")
    message = shop.condition("second", "Ready")["message"]
    assert f"{shop.name}/first" in message
    assert "001_counted.up.sql" in message


def test_rollback_with_salvage_and_forward_again(shop: Namespace):
    down = {"003_note.down.sql": "ALTER TABLE counted DROP COLUMN note;"}
    shop.apply(migration(files=USERS | THIRD | down))
    shop.wait("shop")
    shop.sql("UPDATE counted SET note = 'written by the new version'")
    shop.apply(migration(files=USERS | THIRD | down, extra={"to": "002"}))
    wait_until("revision 002", lambda: shop.status("shop").get("revision") == "002")
    shop.wait("shop")
    table = shop.status("shop")["salvage"][0]
    assert "written by the new version" in shop.sql(f"SELECT note FROM whimbrel.{table}")
    assert applied(shop) == "001,002"
    shop.apply(migration(files=USERS | THIRD | down))
    shop.at_revision("shop", "003")
    assert applied(shop) == "001,002,003"
    assert shop.sql("SELECT n, note FROM counted") == "3|"


@pytest.mark.sampled("a tool on the cluster")
def test_the_example_up_down_and_up_again_from_an_image_with_nothing_else(
    shop: Namespace, sql: str
):
    def to(revision: str) -> None:
        source = {"tool": "sql", "image": sql, "sql": {"path": "/app/migrations"}, "to": revision}
        shop.apply(migration(migrations=source))
        shop.at_revision("shop", "004" if revision == "head" else revision)

    to("head")
    (pod,) = shop.get("pods")["items"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["runner"]
    tags = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attname = 'tags'"
    assert shop.sql(f"{tags} AND attrelid = 'users'::regclass") == "jsonb"
    to("001")
    assert applied(shop) == "001"
    assert shop.sql("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass "
                    "AND attnum > 0 AND NOT attisdropped") == "2"  # fmt: skip
    to("head")
    assert applied(shop) == "001,002,003,004"
    assert shop.sql("SELECT email FROM users WHERE id = 1") == "ada.lovelace@example.com"


def test_approval_gate_shows_the_plan_and_waits(shop: Namespace):
    shop.apply(migration(files=USERS, approval={"before": ["Start"]}))
    # The gate is there before the plan is: first the intent, then what a person reads.
    wait_until("the plan", lambda: shop.status("shop")["gate"]["token"])
    gate = shop.status("shop")["gate"]
    assert shop.status("shop")["phase"] == "AwaitingApproval"
    assert shop.sql("SELECT to_regclass('counted') IS NULL") == "t"
    plan = shop.get("configmap", gate["plan"])
    assert COUNT.rstrip(";") in json.dumps(plan["data"])
    shop.kubectl("annotate", "dbm/shop", f"whimbrel.dev/approve={gate['token']}")
    shop.wait("shop")
    assert shop.sql("SELECT n FROM counted") == "1"


@pytest.mark.sampled("a story of SQL")
def test_the_password_is_nowhere(shop: Namespace):
    shop.secret("db", password="wrong%40#@word")
    shop.apply(migration(files=USERS))
    wait_until(
        "a wrong password is said",
        lambda: "password" in shop.condition("shop", "Ready").get("message", ""),
    )
    shop.secret("db", password=PASSWORD)
    shop.wait("shop")
    seen = shop.kubectl("get", "dbm,jobs,pods,events,configmaps", "-o", "yaml")
    seen += "".join(shop.kubectl("logs", pod) for pod in pods(shop))
    seen += kubectl("-n", "whimbrel-system", "logs", "deploy/whimbrel", "--since=5m")
    for secret in (PASSWORD, quoted(PASSWORD), "wrong%40#@word", quoted("wrong%40#@word")):
        assert secret not in seen


def pods(shop: Namespace) -> list[str]:
    return shop.kubectl("get", "pods", "-o", "name").split()
