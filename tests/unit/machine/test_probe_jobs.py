"""The Pod of a probe: the runner alone, and a Secret only where SQL is asked."""

from typing import Any

import pytest

from tests.unit.machine.test_jobs import ALEMBIC, IMAGE, INLINE, URL, containers, pod, volumes
from whimbrel.machine import names
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.jobs import job_body
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.spec import parse_spec

Body = dict[str, Any]
MOMENTS = [each for each in Segment if each.value in (
    "Baseline", "PostMigrate", "PreSwitch", "PostSwitch", "Soak",
)]  # fmt: skip
HTTP = {"name": "api", "type": "HTTP", "http": {"service": "shop"}}
SQL = {
    "name": "rows",
    "type": "SQL",
    "sql": {"query": "SELECT 0", "expect": {"op": "Equal", "value": "0"}},
}
TLS = URL | {
    "tls": {"caFrom": {"configMapKeyRef": {"name": "ca", "key": "root.pem"}}},
    "runRole": {"secretKeyRef": {"name": "role", "key": "u"}},
}
SIDES = {
    side: {"selector": {"track": side}, "workloadRef": {"name": side}} for side in ("blue", "green")
}
STRATEGY = {"type": "BlueGreen", "blueGreen": {"activeService": "shop"} | SIDES}


def probe(segment: Segment, *checks: Body, migrations: Body = INLINE, **spec: Any) -> Body:
    asked = [{"when": [segment.value]} | check for check in checks]
    raw = {"database": URL, "migrations": migrations, "healthChecks": asked, "soak": "1m"}
    order = Order(
        segment=segment,
        namespace="shop",
        name="shop-schema",
        uid="uid",
        cluster="c",
        number=1,
        run="run1",
        attempt=1,
        spec=parse_spec(raw | {"strategy": STRATEGY} | spec),
    )
    name = names.job_name("shop-schema", "uid", "run1", segment=segment, attempt=1)
    return job_body(CreateJob(name, order, "whimbrel:1", migrations.get("image", "")))


@pytest.mark.parametrize("segment", MOMENTS)
@pytest.mark.parametrize("migrations", [INLINE, IMAGE, ALEMBIC], ids=["inline", "image", "alembic"])
def test_no_tool_stands_beside_a_probe(segment: Segment, migrations: Body):
    made = probe(segment, HTTP, migrations=migrations, database=TLS)
    assert list(containers(made)) == ["runner"]
    assert containers(made)["runner"]["command"] == ["python", "-m", "whimbrel.runner.probes"]
    assert set(volumes(made)) == {"tmp", "order"}
    assert "shop:1" not in str(pod(made))


@pytest.mark.parametrize("segment", MOMENTS)
def test_a_probe_is_as_restricted_as_any_other_job(segment: Segment):
    made = probe(segment, HTTP, SQL, job={"resources": {"limits": {"memory": "64Mi"}}})
    runner = containers(made)["runner"]
    assert pod(made)["automountServiceAccountToken"] is False
    assert pod(made)["securityContext"]["runAsNonRoot"] is True
    assert runner["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert runner["resources"] == {"limits": {"memory": "64Mi"}}
    assert made["spec"]["backoffLimit"] == 0


def test_the_secret_is_mounted_where_a_check_of_this_moment_is_sql():
    made = probe(Segment.SOAK, HTTP, SQL, database=TLS)
    assert set(volumes(made)) == {"tmp", "order", "database", "ca"}
    mounts = {each["name"]: each for each in containers(made)["runner"]["volumeMounts"]}
    assert mounts["database"] == {
        "name": "database", "mountPath": "/whimbrel/database", "readOnly": True,
    }  # fmt: skip
    assert volumes(made)["database"]["secret"]["optional"] is True


def test_sql_at_another_moment_mounts_nothing():
    made = probe(Segment.SOAK, HTTP, SQL | {"when": ["Baseline"]}, database=TLS)
    assert set(volumes(made)) == {"tmp", "order"}
