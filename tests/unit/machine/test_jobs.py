"""The Job of an attempt: hardened, deterministic, and with all that its tool needs."""

import json
from typing import Any

import pytest

from whimbrel.machine import names
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.jobs import job_body
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.spec import parse_spec

Body = dict[str, Any]
URL = {"urlFrom": {"secretKeyRef": {"name": "db", "key": "dsn"}}}
INLINE = {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 'ä%@'"}}}
IMAGE = {"tool": "sql", "image": "shop:1", "sql": {"path": "/migrations"}}
ALEMBIC = {
    "tool": "alembic",
    "image": "shop:1",
    "workingDir": "/app",
    "env": [
        {"name": "MODE", "value": "x"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ],
}


def job(migrations: Body = INLINE, database: Body = URL, **spec: object) -> Body:
    parsed = parse_spec({"database": database, "migrations": migrations} | spec)
    order = Order(
        segment=Segment.MIGRATE,
        namespace="shop",
        name="shop-schema",
        uid="uid",
        cluster="c",
        number=1,
        run="run1",
        attempt=2,
        spec=parsed,
    )
    name = names.job_name("shop-schema", "uid", "run1", segment="Migrate", attempt=2)
    tool_image = parsed.migrations.image or ""
    return job_body(CreateJob(name, order, "whimbrel:1", tool_image))


def pod(made: Body) -> Body:
    return made["spec"]["template"]["spec"]


def containers(made: Body) -> dict[str, Body]:
    every = [*pod(made).get("initContainers", ()), *pod(made)["containers"]]
    return {each["name"]: each for each in every}


def volumes(made: Body) -> dict[str, Body]:
    return {each["name"]: each for each in pod(made)["volumes"]}


@pytest.mark.parametrize("migrations", [INLINE, IMAGE, ALEMBIC], ids=["inline", "image", "alembic"])
def test_every_container_passes_the_standard_restricted(migrations: Body):
    made = job(migrations)
    context = pod(made)["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 65532)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(made)["automountServiceAccountToken"] is False
    for each in containers(made).values():
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_nobody_but_us_retries_or_collects():
    spec = job()["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec


def test_order_travels_as_annotation_and_comes_back_as_it_was():
    made = job(job={"resources": {"limits": {"memory": "1Gi"}}})
    text = made["spec"]["template"]["metadata"]["annotations"][names.ORDER]
    order = Order.model_validate_json(text)
    assert order.spec.migrations.inline.files == {"001_a.up.sql": "SELECT 'ä%@'"}
    assert order.attempt_key() == "Migrate/2"
    field = volumes(made)["order"]["downwardAPI"]["items"][0]
    assert field["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.ORDER}']"
    assert names.ORDER not in made["metadata"]["annotations"]


def test_plain_sql_is_one_container():
    assert list(containers(job())) == ["runner"]
    assert "lifecycle" not in containers(job())["runner"]


def test_sql_of_an_image_is_copied_by_the_launcher():
    made = job(IMAGE)
    assert list(containers(made)) == ["launcher", "files", "runner"]
    assert containers(made)["files"]["image"] == "shop:1"
    command = ["/whimbrel/shared/launcher", "copy", "/migrations", "/whimbrel/shared/files"]
    assert containers(made)["files"]["command"] == command


def test_a_directory_of_prismas_is_copied_from_where_its_image_has_it():
    made = job({"tool": "prisma", "image": "shop:1", "workingDir": "/app"})
    assert list(containers(made)) == ["launcher", "files", "runner"]
    assert containers(made)["files"]["command"][2] == "prisma/migrations"
    assert containers(made)["files"]["workingDir"] == "/app"
    assert "workingDir" not in containers(job({"tool": "prisma", "image": "shop:1"}))["files"]


def test_foreign_tool_runs_beside_the_runner_in_its_own_image():
    made = job(ALEMBIC)
    tool = containers(made)["tool"]
    assert [each["name"] for each in pod(made)["containers"]] == ["runner", "tool"]
    assert tool["command"] == ["/whimbrel/shared/launcher", "serve", "/whimbrel/shared/tool.sock"]
    assert tool["workingDir"] == "/app"
    assert "initContainers" not in pod(made)
    # The kubelet starts no other container before it.
    hook = containers(made)["runner"]["lifecycle"]["postStart"]["exec"]["command"]
    assert hook == ["cp", "/usr/local/bin/whimbrel-launcher", "/whimbrel/shared/launcher"]
    assert {each["name"]: each.get("value") or each["valueFrom"] for each in tool["env"]} == {
        "HOME": "/tmp",
        "MODE": "x",
        "KEY": {"secretKeyRef": {"name": "s", "key": "k"}},
        "PLACE": {"configMapKeyRef": {"name": "c", "key": "k"}},
    }
    # The password of the database is nowhere but in the runner.
    assert {each["name"] for each in tool["volumeMounts"]} == {"tmp", "shared"}


DUMP = {"checkpoint": {"dump": {"image": "postgres:16", "claimName": "dumps"}}}


@pytest.mark.parametrize(
    ("migrations", "spec", "names_", "most"),
    [
        pytest.param(INLINE, {}, "runner", "4096", id="alone"),
        pytest.param(ALEMBIC, {}, "runner tool", "3072", id="beside a tool"),
        pytest.param(ALEMBIC, DUMP, "runner tool dumper", "2457", id="and a dump"),
        pytest.param(IMAGE, {}, "launcher files runner", "2457", id="files of an image"),
        pytest.param(IMAGE, DUMP, "launcher files runner dumper", "2048", id="and a dump, too"),
    ],
)
def test_the_runner_is_told_how_much_the_kubelet_keeps_of_its_message(
    migrations: Body, spec: Body, names_: str, most: str
):
    """12 KiB for a Pod, by the number of its containers; two more may be injected."""
    made = containers(job(migrations, **spec))
    assert sorted(made) == sorted(names_.split())
    told = {name: each["env"] for name, each in made.items()}
    assert {"name": "WHIMBREL_MESSAGE_BYTES", "value": most} in told["runner"]
    assert str(told).count("WHIMBREL_MESSAGE_BYTES") == 1


def test_missing_secret_does_not_keep_the_pod_from_starting():
    secret = volumes(job())["database"]["secret"]
    assert secret == {
        "secretName": "db",
        "optional": True,
        "items": [{"key": "dsn", "path": "url"}],
    }


def test_parts_of_one_secret_may_share_a_key():
    parts = {"partsFrom": {"secretRef": {"name": "db"}, "user": "login", "name": "login"}}
    items = volumes(job(database=parts))["database"]["secret"]["items"]
    assert {each["path"]: each["key"] for each in items} == {
        "host": "host",
        "port": "port",
        "name": "login",
        "user": "login",
        "password": "password",
    }


def test_authority_run_role_and_files_are_mounted():
    database = URL | {
        "tls": {"caFrom": {"configMapKeyRef": {"name": "ca", "key": "root.pem"}}},
        "runRole": {"secretKeyRef": {"name": "role", "key": "u"}},
    }
    made = job({"tool": "sql", "configMapRef": {"name": "files"}}, database)
    mounts = {
        each["name"]: each["mountPath"] for each in containers(made)["runner"]["volumeMounts"]
    }
    assert mounts["ca"] == "/whimbrel/ca"
    assert mounts["run-role"] == "/whimbrel/run-role"
    assert mounts["files"] == "/whimbrel/files"
    assert volumes(made)["ca"]["configMap"]["items"] == [{"key": "root.pem", "path": "ca.crt"}]
    assert volumes(made)["files"]["configMap"] == {"name": "files", "optional": True}


def test_job_options_are_applied_and_labels_stay_ours():
    options = {
        "resources": {"requests": {"cpu": "10m"}},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccountName": "runner",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}],
        "runAsUser": 1000,
        "fsGroup": 2000,
        "podLabels": {"team": "a", "whimbrel.dev/object": "forged"},
    }
    made = job(job=options)
    spec = pod(made)
    assert spec["serviceAccountName"] == "runner"
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}
    ]
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (
        1000,
        2000,
    )
    assert containers(made)["runner"]["resources"] == {"requests": {"cpu": "10m"}}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["whimbrel.dev/object"] == names.object_label("shop-schema", "uid")


@pytest.mark.parametrize("segment", list(Segment))
@pytest.mark.parametrize("name", ["a", "shop.example.org", "x" * 253, "a-" * 100 + "b"])
def test_names_of_jobs_are_legal_and_different(segment: Segment, name: str):
    made = names.job_name(name, "uid", "run", segment=segment, attempt=1)
    assert len(made) <= names.JOB_NAME_LIMIT
    assert made == made.strip("-").lower()
    assert "." not in made
    assert made != names.job_name(name, "uid", "run", segment=segment, attempt=2)
    assert made != names.job_name(name, "other", "run", segment=segment, attempt=1)
    assert len(names.object_label(name, "uid")) <= 63


def test_job_is_json():
    assert json.loads(json.dumps(job(ALEMBIC)))


def test_every_run_of_every_object_has_an_id_of_its_own():
    assert names.run_id("uid", 1) == names.run_id("uid", 1)
    others = {
        names.run_id("uid", 2),
        names.run_id("u", 1),
    }
    assert len(others - {names.run_id("uid", 1)}) == 2
