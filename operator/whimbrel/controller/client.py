"""A thin client: dicts in, dicts out, over the connection of kubernetes.aio.

The typed API classes stay unused: each costs memory for models that nobody reads here.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from whimbrel.controller.metrics import Metrics

Body = dict[str, Any]
log = logging.getLogger(__name__)
TIMEOUT: Final = 30.0  # seconds for one request
LOG_TIMEOUT: Final = 5.0  # seconds for a log: it is shown, and a lost node must not hold up a turn
_KINDS: Final = {
    "PATCH": ("application/merge-patch+json", "PATCH"),
    "JSON-PATCH": ("application/json-patch+json", "PATCH"),
}


class ApiError(Exception):
    """The API server said no, or nothing that can be understood.

    Attributes:
        status: HTTP status; 0 where no answer came, or only a piece of one.
        reason: Reason of the Status object, for example AlreadyExists; else what went wrong.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ConflictError(ApiError):
    """Somebody else was faster: look again (409)."""


class RejectedError(ApiError):
    """What we sent is not allowed, not valid or too large, now (400, 403, 413, 422)."""


class Client(Protocol):
    """What the controller asks of the API server; paths are those of its REST interface."""

    async def get(self, path: str) -> Body | None:
        """Return an object, or None where there is none."""

    async def list(self, path: str, selector: str = "") -> list[Body]:
        """Return all objects of a collection, read live."""

    async def create(self, path: str, body: Body) -> Body:
        """Create an object."""

    async def replace(self, path: str, body: Body) -> Body:
        """Replace an object; its resourceVersion must be the newest."""

    async def patch(self, path: str, body: Body) -> Body:
        """Merge-patch an object."""

    async def change(self, path: str, operations: Sequence[Body]) -> Body:
        """Change an object by a JSON patch, whose tests must hold."""

    async def delete(self, path: str, uid: str) -> None:
        """Delete an object in the background if it still has this uid; gone is fine."""

    async def text(self, path: str, lines: int = 0) -> str | None:
        """Return a log, or its last lines; None where it may not be read or is gone."""


class KubeClient:
    """The real one."""

    def __init__(self, connection: ApiClient, metrics: Metrics) -> None:
        self._connection = connection
        self._metrics = metrics

    async def get(self, path: str) -> Body | None:
        """Return an object, or None where there is none."""
        try:
            return _object(await self._request("GET", path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, path: str, selector: str = "") -> list[Body]:
        """Return all objects of a collection, read live."""
        found: list[Body] = []
        query = {"limit": "500"} | ({"labelSelector": selector} if selector else {})
        while True:
            page = _object(await self._request("GET", path, query=query))
            found += page["items"]
            more = page["metadata"].get("continue")
            if not more:
                return found
            query["continue"] = more

    async def create(self, path: str, body: Body) -> Body:
        """Create an object."""
        return _object(await self._request("POST", path, body))

    async def replace(self, path: str, body: Body) -> Body:
        """Replace an object; its resourceVersion must be the newest."""
        return _object(await self._request("PUT", path, body))

    async def patch(self, path: str, body: Body) -> Body:
        """Merge-patch an object."""
        return _object(await self._request("PATCH", path, body))

    async def change(self, path: str, operations: Sequence[Body]) -> Body:
        """Change an object by a JSON patch, whose tests must hold."""
        query = {"fieldManager": "whimbrel"}
        return _object(await self._request("JSON-PATCH", path, list(operations), query))

    async def delete(self, path: str, uid: str) -> None:
        """Delete an object in the background if it still has this uid; gone is fine."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", path, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def text(self, path: str, lines: int = 0) -> str | None:
        """Return a log, or its last lines; None where it may not be read or is gone."""
        query = {"container": "runner"} | ({"tailLines": str(lines)} if lines else {})
        try:
            async with asyncio.timeout(LOG_TIMEOUT):
                return (await self._request("GET", path, query=query)).decode(errors="replace")
        except ApiError as error:
            if error.status in (400, 403, 404):
                return None
            raise

    async def _request(
        self, verb: str, path: str, body: object = None, query: Body | None = None
    ) -> bytes:
        kind, verb = _KINDS.get(verb, ("application/json", verb))
        prepared = await self._connection.param_serialize(
            verb,
            path,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": kind, "Accept": "application/json, */*"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._connection.call_api(*prepared, _request_timeout=TIMEOUT)
            content: bytes = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, type(error).__name__, str(error)) from error
        self._metrics.requests.labels(verb.lower(), str(answer.status)).inc()
        if answer.status >= 300:
            raise _error(answer.status, content)
        return content


def _object(content: bytes) -> Body:
    try:
        parsed: Body = json.loads(content)
    except ValueError as error:
        raise ApiError(0, "NotJson", content[:200].decode(errors="replace")) from error
    return parsed


def _error(status: int, content: bytes) -> ApiError:
    try:
        said = json.loads(content)
    except ValueError:
        said = {"message": content[:200].decode(errors="replace")}
    rejected = RejectedError if status in (400, 403, 413, 422) else ApiError
    kind = ConflictError if status == 409 else rejected
    return kind(status, said.get("reason", ""), said.get("message", ""))


@asynccontextmanager
async def connected(metrics: Metrics) -> AsyncIterator[KubeClient]:
    """Give a client for the cluster that this process runs in, else for the kubeconfig."""
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException:
        await load_kube_config(client_configuration=configuration)
    connection = ApiClient(configuration)
    try:
        yield KubeClient(connection, metrics)
    finally:
        await connection.close()
