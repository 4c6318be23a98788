"""The WebSocket transport of one conversation, on the `websockets` library.

The socket's own pings (RFC 6455) notice a dead peer; the wire's ping and pong are messages and
belong to the conversation.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from kiosk.convai.client_messages import UserAudio
from kiosk.convai.frames import MAX_FRAME_BYTES, serialize
from kiosk.link.path import Path, path_of
from kiosk.link.transport import (
    CLOSE_TIMEOUT_S,
    Close,
    ConnectError,
    HandshakeRefusedError,
    TransportClosedError,
)
from kiosk.proxies import proxy_mistake

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

    from kiosk.link.last_heard import ConnectionWithLastHeard

# A dead peer is noticed within their sum.
PING_INTERVAL_S = 2.5
PING_TIMEOUT_S = 5.0
# When the next of several addresses is tried beside the first (RFC 8305): IPv6 may be there and
# broken. The backend's client has the same value.
_NEXT_ADDRESS_S = 0.25
# What the library closes with by itself: the server's frame is no text, or too long.
_OUR_VERDICTS = frozenset({1007, 1009})


class Socket:
    """An open WebSocket that carries text frames. `path`: what the system measured of the way there
    last; None where it does not tell."""

    def __init__(self, connection: "ConnectionWithLastHeard") -> None:
        self.path: Path | None = None
        self._connection = connection
        self._dead = False
        self._watching = asyncio.create_task(self._watch(), name="pings")

    async def send(self, frame: str) -> None:
        """Raises TransportClosedError."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(frame)
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def send_audio(self, audio: bytes) -> None:
        """Send the visitor's sound as a frame; raises TransportClosedError."""
        await self.send(serialize(UserAudio(audio)))

    async def receive(self) -> str | bytes:
        """The next frame; raises TransportClosedError. Cancelling it loses nothing."""
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def close(self) -> None:
        """Close with 1000, waiting at most `CLOSE_TIMEOUT_S` until it is taken and answered."""
        self._measure()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._connection.close(1000)
        except TimeoutError:
            self._connection.transport.abort()
        finally:
            self._watching.cancel()

    async def _watch(self) -> None:
        """Break off with a peer of which nothing at all is heard: not even the answer to a ping.

        Any byte counts, for a pong waits behind what a slow link still carries. The library's own
        keepalive knows pongs only, waits without end behind what is not taken, and for a dead
        peer's goodbye besides.
        """
        from websockets.exceptions import ConnectionClosed

        connection, loop = self._connection, asyncio.get_running_loop()
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._measure()
                heard_s = connection.heard_s
                quiet_s = loop.time() - heard_s
                if quiet_s < PING_INTERVAL_S:
                    await asyncio.sleep(PING_INTERVAL_S - quiet_s)
                    continue
                try:
                    async with asyncio.timeout(PING_TIMEOUT_S):
                        await (await connection.ping())
                except TimeoutError:
                    if connection.heard_s == heard_s:
                        self._dead = True
                        connection.transport.abort()
                        return

    def _measure(self) -> None:
        """Again and again: of a connection that is lost the system tells nothing more."""
        connection = self._connection.transport.get_extra_info("socket")
        if connection is not None:
            self.path = path_of(connection) or self.path

    def _closed(self, error: "ConnectionClosed") -> TransportClosedError:
        """What is known of the end: our own verdict on what came, if there was one."""
        sent = error.sent
        if sent is not None and sent.code in _OUR_VERDICTS and not error.rcvd_then_sent:
            return TransportClosedError(Close(sent.code, sent.reason))
        return TransportClosedError(self._close())

    def _close(self) -> Close:
        if self._dead:
            return Close(None, f"no answer to a ping in {PING_TIMEOUT_S:g} s", dead=True)
        code = self._connection.close_code
        return Close(None if code in (None, 1006) else code, self._connection.close_reason or "")


async def connect(url: str) -> Socket:
    """Open a WebSocket; the caller sets the deadline.

    Raises ConnectError and HandshakeRefusedError. The URL holds a credential, so no message quotes
    it. Cancelled in the middle of the handshake it still closes properly what was about to open,
    within `CLOSE_TIMEOUT_S`: the far side would otherwise take it for a lost conversation.
    """
    opening = asyncio.create_task(_open(url), name="handshake")
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await _close_late(opening)
        raise


async def _close_late(opening: "asyncio.Task[Socket]") -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await (await opening).close()
    except (TimeoutError, ConnectError, HandshakeRefusedError):
        opening.cancel()  # nothing had opened


async def _open(url: str) -> Socket:
    from websockets.asyncio.client import connect as websocket_connect
    from websockets.exceptions import (
        InvalidProxy,
        InvalidStatus,
        InvalidURI,
        WebSocketException,
    )

    from kiosk.link.last_heard import ConnectionWithLastHeard

    try:
        connection = await websocket_connect(
            url,
            create_connection=ConnectionWithLastHeard,
            max_size=MAX_FRAME_BYTES,
            ping_interval=None,  # `Socket` does it
            close_timeout=CLOSE_TIMEOUT_S,
            open_timeout=None,
            happy_eyeballs_delay=_NEXT_ADDRESS_S,
            # Base64 of sound hardly shrinks, and a Pi's processor has better things to do.
            compression=None,
        )
    except InvalidStatus as error:
        kind = error.response.headers.get("Content-Type", "")
        status = error.response.status_code
        raise HandshakeRefusedError(status, web_page="html" in kind) from error
    except (OSError, TimeoutError, EOFError) as error:
        # Before ValueError, which a certificate that does not verify is as well.
        raise ConnectError(f"{type(error).__name__}: {_reason(error)}") from error
    except (InvalidURI, InvalidProxy, ImportError, ValueError) as error:
        # ImportError: the environment names a SOCKS proxy, which needs one more library.
        mistake = None if isinstance(error, InvalidURI) else proxy_mistake()
        what = mistake or "the address, or where it leads, is not a WebSocket URL"
        raise ConnectError(what) from None
    except WebSocketException as error:
        raise ConnectError(f"{type(error).__name__}: {_reason(error)}") from error
    assert isinstance(connection, ConnectionWithLastHeard)
    return Socket(connection)


def _reason(error: BaseException) -> str:
    """The system's words for what went wrong, without addresses from the URL."""
    return (error.strerror if isinstance(error, OSError) else None) or "no WebSocket there"
