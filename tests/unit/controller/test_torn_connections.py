"""Whatever goes wrong on the way to the API server and back is one kind of error."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from whimbrel.controller.client import ApiError, KubeClient, RejectedError
from whimbrel.controller.metrics import Metrics

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


@asynccontextmanager
async def answering(said: bytes) -> AsyncIterator[KubeClient]:
    """A client of a server that says the same to everybody, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)  # or the end is a reset
        writer.write(said)
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        client_of(server.sockets[0].getsockname()[1]) as client,
    ):
        yield client


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[KubeClient]:
    connection = ApiClient(Configuration(host=f"http://127.0.0.1:{port}"))
    try:
        yield KubeClient(connection, Metrics())
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="it hangs up without an answer"),
        pytest.param(HEAD + b"100\r\n\r\n{", id="it hangs up in the middle of one"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="it speaks something else"),
        pytest.param(HEAD + b"6\r\n\r\n<html>", id="a proxy answers instead of it"),
        pytest.param(HEAD + b"2\r\n\r\n\xff\xfe", id="its answer is no text"),
    ],
)
async def test_a_broken_answer_is_an_error_of_the_api(said: bytes):
    async with answering(said) as client:
        with pytest.raises(ApiError) as caught:
            await client.list("/api/v1/pods")
    assert not isinstance(caught.value, RejectedError)


@pytest.mark.parametrize("said", [b"", HEAD + b"100\r\n\r\na line"], ids=["at once", "half-way"])
async def test_a_log_that_is_cut_off_is_one_too(said: bytes):
    async with answering(said) as client:
        with pytest.raises(ApiError):
            await client.text("/api/v1/namespaces/shop/pods/x/log")


async def test_nobody_there_is_an_error_of_the_api():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with client_of(free.getsockname()[1]) as client:
            with pytest.raises(ApiError):
                await client.get("/api/v1/pods/x")


async def test_a_body_that_is_too_large_is_rejected():
    async with answering(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as client:
        with pytest.raises(RejectedError):
            await client.create("/api/v1/configmaps", {})
