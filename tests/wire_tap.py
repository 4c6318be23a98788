"""A tap on the wire: passes a client's connections on to a server and keeps every frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from kiosk.convai.frames import MAX_FRAME_BYTES

Frame = str | bytes


@dataclass
class Passed:
    """One connection. `close` is the code and the reason of whoever closed first."""

    path: str
    from_client: list[Frame] = field(default_factory=list)
    from_server: list[Frame] = field(default_factory=list)
    close: tuple[int | None, str | None] | None = None


@dataclass
class Tap:
    """Where to connect to, and what has passed so far."""

    url: str = ""
    connections: list[Passed] = field(default_factory=list)


@asynccontextmanager
async def tapped(server_url: str) -> AsyncIterator[Tap]:
    """Listen on a free loopback port while the context lasts; `server_url` is `http://HOST:PORT`."""
    tap = Tap()

    async def pass_on(client: ServerConnection) -> None:
        assert client.request is not None
        passed = Passed(client.request.path)
        tap.connections.append(passed)
        address = server_url.replace("http", "ws", 1) + passed.path
        async with (
            connect(address, max_size=MAX_FRAME_BYTES, compression=None) as server,
            asyncio.TaskGroup() as both,
        ):
            both.create_task(_forward(client, server, passed, passed.from_client))
            both.create_task(_forward(server, client, passed, passed.from_server))

    async with serve(
        pass_on, "127.0.0.1", 0, max_size=MAX_FRAME_BYTES, compression=None
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        tap.url = f"ws://127.0.0.1:{port}"
        yield tap


async def _forward(
    source: ServerConnection | ClientConnection,
    target: ServerConnection | ClientConnection,
    passed: Passed,
    kept: list[Frame],
) -> None:
    with suppress(ConnectionClosed):
        while True:
            frame = await source.recv()
            kept.append(frame)
            await target.send(frame)
    if passed.close is None:
        passed.close = (source.close_code, source.close_reason)
    if source.close_code in (1005, 1006):  # no code to pass on
        target.transport.abort()
    else:
        await target.close(source.close_code or 1000, source.close_reason or "")
