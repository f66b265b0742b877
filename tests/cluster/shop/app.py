"""A small shop, in three versions of one web application, as a user of Whimbrel would run it.

Version 1 reads and writes customers.name, version 2 customers.full_name, and version 3 says with
each order where it came from too. What a version answers can be made wrong, by path: from its
start (FAULTS="/=500,/healthz=500"), or while it runs, by a row of the table `faults`.
"""

import asyncio
import logging
import os
import resource
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from psycopg import Error
from psycopg_pool import AsyncConnectionPool, PoolTimeout

PORT = 8080
CUSTOMERS = 500  # rows that the first migration has made
LOOK_AT_FAULTS = 0.2  # seconds
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Version:
    """What a version says to the database; an order and the customer's change are one commit."""

    read: str
    write: str


def of_column(column: str, order: str) -> Version:
    """Return the version that knows the customer's name by this column."""
    return Version(
        read=f"SELECT {column} FROM customers WHERE id = %s",
        write=f"WITH customer AS (UPDATE customers SET {column} = %s WHERE id = %s RETURNING id) "
        f"INSERT INTO orders {order} FROM customer",
    )


PLAIN = "(customer, token, placed_by) SELECT id, %s, %s"
WITH_CHANNEL = "(customer, token, placed_by, channel) SELECT id, %s, %s, 'web'"
VERSIONS = {
    "1": of_column("name", PLAIN),
    "2": of_column("full_name", PLAIN),
    "3": of_column("full_name", WITH_CHANNEL),
}


class Shop:
    """One process of it.

    Attributes:
        faults: What a path answers instead of what it should, from its start and by the table.
        counted: Answers by path and status.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        number = Path(__file__).with_name("VERSION").read_text().strip()
        self.version = VERSIONS[number]
        self.track = environment.get("TRACK", number)
        self.linger = float(environment.get("LINGER", "5"))
        pairs = (each.split("=") for each in environment.get("FAULTS", "").split(",") if each)
        self.built_in = {path: int(status) for path, status in pairs}
        self.faults: dict[str, int] = {}
        self.counted: Counter[tuple[str, int]] = Counter()
        self.pool = AsyncConnectionPool(
            environment["DATABASE_URL"],
            open=False,
            min_size=2,
            max_size=int(environment.get("POOL", "5")),
            timeout=3.0,
            kwargs={"autocommit": True, "application_name": f"shop-{self.track}"},
        )

    async def read(self, request: web.Request) -> web.Response:
        """Answer with one row."""
        customer = int(request.query.get("customer", "1"))
        async with self.pool.connection() as connection:
            found = await connection.execute(self.version.read, (customer,))
            row = await found.fetchone()
        return web.Response(text=row[0] if row else "", status=200 if row else 404)

    async def order(self, request: web.Request) -> web.Response:
        """Write one row; 200 only after the commit."""
        token = request.query["token"]
        customer = int(request.query.get("customer", "1")) % CUSTOMERS + 1
        values = (f"Customer {customer} of {token[:8]}", customer, token, self.track)
        async with self.pool.connection() as connection:
            done = await connection.execute(self.version.write, values)
        return web.Response(text=token, status=200 if done.rowcount == 1 else 404)

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer in the words of Prometheus."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        lines = [f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime}"]
        for (path, status), number in sorted(self.counted.items()):
            labels = f'track="{self.track}",path="{path}",status="{status}"'
            lines.append(f"shop_requests_total{{{labels}}} {number}")
        errors = sum(number for (_, status), number in self.counted.items() if status >= 500)
        lines.append(f'shop_errors_total{{track="{self.track}"}} {errors}')
        return web.Response(text="\n".join(lines) + "\n")

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Say who answers, count it, and be as wrong as asked."""
        try:
            response = await handler(request)
        except (Error, PoolTimeout) as error:
            response = web.Response(text=str(error), status=500)
        faults = self.built_in | self.faults
        if wrong := faults.get(request.path):
            response = web.Response(text="wrong, as asked for", status=wrong)
        response.headers["X-Track"] = self.track
        self.counted[request.path, response.status] += 1
        return response

    async def watch_faults(self) -> None:
        """Read again and again what is to go wrong; without the table nothing is."""
        while True:
            try:
                async with self.pool.connection() as connection:
                    query = "SELECT path, status FROM faults WHERE track = %s"
                    rows = await (await connection.execute(query, (self.track,))).fetchall()
                self.faults = dict(rows)
            except (Error, PoolTimeout) as error:
                logging.getLogger("shop").debug("no faults: %s", error)
            await asyncio.sleep(LOOK_AT_FAULTS)

    def application(self) -> web.Application:
        """Return its paths."""
        application = web.Application(middlewares=[self.answer])
        application.router.add_get("/", self.read)
        application.router.add_get("/healthz", self.read)  # for health checks
        application.router.add_get("/readyz", self.read)  # for the kubelet
        application.router.add_post("/orders", self.order)
        application.router.add_get("/metrics", self.metrics)
        return application

    async def serve(self) -> None:
        """Serve until SIGTERM, and a while longer: others learn later that this Pod goes."""
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        await self.pool.open(wait=False)
        faults = asyncio.create_task(self.watch_faults())
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        await web.TCPSite(runner, port=PORT, backlog=512).start()
        await told.wait()
        await asyncio.sleep(self.linger)
        await runner.cleanup()
        faults.cancel()
        await self.pool.close()


if __name__ == "__main__":
    asyncio.run(Shop(os.environ).serve())
