"""The Pod of one attempt: the runner, and where a tool has an image of its own, that one too."""

from dataclasses import replace
from typing import Any, Final

from whimbrel.machine import names
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.dump import dump_mounts, dump_volumes, dumper_image
from whimbrel.model.order import Order
from whimbrel.model.probed import asks_database, moment_of
from whimbrel.model.result import MESSAGE_BYTES, message_bytes
from whimbrel.model.spec import Database, EnvVar, KeyRef, KeySource, PartsFrom, Spec

Body = dict[str, Any]
Source = tuple[Body, str]  # a volume, and where it is mounted

TMP: Final[Body] = {"name": "tmp", "emptyDir": {}}
SHARED: Final = "/whimbrel/shared"
LAUNCHER: Final = f"{SHARED}/launcher"
BRING: Final = ["cp", "/usr/local/bin/whimbrel-launcher", LAUNCHER]
GRACE: Final = 30  # seconds between SIGTERM and SIGKILL; the runner cancels and rolls back at once


def pod_spec(wanted: CreateJob) -> Body:
    """Return the Pod's spec; it passes the Pod Security Standard `restricted`."""
    if moment_of(wanted.order.segment) is not None:
        wanted = replace(wanted, tool_image="")  # a probe measures; it starts no tool
    body = restricted_pod(wanted.order.spec) | {
        "containers": [_runner(wanted)],
        "volumes": _volumes(wanted.order, shared=_shares(wanted)),
    }
    if wanted.tool_image:
        _add_tool(body, wanted)
    if dumper := dumper_image(wanted.order):
        body["containers"].append(_dumper(wanted, dumper))
    own = len(body["containers"]) + len(body.get("initContainers", ()))
    room = {"name": MESSAGE_BYTES, "value": str(message_bytes(own))}
    body["containers"][0]["env"].append(room)
    return body


def _shares(wanted: CreateJob) -> bool:
    """Tell whether the Pod has containers of other images, which need the launcher."""
    return bool(wanted.tool_image or dumper_image(wanted.order))


def _dumper(wanted: CreateJob, image: str) -> Body:
    command = [LAUNCHER, "serve", f"{SHARED}/dump.sock"]
    dumper = _container(wanted, "dumper", image, command)
    dumper["volumeMounts"] += _read_only(_authority(wanted.order.spec.database))
    return dumper | {"volumeMounts": [*dumper["volumeMounts"], *dump_mounts(wanted.order)]}


def restricted_pod(spec: Spec) -> Body:
    """Return the spec of a Pod that has no containers and volumes yet."""
    options = spec.job
    body: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.run_as_user,
            "runAsGroup": options.fs_group,
            "fsGroup": options.fs_group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return body | _placement(spec)


def _placement(spec: Spec) -> Body:
    options = spec.job
    wanted: Body = {
        "serviceAccountName": options.service_account_name,
        "nodeSelector": dict(options.node_selector),
        "imagePullSecrets": [{"name": each.name} for each in options.image_pull_secrets],
        "tolerations": [_filled(each.model_dump(by_alias=True)) for each in options.tolerations],
    }
    return _filled(wanted)


def _filled(body: Body) -> Body:
    return {key: value for key, value in body.items() if value}


def _add_tool(body: Body, wanted: CreateJob) -> None:
    migrations = wanted.order.spec.migrations
    if migrations.files is not None:
        command = [LAUNCHER, "copy", migrations.files.path, f"{SHARED}/files"]
        files = _in_users_image(wanted, "files", command)
        body["initContainers"] = [_container(wanted, "launcher", wanted.image, BRING), files]
        return
    tool = _in_users_image(wanted, "tool", [LAUNCHER, "serve", f"{SHARED}/tool.sock"])
    tool["env"] = [*tool["env"], *(_variable(each) for each in migrations.env)]
    # The URL that the tool gets names this file: it verifies the server as the runner does.
    tool["volumeMounts"] += _read_only(_authority(wanted.order.spec.database))
    body["containers"].append(tool)


def _in_users_image(wanted: CreateJob, name: str, command: list[str]) -> Body:
    container = _container(wanted, name, wanted.tool_image, command)
    place = wanted.order.spec.migrations.working_dir
    return container | ({"workingDir": place} if place else {})


def _runner(wanted: CreateJob) -> Body:
    measures = moment_of(wanted.order.segment) is not None
    module = "whimbrel.runner.probes" if measures else "whimbrel.runner"
    runner = _container(wanted, "runner", wanted.image, ["python", "-m", module])
    runner["volumeMounts"] += [*_read_only(_sources(wanted.order)), *dump_mounts(wanted.order)]
    if _shares(wanted):
        # The kubelet starts containers in their order, and waits for the hook of one before the
        # next: github.com/istio/istio/pull/24737. An init container would take a second more.
        runner["lifecycle"] = {"postStart": {"exec": {"command": BRING}}}
    return runner


def _read_only(sources: list[Source]) -> list[Body]:
    return [
        {"name": volume["name"], "mountPath": path, "readOnly": True} for volume, path in sources
    ]


def _container(wanted: CreateJob, name: str, image: str, command: list[str]) -> Body:
    body = restricted_container(wanted.order.spec, name, image, command)
    if _shares(wanted):
        body["volumeMounts"].append({"name": "shared", "mountPath": SHARED})
    return body


def restricted_container(spec: Spec, name: str, image: str, command: list[str]) -> Body:
    """Return a container that may write to /tmp alone; its Pod has the volume `TMP`."""
    body: Body = {
        "name": name,
        "image": image,
        "command": command,
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108  # the same emptyDir
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # the same emptyDir
    }
    resources = _filled(spec.job.resources.model_dump(by_alias=True))
    return body | ({"resources": resources} if resources else {})


def _variable(variable: EnvVar) -> Body:
    if variable.value_from is None:
        return {"name": variable.name, "value": variable.value or ""}
    source = variable.value_from
    of_secret = source.secret_key_ref is not None
    reference = source.secret_key_ref if of_secret else source.config_map_key_ref
    assert reference is not None  # noqa: S101  # CEL allows exactly one of them
    kind = "secretKeyRef" if of_secret else "configMapKeyRef"
    value = {kind: {"name": reference.name, "key": reference.key}}
    return {"name": variable.name, "valueFrom": value}


def _volumes(order: Order, *, shared: bool) -> list[Body]:
    own = [TMP]
    if shared:
        own.append({"name": "shared", "emptyDir": {}})
    return own + dump_volumes(order) + [volume for volume, _ in _sources(order)]


def _sources(order: Order) -> list[Source]:
    spec, moment = order.spec, moment_of(order.segment)
    found = [(_order_volume(), "/whimbrel/order")]
    if moment is None or asks_database(spec, moment):
        found.append((_database_volume(spec.database), "/whimbrel/database"))
        found += _authority(spec.database)
    if moment is not None:
        return found
    if spec.database.run_role is not None:
        reference = spec.database.run_role.secret_key_ref
        found.append((_secret("run-role", reference.name, {"url": reference.key}), RUN_ROLE))
    if spec.migrations.config_map_ref is not None:
        files = {"name": spec.migrations.config_map_ref.name, "optional": True}
        found.append(({"name": "files", "configMap": files}, "/whimbrel/files"))
    return found


RUN_ROLE: Final = "/whimbrel/run-role"


def _authority(database: Database) -> list[Source]:
    if database.tls is None:
        return []
    return [(_ca_volume(database.tls.ca_from), "/whimbrel/ca")]


def _order_volume() -> Body:
    item = {
        "path": "order.json",
        "fieldRef": {"fieldPath": f"metadata.annotations['{names.ORDER}']"},
    }
    return {"name": "order", "downwardAPI": {"items": [item]}}


def _database_volume(database: Database) -> Body:
    if database.parts_from is not None:
        return _secret("database", database.parts_from.secret_ref.name, _parts(database.parts_from))
    assert database.url_from is not None  # noqa: S101  # parse_spec allows exactly one of them
    reference = database.url_from.secret_key_ref
    return _secret("database", reference.name, {"url": reference.key})


def _parts(source: PartsFrom) -> dict[str, str]:
    return {
        "host": source.host,
        "port": source.port,
        "name": source.name,
        "user": source.user,
        "password": source.password,
    }


def _secret(volume: str, name: str, paths: dict[str, str]) -> Body:
    # Optional: the Pod starts without it, the runner says what is missing and is retried.
    source = {"secretName": name, "optional": True, "items": _items(paths)}
    return {"name": volume, "secret": source}


def _ca_volume(source: KeySource) -> Body:
    if source.config_map_key_ref is not None:
        reference = source.config_map_key_ref
        return {"name": "ca", "configMap": _config_map(reference)}
    assert source.secret_key_ref is not None  # noqa: S101  # CEL allows exactly one of them
    return _secret("ca", source.secret_key_ref.name, {"ca.crt": source.secret_key_ref.key})


def _config_map(reference: KeyRef) -> Body:
    return {"name": reference.name, "optional": True, "items": _items({"ca.crt": reference.key})}


def _items(paths: dict[str, str]) -> list[Body]:
    return [{"key": key, "path": path} for path, key in paths.items()]
