"""/healthz, /readyz and /metrics."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest

from whimbrel.controller.metrics import Metrics


@asynccontextmanager
async def serving(port: int, metrics: Metrics, healthy: Callable[[], bool]) -> AsyncIterator[int]:
    """Serve until the block ends; give the port."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok") if healthy() else web.Response(status=500, text="stuck")

    async def numbers(_: web.Request) -> web.Response:
        text = generate_latest(metrics.registry)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", health), web.get("/readyz", health), web.get("/metrics", numbers)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
