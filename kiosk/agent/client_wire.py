"""Messages over one client's WebSocket: in a dialect, and as badly as a fault script wants.

What goes through is shown to a witness, who may grade it. Nothing here knows what a talk is about.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from kiosk.agent.admission import INVALID_MESSAGE
from kiosk.agent.dialect import Dialect, EndOfStream, Read
from kiosk.base.clock import loop_now_s
from kiosk.convai.client_messages import ClientMessage
from kiosk.convai.frames import Malformed, Unknown
from kiosk.convai.server_messages import AgentAudio
from kiosk.convai.server_parsing import ServerMessage


class Witness(Protocol):
    """Sees every frame of one connection, at the monotonic time it came or went."""

    def received(self, frame: str | bytes, read: Read, at_s: float) -> None: ...

    def sent(self, frame: str | bytes, at_s: float) -> None: ...

    def closed(self, code: int | None, at_s: float) -> None:
        """`code`: the client's, if it was the client who closed."""


class FaultTarget(Protocol):
    """What is below a connection, as far as faults are done to it."""

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...


class Closes(Protocol):
    """What is known of who closed a connection."""

    @property
    def close_sent(self) -> Close | None: ...

    @property
    def close_rcvd_then_sent(self) -> bool | None: ...


class Connection(Protocol):
    """A client's connection: a WebSocket, or a room of WebRTC. It raises what a WebSocket does."""

    @property
    def transport(self) -> FaultTarget: ...

    @property
    def protocol(self) -> Closes: ...

    @property
    def close_code(self) -> int | None: ...

    @property
    def close_reason(self) -> str | None: ...

    async def recv(self) -> str | bytes: ...

    async def send(self, message: str | bytes, /) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    async def wait_closed(self) -> None: ...


# Whoever does not notice by then is not going to.
VANISHED_FOR_S = 60.0
# What a close frame holds besides its code; with more it cannot be sent.
_LONGEST_REASON_BYTES = 123


@dataclass(slots=True)
class Shape:
    """What the way to the client does to frames."""

    jitter_ms: float = 0.0
    duplicate: bool = False
    swap_audio: bool = False  # every two chunks change places


class Link:
    """One connection. `strict`: what is not a message closes it, as the real service does.
    `sends`: whether the agent's settings have this kind of event sent."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        *,
        sends: Callable[[str], bool] = lambda _: True,
        strict: bool = True,
        witness: Witness | None = None,
    ) -> None:
        self.shape = Shape()
        self.dialect = dialect
        self._connection = connection
        self._sends = sends
        self._strict = strict
        self._witness = witness
        self._random = random.Random(1)  # a fault script plays the same way every time
        self._open = asyncio.Event()
        self._open.set()
        self._vanished = False
        self._held_back: str | None = None
        self._order = asyncio.Lock()

    async def receive(self) -> ClientMessage | None:
        """The next message; None when the connection is over."""
        while True:
            try:
                frame = await self._connection.recv()
            except ConnectionClosed as over:
                first = over.rcvd if over.rcvd_then_sent else None
                if self._witness is not None:
                    self._witness.closed(first.code if first else None, loop_now_s())
                return None
            message = self.dialect.read(frame)
            if self._witness is not None:
                self._witness.received(frame, message, loop_now_s())
            match message:
                case EndOfStream():
                    await self.close()
                    return None
                case Malformed() | Unknown():
                    if self._strict:
                        await self.close(1008, INVALID_MESSAGE)
                        return None
                case _:
                    return message

    async def send(self, message: ServerMessage) -> None:
        """Does nothing once the connection is over: the reader sees the same close."""
        if not self._sends(str(message.body()["type"])):
            return
        frame = self.dialect.write(message)
        async with self._order:
            if self.shape.jitter_ms:
                await asyncio.sleep(self._random.uniform(0, self.shape.jitter_ms) / 1000)
            if self.shape.swap_audio and isinstance(message, AgentAudio):
                frame, self._held_back = self._held_back or "", frame
                if not frame:
                    return
                if message.is_final:  # nothing comes to change places with
                    await self._put(self._held_back)
                    self._held_back = None
            await self._put(frame)
            if self.shape.duplicate:
                await self._put(frame)

    async def send_frame(self, frame: str | bytes) -> None:
        """Send something as it is, message or not."""
        async with self._order:
            await self._put(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        short = reason.encode()[:_LONGEST_REASON_BYTES].decode(errors="ignore")
        await self._connection.close(code, short)

    # --- faults ---------------------------------------------------------------------------------

    def stall(self, *, on: bool) -> None:
        """Send nothing until told otherwise; what is to be sent waits."""
        if on:
            self._open.clear()
        else:
            self._open.set()

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long, or until the connection is over."""
        await wait_while_open(self._connection, seconds)

    def vanish(self) -> None:
        """Neither read, nor answer, nor close: as if the machine had lost its power."""
        self._vanished = True
        self._open.set()
        transport = self._connection.transport
        transport.pause_reading()
        asyncio.get_running_loop().call_later(VANISHED_FOR_S, transport.abort)

    def reset(self) -> None:
        """Cut the connection without a close frame."""
        self._connection.transport.abort()

    async def _put(self, frame: str | bytes) -> None:
        await self._open.wait()
        if self._vanished:
            return
        if self._witness is not None:
            self._witness.sent(frame, loop_now_s())
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(frame)


async def wait_while_open(connection: Connection, seconds: float) -> None:
    """Nobody waits for the delays of a connection that is gone."""
    # Not wait_for, which in 3.11 can swallow the cancellation that comes with the close.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connection.wait_closed()
