"""Requests of every method on the WebSocket's port.

The library reads handshakes: a GET without a body, and some of its versions nothing else. So the
connection takes the method and the body off a request first, and hands on the rest as a GET; what
answers GETs can then answer the others too. After such a request the connection closes.
"""

import re
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection

MAX_BODY_BYTES = 1024 * 1024
# The library refuses longer heads by itself.
_MAX_HEAD_BYTES = 256 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"[0-9]{1,18}")


class RestConnection(ServerConnection):
    """One connection; `method` and `body` are what the library was not shown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method = "GET"
        self.body = b""
        # Why the body was not read, where it was not.
        self.refused: HTTPStatus | None = None
        self._arriving: bytearray | None = bytearray()
        self._closing = False

    def data_received(self, data: bytes) -> None:
        if self._arriving is None:
            if not self._closing:
                super().data_received(data)
            return
        self._arriving += data
        end = self._arriving.find(_END_OF_HEAD)
        if end >= 0:
            self._head_came(bytes(self._arriving[:end]), end + len(_END_OF_HEAD))
        elif len(self._arriving) > _MAX_HEAD_BYTES:
            self._hand_on(bytes(self._arriving))

    def eof_received(self) -> None:
        if self._arriving:  # an unfinished request is the library's to complain about
            self._hand_on(bytes(self._arriving))
        super().eof_received()

    def _head_came(self, head: bytes, begins: int) -> None:
        assert self._arriving is not None
        first, *lines = head.split(b"\r\n")
        method, _, rest = first.partition(b" ")
        headers = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
        lengths = {line.partition(b":")[2].strip() for name, line in headers if _is_length(name)}
        chunked = any(name == b"transfer-encoding" for name, _ in headers)
        if method == b"GET" and lengths <= {b"0"} and not chunked:
            self._hand_on(bytes(self._arriving))
            return
        if chunked or len(lengths) > 1 or not all(_LENGTH.fullmatch(each) for each in lengths):
            self.refused, length = HTTPStatus.LENGTH_REQUIRED, 0
        elif (length := int(next(iter(lengths), b"0"))) > MAX_BODY_BYTES:
            self.refused, length = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, 0
        elif len(self._arriving) < begins + length:
            return  # the rest is under way
        self.method = method.decode("ascii", errors="replace")
        self.body = bytes(self._arriving[begins : begins + length])
        kept = [line for name, line in headers if not _is_of_body(name)]
        self._closing = True
        self._hand_on(b"\r\n".join([b"GET " + rest, *kept]) + _END_OF_HEAD)

    def _hand_on(self, data: bytes) -> None:
        self._arriving = None
        super().data_received(data)


def _is_length(name: bytes) -> bool:
    return name == b"content-length"


def _is_of_body(name: bytes) -> bool:
    return name in (b"content-length", b"transfer-encoding", b"expect")
