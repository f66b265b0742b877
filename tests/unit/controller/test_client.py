"""The real client against a server that answers as an API server does, and as a broken one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from whimbrel.controller import client
from whimbrel.controller.client import ApiError, KubeClient
from whimbrel.controller.metrics import Metrics

LOG = "/api/v1/namespaces/shop/pods/x/log"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asked = tuple[KubeClient, list[Answer]]


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """A client, and what its server answers next."""
    answers: list[Answer] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return await answers[0](request)

    app = web.Application()
    app.router.add_get(LOG, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    connection = ApiClient(configuration)
    yield KubeClient(connection, Metrics()), answers
    await connection.close()
    await runner.cleanup()


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_log_that_may_not_be_read_or_is_gone_is_none(asked: Asked, status: int):
    kube, answers = asked

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no")

    answers.append(refuse)
    assert await kube.text(LOG) is None


async def test_a_kubelet_that_is_away_is_an_error(asked: Asked):
    kube, answers = asked

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=502, text="dial tcp: i/o timeout")

    answers.append(away)
    with pytest.raises(ApiError, match="502"):
        await kube.text(LOG)


async def test_a_log_that_hangs_does_not_hold_a_turn_for_long(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    kube, answers = asked
    monkeypatch.setattr(client, "LOG_TIMEOUT", 0.3)

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await asyncio.sleep(0.1)
            await response.write(b".")

    answers.append(hang)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kube.text(LOG), 10)


async def test_bytes_of_a_log_that_are_no_text_are_shown_as_such(asked: Asked):
    kube, answers = asked

    async def binary(_: web.Request) -> web.Response:
        return web.Response(body=b"a\xffb")

    answers.append(binary)
    assert await kube.text(LOG, lines=1) == "a\ufffdb"
