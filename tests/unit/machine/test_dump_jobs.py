"""The Pod of a run with a dump: one more container, and the author's claim."""

import pytest

from tests.unit.machine.test_jobs import ALEMBIC, INLINE, Body, containers, pod, volumes
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.jobs import job_body
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.spec import parse_spec

DUMP = {"dump": {"image": "postgres:17", "claimName": "shop-dumps"}}
CLAIM = {"name": "dump", "persistentVolumeClaim": {"claimName": "shop-dumps"}}
MOUNT = {"name": "dump", "mountPath": "/whimbrel/dump"}
SQL = {"query": "SELECT 1", "expect": {"op": "Equal", "value": "1"}}
CHECK = {"name": "one", "type": "SQL", "when": ["PostMigrate"], "sql": SQL}


def made(segment: Segment, migrations: Body = INLINE, tool_image: str = "") -> Body:
    tls = {"caFrom": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}
    database = {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}, "tls": tls}
    spec = parse_spec(
        {
            "database": database,
            "migrations": migrations,
            "checkpoint": DUMP,
            "healthChecks": [CHECK],
        }
    )
    order = Order(segment=segment, namespace="shop", name="shop", uid="uid", cluster="c", number=1,
                  run="run1", attempt=1, spec=spec)  # fmt: skip
    return job_body(CreateJob("job", order, "whimbrel:1", tool_image))


@pytest.mark.parametrize("segment", [Segment.LOOK, Segment.MIGRATE, Segment.ROLLBACK])
def test_the_authors_image_serves_beside_the_runner(segment: Segment):
    job = made(segment)
    assert [each["name"] for each in pod(job)["containers"]] == ["runner", "dumper"]
    dumper, runner = containers(job)["dumper"], containers(job)["runner"]
    assert dumper["image"] == "postgres:17"
    assert dumper["command"] == ["/whimbrel/shared/launcher", "serve", "/whimbrel/shared/dump.sock"]
    assert volumes(job)["dump"] == CLAIM
    assert MOUNT in dumper["volumeMounts"]
    assert MOUNT in runner["volumeMounts"]
    # It verifies the server, and has nothing of the Secret mounted.
    assert {each["name"] for each in dumper["volumeMounts"]} == {"tmp", "shared", "ca", "dump"}
    assert dumper["securityContext"] == runner["securityContext"]
    assert runner["lifecycle"]["postStart"]["exec"]["command"][-1] == dumper["command"][0]


def test_a_tool_has_a_socket_of_its_own():
    job = made(Segment.MIGRATE, ALEMBIC, "shop:1")
    assert [each["name"] for each in pod(job)["containers"]] == ["runner", "tool", "dumper"]
    assert MOUNT not in containers(job)["tool"]["volumeMounts"]


def test_the_job_that_removes_it_has_the_claim_and_no_program():
    job = made(Segment.DISCARD)
    assert [each["name"] for each in pod(job)["containers"]] == ["runner"]
    assert volumes(job)["dump"] == CLAIM
    assert MOUNT in containers(job)["runner"]["volumeMounts"]
    assert "lifecycle" not in containers(job)["runner"]


@pytest.mark.parametrize("segment", [Segment.FINISH, Segment.ABORT, Segment.POST_MIGRATE])
def test_who_has_nothing_to_do_with_it_waits_for_no_claim(segment: Segment):
    job = made(segment)
    assert "dump" not in volumes(job)
    assert [each["name"] for each in pod(job)["containers"]] == ["runner"]
