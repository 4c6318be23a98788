"""A link with a delay, which can also go dead: a TCP proxy that holds every byte back.

The kernel accepts a connection at once, where a far server's first answer takes a round trip: so
what a client sends before it has heard anything is held back for that round trip besides.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_Held = asyncio.Queue[tuple[float, bytes]]


@dataclass
class SlowLink:
    """`url` leads over it. `dead`: from now on nothing passes, and nobody is told."""

    server_host: str
    server_port: int
    one_way_s: float
    url: str = ""
    dead: bool = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        far_reader, far_writer = await asyncio.open_connection(self.server_host, self.server_port)
        answered = asyncio.Event()
        ways = (
            asyncio.create_task(self._pass_on(reader, far_writer, answered)),
            asyncio.create_task(self._pass_on(far_reader, writer, answered, sets=True)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(2 * self.one_way_s)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, far_writer):
                end.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answered: asyncio.Event,
        *,
        sets: bool = False,
    ) -> None:
        held: _Held = asyncio.Queue()
        releasing = asyncio.create_task(self._release(held, writer, answered if sets else None))
        try:
            with suppress(ConnectionError):
                while data := await reader.read(1 << 16):
                    trips = 1 if sets or answered.is_set() else 3
                    held.put_nowait((_now_s() + trips * self.one_way_s, data))
            await asyncio.sleep(self.one_way_s)
        finally:
            releasing.cancel()

    async def _release(
        self, held: _Held, writer: asyncio.StreamWriter, answered: asyncio.Event | None
    ) -> None:
        while True:
            due_s, data = await held.get()
            await asyncio.sleep(max(0.0, due_s - _now_s()))
            if self.dead:
                continue
            writer.write(data)
            if answered is not None:
                answered.set()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def slow_link(server_url: str, round_trip_s: float) -> AsyncIterator[SlowLink]:
    """Listen on a free loopback port while the context lasts."""
    address = urlsplit(server_url)
    assert address.hostname is not None
    assert address.port is not None
    link = SlowLink(address.hostname, address.port, round_trip_s / 2)
    server = await asyncio.start_server(link.carry, "127.0.0.1", 0)
    try:
        link.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield link
    finally:
        server.close()
