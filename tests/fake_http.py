"""The fake API server over HTTP: kopf and the real client talk to it as to a cluster."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.fake_api import FakeApi
from whimbrel.controller.client import ApiError

Body = dict[str, Any]
RESOURCES = {
    "/api/v1": [
        ("pods", "Pod", "v1"),
        ("events", "Event", "v1"),
        ("namespaces", "Namespace", "v1"),
    ],
    "/apis/batch/v1": [("jobs", "Job", "batch/v1")],
    "/apis/whimbrel.dev/v1alpha1": [
        ("databasemigrations", "DatabaseMigration", "whimbrel.dev/v1alpha1")
    ],
}

SHORT_NAMES = {"databasemigrations": ["dbm"]}


class FakeHttp:
    """Translates HTTP to the protocol of `FakeApi`.

    Attributes:
        gone: Watches answer 410 from now on until the next one.
        away: Every request is answered with 503.
        torn: Every connection is closed without an answer.
        asked: Paths with their queries, in order.
    """

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.gone = False
        self.away = False
        self.torn = False
        self.asked: list[str] = []
        self.watches: dict[asyncio.Task[Any], asyncio.BaseTransport] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(request.path_qs)
        if self.torn and request.transport is not None:
            request.transport.abort()
        if self.away:
            return web.json_response({"kind": "Status", "code": 503}, status=503)
        try:
            if request.query.get("watch") == "true":
                return await self._watch(request)
            return web.json_response(await self._object(request, path), dumps=json.dumps)
        except ApiError as error:
            status = {"kind": "Status", "reason": error.reason, "message": error.message}
            return web.json_response(status | {"code": error.status}, status=error.status)

    async def _object(self, request: web.Request, path: str) -> Body:
        body = json.loads(await request.text() or "{}")
        match request.method:
            case "POST":
                return await self.api.create(path, body)
            case "PUT":
                return await self.api.replace(path, body)
            case "PATCH":
                return await self.api.patch(path, body)
            case "DELETE":
                await self.api.delete(path, body.get("preconditions", {}).get("uid", ""))
                return {"kind": "Status", "status": "Success"}
            case _:
                return await self._read(request, path)

    async def _read(self, request: web.Request, path: str) -> Body:
        if found := _discovery(path):
            return found
        if path.rpartition("/")[2] in {name for each in RESOURCES.values() for name, *_ in each}:
            items = await self.api.list(path, request.query.get("labelSelector", ""))
            return {"kind": "List", "items": items, "metadata": {"resourceVersion": self._last()}}
        found = await self.api.get(path)
        if found is None:
            raise ApiError(404, "NotFound", path)
        return found

    def _last(self) -> str:
        return str(self.api.log[-1][0] if self.api.log else 0)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        assert request.transport is not None
        self.watches[task] = request.transport
        since = int(request.query.get("resourceVersion") or 0)
        try:
            await self._stream(request, response, since)
        finally:
            del self.watches[task]
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, since: int) -> None:
        plural = request.path.rpartition("/")[2]
        seconds = float(request.query.get("timeoutSeconds") or "inf")
        end = asyncio.get_running_loop().time() + seconds
        while not self.gone:
            if asyncio.get_running_loop().time() >= end:
                return
            for version, kind, place, body in [each for each in self.api.log if each[0] > since]:
                since = version
                if place.endswith(f"/{plural}"):
                    event = {"type": kind, "object": body}
                    await response.write(json.dumps(event).encode() + b"\n")
            await asyncio.sleep(0.01)
        self.gone = False
        error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        await response.write(json.dumps({"type": "ERROR", "object": error}).encode() + b"\n")

    def cut(self) -> None:
        """Break the connections of all watches."""
        for transport in list(self.watches.values()):
            transport.abort()


def _discovery(path: str) -> Body | None:
    if path == "/apis":
        groups = [each.removeprefix("/apis/") for each in RESOURCES if each.startswith("/apis/")]
        versions = [(name.split("/")[0], name) for name in groups]
        return {"groups": [_group(group, name) for group, name in versions]}
    if path == "/api":
        return {"versions": ["v1"]}
    if path not in RESOURCES:
        return None
    verbs = ["get", "list", "watch", "patch", "create", "delete", "update"]
    known = [
        {"name": name, "kind": kind, "singularName": kind.lower(), "namespaced": True}
        | {"verbs": verbs, "shortNames": SHORT_NAMES.get(name, [])}
        for name, kind, _ in RESOURCES[path]
    ]
    return {"kind": "APIResourceList", "resources": known}


def _group(group: str, name: str) -> Body:
    version = {"groupVersion": name, "version": name.split("/")[1]}
    return {"name": group, "versions": [version], "preferredVersion": version}


@asynccontextmanager
async def serving_api(api: FakeApi, folder: Path) -> AsyncIterator[tuple[FakeHttp, Path]]:
    """Serve on a free loopback port; give the server and a kubeconfig for it."""
    http = FakeHttp(api)
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", http.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield http, _kubeconfig(folder, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        for task in list(http.watches):
            task.cancel()
        await runner.cleanup()


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": server}}],
        "users": [{"name": "fake", "user": {"token": "fake"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "current-context": "fake",
    }
    path.write_text(yaml.safe_dump(config))
    return path
