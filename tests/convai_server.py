"""A scripted ConvAI server: accepts, remembers what the client sent, sends what a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from kiosk.agent import client_wire
from kiosk.audio.pcm import FORMATS, Samples
from kiosk.base.clock import loop_now_s
from kiosk.contract import Transport
from kiosk.convai.client_messages import ClientMessage, UserAudio
from kiosk.convai.client_parsing import parse_client
from kiosk.convai.frames import serialize
from kiosk.convai.server_messages import Metadata
from kiosk.convai.server_parsing import ServerMessage
from tests.slowness import patient_s


@dataclass
class Connection:
    """One client's connection, as the server sees it."""

    socket: client_wire.Connection
    input_format: str
    messages: list[tuple[float, object]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def audio(self) -> Samples:
        """Everything the client's microphone sent so far."""
        format_ = FORMATS[self.input_format]
        chunks = [m.audio for _, m in self.messages if isinstance(m, UserAudio)]
        return np.concatenate([format_.decode(chunk) for chunk in chunks] or [np.zeros(0, "i2")])

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code

    def of_type(self, kind: type[ClientMessage]) -> list[object]:
        return [message for _, message in self.messages if isinstance(message, kind)]

    async def send(self, *messages: ServerMessage) -> None:
        for message in messages:
            await self.socket.send(serialize(message))

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code, reason)


@dataclass
class ScriptedServer:
    """Its address, its sockets, and the connections that got their metadata, as they came. `road`:
    "webrtc" holds its conversations in rooms."""

    road: Transport = "websocket"
    metadata_delay_s: float = 0.0
    input_format: str = "pcm_16000"
    output_format: str = "pcm_16000"
    url: str = ""
    sockets: list[ServerConnection] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def connection(self, number: int = 1) -> Connection:
        """The `number`-th connection, once its metadata was sent."""
        async with asyncio.timeout(patient_s(20)), self.arrived:
            await self.arrived.wait_for(lambda: len(self.connections) >= number)
        return self.connections[number - 1]

    async def accepted(self) -> None:
        """Wait until a client has opened a socket."""
        async with asyncio.timeout(patient_s(20)), self.arrived:
            await self.arrived.wait_for(lambda: bool(self.sockets))

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        """Over WebRTC: the token, and nothing for who wants in by the newer way, or again."""
        if self.road == "websocket":
            return None
        if "/token" in request.path:
            return connection.respond(HTTPStatus.OK, '{"token": "any"}')
        unknown = "/rtc/" in request.path or "reconnect=1" in request.path
        return connection.respond(HTTPStatus.NOT_FOUND, "") if unknown else None

    def _room(
        self, signalling: ServerConnection
    ) -> AbstractAsyncContextManager[client_wire.Connection]:
        if self.road == "websocket":
            return nullcontext(signalling)
        from kiosk.agent.room import open_room

        return open_room(signalling, "room_conv_test")

    async def converse(self, signalling: ServerConnection) -> None:
        async with self._room(signalling) as socket:
            await self._converse(socket, signalling)

    async def _converse(self, socket: client_wire.Connection, signalling: ServerConnection) -> None:
        async with self.arrived:
            self.sockets.append(signalling)
            self.arrived.notify_all()
        connection = Connection(socket, self.input_format)
        try:
            connection.messages.append((loop_now_s(), parse_client(await socket.recv())))
            await asyncio.sleep(self.metadata_delay_s)
            number = len(self.connections) + 1
            await connection.send(
                Metadata(f"conv_test{number}", self.output_format, self.input_format)
            )
            async with self.arrived:
                self.connections.append(connection)
                self.arrived.notify_all()
            while True:
                frame = await socket.recv()
                connection.messages.append((loop_now_s(), parse_client(frame)))
        except ConnectionClosed:
            pass
        finally:
            connection.closed.set()


@asynccontextmanager
async def scripted_server(
    host: str = "127.0.0.1", **settings: float | str
) -> AsyncIterator[ScriptedServer]:
    """Serve on a free port while the context lasts."""
    server = ScriptedServer(**settings)  # type: ignore[arg-type]
    async with serve(
        server.converse, host, 0, process_request=server.refuse, ping_interval=None
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://{host}:{port}"
        with suppress(ConnectionClosed):
            yield server
