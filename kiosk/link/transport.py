"""Transport of one conversation: what every road to the agent can do, and how it ends.

A road carries frames of the wire, and sound beside them: where that goes into frames as well, it is
the road that makes them. `kiosk.link.websocket` and `kiosk.link.webrtc` are the roads.
"""

from dataclasses import dataclass
from typing import Protocol

from kiosk.convai.server_messages import AgentAudio
from kiosk.errors import KioskError
from kiosk.link.path import Path, RoomPath

# How long closing may take; what has not closed by then is left.
CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Close:
    """How the connection closed; `code` None means without a word. `dead`: we broke off; `left`:
    the agent went, in the way that has no codes."""

    code: int | None
    reason: str = ""
    dead: bool = False
    left: bool = False


class TransportClosedError(KioskError):
    """The connection is over."""

    def __init__(self, close: Close) -> None:
        super().__init__(f"closed: {close.code} {close.reason}".strip())
        self.close = close


class HandshakeRefusedError(KioskError):
    """The far side answered, but does not let the kiosk in; `web_page`: with one of those."""

    def __init__(self, status: int, *, web_page: bool = False) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.web_page = web_page


class ConnectError(KioskError):
    """No connection: no route, no name, no TLS, nobody listening."""


class Transport(Protocol):
    """An open connection. `path`: what was measured of the way there last; None where nothing
    tells."""

    @property
    def path(self) -> Path | RoomPath | None: ...

    async def send(self, frame: str) -> None:
        """Send a frame; raises TransportClosedError."""
        ...

    async def send_audio(self, audio: bytes) -> None:
        """Send the visitor's sound, in the format that the metadata named; raises
        TransportClosedError."""
        ...

    async def receive(self) -> str | bytes | AgentAudio:
        """The next frame, or sound that came without one; raises TransportClosedError. Cancelling
        it loses nothing."""
        ...

    async def close(self) -> None:
        """Say goodbye and close, within `CLOSE_TIMEOUT_S`."""
        ...
