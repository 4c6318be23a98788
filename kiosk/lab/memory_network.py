"""A network in memory: connections and servers of one loop, by port, without sockets."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

# One way, as on a local network.
_LATENCY_S = 0.0005
_FIRST_PORT = 40_001


class _Names:
    """What stands in for a socket: its names only."""

    family = socket.AF_INET

    def __init__(self, here: tuple[str, int], there: tuple[str, int] | None = None) -> None:
        self._here = here
        self._there = there

    def getsockname(self) -> tuple[str, int]:
        return self._here

    def getpeername(self) -> tuple[str, int]:
        if self._there is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._there


class Pipe(asyncio.Transport):
    """One end of a connection."""

    other: "Pipe"

    def __init__(
        self, loop: asyncio.AbstractEventLoop, here: tuple[str, int], there: tuple[str, int]
    ) -> None:
        names = _Names(here, there)
        super().__init__({"peername": there, "sockname": here, "socket": names})
        self._loop = loop
        self._protocol: asyncio.Protocol | None = None
        self._closing = self._ended = self._paused = False
        # On the way to this end, in order, and arrived while it did not read; None: no more comes.
        self._coming: deque[bytes | None] = deque()
        self._held: list[bytes | None] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._paused

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What is written is on its way at once."""

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing and not self._ended:
            self.other.come(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._ended:
            self._ended = True
            self.other.come(None)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        held, self._held = self._held, []
        for data in held:
            self._loop.call_soon(self.arrive, data)

    def come(self, data: bytes | None) -> None:
        """From the other end. Timers of one moment have no order: the queue does."""
        self._coming.append(data)
        self._loop.call_later(_LATENCY_S, lambda: self.arrive(self._coming.popleft()))

    def arrive(self, data: bytes | None) -> None:
        assert self._protocol is not None
        if self._paused:
            self._held.append(data)
        elif self._closing:
            return
        elif data is not None:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._lose(None)

    def abort(self) -> None:
        if not self._closing:
            self._lose(None)
            self._loop.call_later(_LATENCY_S, self.other.reset)

    def reset(self) -> None:
        """The other end went away without a word."""
        if not self._closing:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _lose(self, error: Exception | None) -> None:
        assert self._protocol is not None
        self._closing = True
        self._loop.call_soon(self._protocol.connection_lost, error)


class MemoryServer(asyncio.AbstractServer):
    """A port that is listened on."""

    def __init__(
        self, network: "MemoryNetwork", accept: Callable[[], Any], host: str, port: int
    ) -> None:
        self.accept = accept
        self.sockets = (_Names((host, port)),)
        self._network = network
        self._port = port

    def close(self) -> None:
        self._network.servers.pop(self._port, None)

    def is_serving(self) -> bool:
        return self._port in self._network.servers

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network

    async def start_serving(self) -> None:
        """It does."""

    async def serve_forever(self) -> None:
        await asyncio.Event().wait()

    async def wait_closed(self) -> None:
        """Its connections are on their own."""


class MemoryNetwork(asyncio.SelectorEventLoop):
    """The part of a loop that connects and listens; the addresses are this machine's."""

    _servers: dict[int, MemoryServer] | None = None

    @property
    def servers(self) -> dict[int, MemoryServer]:
        if self._servers is None:
            self._servers = {}
        return self._servers

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        **_: object,
    ) -> MemoryServer:
        its_port = port or _FIRST_PORT + len(self.servers)
        if its_port in self.servers:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        server = MemoryServer(self, protocol_factory, host or "127.0.0.1", its_port)
        self.servers[its_port] = server
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        **_: object,
    ) -> tuple[asyncio.Transport, Any]:
        await asyncio.sleep(2 * _LATENCY_S)
        server = self.servers.get(port or 0)
        if server is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        here, there = ("127.0.0.1", 1), (host or "127.0.0.1", port or 0)
        ours, theirs = Pipe(self, here, there), Pipe(self, there, here)
        ours.other, theirs.other = theirs, ours
        for end, protocol in ((theirs, server.accept()), (ours, protocol_factory())):
            end.set_protocol(protocol)
            protocol.connection_made(end)
        return ours, ours.get_protocol()
