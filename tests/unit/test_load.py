"""The load that the blue-green stories rest on sees every failure that a user would see."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.load import Client, Load

ENOUGH = 20  # requests
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answers(status: int, side: str) -> Answer:
    """Return a server that answers every request of a connection alike."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                head = f"HTTP/1.1 {status} X\r\nX-Track: {side}\r\nContent-Length: 2\r\n\r\nok"
                writer.write(head.encode())
        await gone(writer)

    return answer


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection instead of an answer."""
    await reader.readuntil(b"\r\n\r\n")
    await gone(writer)


async def gone(writer: asyncio.StreamWriter) -> None:
    """Close a connection and wait until it is."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Lines:
    """Keeps what the client writes, and stops it when that is enough."""

    def __init__(self, file: Path, stopped: asyncio.Event) -> None:
        self._file, self._stopped, self._count = file, stopped, 0

    def write(self, line: str) -> None:
        with self._file.open("a") as output:
            output.write(line)
        self._count += 1
        if self._count >= ENOUGH:
            self._stopped.set()


async def seen(file: Path, answer: Answer | None, *, keep_alive: bool = False) -> Load:
    """Send some requests to a server of this process, or to nobody."""
    conversations = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.current_task())
        await (answer or closes)(reader, writer)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if answer is None:
        server.close()
    stopped = asyncio.Event()
    client = Client(f"http://127.0.0.1:{port}", 500, keep_alive=keep_alive)
    async with asyncio.timeout(20):
        await client.run(Lines(file, stopped), stopped)
    server.close()
    await asyncio.gather(*conversations)
    return Load(file)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(answers(500, "green"), "ok", id="an error of the application"),
        pytest.param(closes, "IncompleteReadError", id="a connection that is closed"),
        pytest.param(None, "ConnectionRefusedError", id="nobody listens"),
    ],
)
async def test_failures_are_seen_with_their_error(tmp_path: Path, answer: Answer, error: str):
    load = await seen(tmp_path / "load", answer)
    failed = load.failed()
    assert len(failed) == len(load.requests()) >= ENOUGH
    assert all(error in each.error for each in failed)
    assert load.acknowledged() == []
    later = failed[-1].at
    assert load.failed(since=later, until=later) == []


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_half_are_orders_with_tokens_of_their_own(tmp_path: Path, keep_alive: bool):
    load = await seen(tmp_path / "load", answers(200, "blue"), keep_alive=keep_alive)
    requests = load.requests()
    assert load.failed() == []
    assert load.sides() == {"blue": len(requests)}
    tokens = load.acknowledged()
    assert len(set(tokens)) == len(tokens)
    assert abs(2 * len(tokens) - len(requests)) <= 1


class Database:
    """Answers the query for the tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens

    def sql(self, _: str) -> str:
        return "\n".join(self._tokens)


def test_a_lost_and_a_doubled_order_are_found(tmp_path: Path):
    line = {"took": 0.1, "side": "blue", "status": 200, "error": ""}
    lines = [json.dumps({"at": n, "token": token, **line}) for n, token in enumerate("abc")]
    (tmp_path / "load").write_text("\n".join(lines) + "\n" + '{"at": 3, "tok')
    load = Load(tmp_path / "load")
    assert load.not_there_once(Database(["a", "b", "b"])) == {"b": 2, "c": 0}
    # Of a request without an answer nothing is known: it may have been written.
    assert load.not_there_once(Database(["a", "b", "c", "d"])) == {}
