"""The operator is stopped and upgraded, Pods and namespaces go away: everything runs once."""

import pytest

from tests.cluster.kube import Namespace, kubectl, migration, wait_until
from tests.cluster.one_node import stop_and_start
from tests.cluster.test_sql_stories import SLOW, USERS, applied, pods, sleeping

pytestmark = pytest.mark.cluster

OPERATOR = ("-n", "whimbrel-system")


@pytest.fixture
def operator_back():
    """Give every other story its operator back."""
    yield
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=1")
    kubectl(*OPERATOR, "rollout", "status", "deploy/whimbrel", "--timeout=120s")


@pytest.mark.alone
@pytest.mark.sampled("the operator is away")
def test_operator_down_during_apply(shop: Namespace, operator_back):
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=0")
    kubectl(*OPERATOR, "wait", "--for=delete", "pod", "-l", "app=whimbrel", "--timeout=60s")
    shop.apply(migration(files=USERS))
    assert shop.status("shop")["observedGeneration"] == -1
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=1")
    shop.wait("shop", seconds=120)
    assert shop.sql("SELECT n FROM counted") == "1"


@pytest.mark.alone
@pytest.mark.sampled("the operator is away")
def test_operator_upgraded_during_a_long_statement_it_runs_once(shop: Namespace, operator_back):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    kubectl(*OPERATOR, "rollout", "restart", "deploy/whimbrel")
    kubectl(*OPERATOR, "rollout", "status", "deploy/whimbrel", "--timeout=120s")
    shop.wait("shop", seconds=120)
    assert shop.sql("SELECT n FROM counted") == "2"
    assert len(shop.get("jobs")["items"]) == 1


@pytest.mark.sampled("a killed Pod")
def test_pod_deleted_in_mid_statement_runs_once(shop: Namespace):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    shop.kubectl("delete", *pods(shop), "--grace-period=0", "--force")
    shop.wait("shop", seconds=120)
    assert applied(shop) == "001,002,003"
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.sampled("a killed Pod")
def test_namespace_deleted_while_running_is_not_stuck(shop: Namespace):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    kubectl("delete", "namespace", shop.name, "--timeout=120s")
    wait_until("no session is left", lambda: not sleeping(shop))
    assert shop.sql("SELECT to_regclass('counted') IS NULL") == "t"


@pytest.mark.sampled("a killed Pod")
def test_deleted_while_running_frees_the_database(shop: Namespace):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    shop.kubectl("delete", "dbm/shop", "--timeout=120s")
    shop.apply(migration("next", files=USERS))
    shop.wait("next", seconds=120)
    assert shop.sql("SELECT n FROM counted") == "1"


def test_operator_may_not_read_secrets_or_configmaps(shop: Namespace):
    account = "system:serviceaccount:whimbrel-system:whimbrel"
    for verb in ("get", "list", "watch"):
        for kind in ("secrets", "configmaps"):
            answer = kubectl("auth", "can-i", verb, kind, f"--as={account}", "-A", fine=False)
            assert "no" in answer.split()
    assert "yes" in kubectl("auth", "can-i", "create", "jobs", f"--as={account}", "-A")


@pytest.mark.alone
@pytest.mark.sampled("the API server is away")
def test_api_server_away_while_a_migration_runs(shop: Namespace, one_node: None):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    stop_and_start("kube-apiserver")
    wait_until("the API server is back", lambda: "ok" in kubectl("get", "--raw", "/readyz"))
    shop.wait("shop", seconds=120)
    assert shop.sql("SELECT n FROM counted") == "2"
