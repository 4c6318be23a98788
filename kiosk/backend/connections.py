"""Connections of the server: none costs another one its answer. No routes.

uvicorn itself waits for the head of a request, and for a client that reads its answer, as long as
they take, and keeps every connection that there is a file for.
"""

import asyncio
import resource
from collections.abc import Iterable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# For a whole head, from the connection or from its first byte on one that was kept.
HEAD_S = 10.0
# For a client to read on.
READ_ON_S = 30.0
# Files that the database, the provider and the process itself need besides.
_OTHER_FILES = 200
_WANTED_FILES = 10_240


def take_files() -> None:
    """Let this process open as many files as it wants and may: most systems give 1,024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(_WANTED_FILES, hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_WANTED_FILES, hard), hard))


class BoundedConnection(H11Protocol):
    """One connection. Where there are too many, the one that has been idle for longest is closed
    for the newest."""

    quiet_since_s: float | None = None  # by the loop's clock; None while a request is under way
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come."""
        super().connection_made(transport)
        self.quiet_since_s = self.loop.time()
        self._head = self.loop.call_later(HEAD_S, transport.close)
        most = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)
        if len(self.connections) > most:
            _longest_quiet(self.connections).transport.close()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or the whole."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._end_head()
            self.quiet_since_s = None
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.close)

    def on_response_complete(self) -> None:
        """The answer is sent; another request may follow."""
        self.quiet_since_s = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read, or not fast enough."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_ON_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._end_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone, or was closed."""
        self._end_head()
        self._end_unread()
        super().connection_lost(exc)

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _end_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def _longest_quiet(connections: Iterable[object]) -> BoundedConnection:
    """The newest is quiet at least."""
    quiet = [
        (one.quiet_since_s, one)
        for one in connections
        if isinstance(one, BoundedConnection) and one.quiet_since_s is not None
    ]
    return min(quiet, key=lambda each: each[0])[1]
