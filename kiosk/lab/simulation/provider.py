"""Plays the provider on the loopback interface: mints for anybody, knows no conversation, costs
nothing. Just so much HTTP as our own client speaks."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from kiosk.backend.provider.client import CONVERSATIONS_PATH, SIGNED_URL_PATH

AGENT_ID = "agent_simulated"
# As long as the real one takes on a good day.
_TAKES_S = 0.15


@asynccontextmanager
async def provider(takes_s: float = _TAKES_S) -> AsyncIterator[str]:
    """Its base URL, for as long as the block."""
    numbers = itertools.count(1)
    connections: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _converse(reader, writer, numbers, takes_s)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # whoever hangs up in the middle of a request has nothing to be told
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    numbers: Iterator[int],
    takes_s: float,
) -> None:
    while head := await _head(reader):
        path = urlsplit(head.split(" ")[1]).path
        status, body = "404 Not Found", b"{}"
        if path == SIGNED_URL_PATH:
            await asyncio.sleep(takes_s)
            status, body = "200 OK", json.dumps({"signed_url": _signed_url(next(numbers))}).encode()
        if path == CONVERSATIONS_PATH:
            page = {"conversations": [], "has_more": False, "next_cursor": None}
            status, body = "200 OK", json.dumps(page).encode()
        lines = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        writer.write(f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()


async def _head(reader: asyncio.StreamReader) -> str:
    """The head of a request that has no body; nothing at the end."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return ""


def _signed_url(number: int) -> str:
    return (
        f"wss://simulated.invalid/v1/convai/conversation?agent_id={AGENT_ID}"
        f"&conversation_signature=none&conversation_id=conv_sim{number:012}"
    )
