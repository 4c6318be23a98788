"""The way that WebRTC needs: packets of UDP to the host of the rooms, and back.

Asked by STUN (RFC 8489), which answers whoever asks. A room has other ways, too, and names them
only to those who join: no answer is a warning.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from kiosk.doctor.findings import Finding, failed, passed, skipped, warned
from kiosk.doctor.subject import Subject
from kiosk.errors import ConfigError
from kiosk.link.connecting import rooms_of

STUN_PORT = 3478
_TRY_S = 1.0
_TRIES = 3
_COOKIE = b"\x21\x12\xa4\x42"
_REQUEST, _ANSWER = b"\x00\x01", b"\x01\x01"
_CHECK = "webrtc"


def look(subject: Subject, port: int = STUN_PORT) -> Iterator[Finding]:
    if subject.settings.agent.transport != "webrtc":
        yield skipped(_CHECK, "conversations go over the WebSocket")
        return
    try:
        rooms = rooms_of(subject.settings)
    except ConfigError as error:
        what, _, advice = str(error).partition(": pip")
        yield failed(_CHECK, what, f"pip{advice}")
        return
    assert rooms is not None
    host = urlsplit(rooms.url).hostname or ""
    try:
        took_ms = answer_ms(host, port)
    except OSError as error:
        yield warned(_CHECK, f"{host}: {error.strerror or error}", "dns comes first")
        return
    if took_ms is None:
        yield warned(
            _CHECK,
            f"{host} does not answer by UDP on port {port}",
            "let UDP out to any port, or conversations need a relay; where visits are lost by it, "
            'choose agent.transport = "websocket"',
        )
    else:
        yield passed(_CHECK, f"{host} answers by UDP in {took_ms:.0f} ms")


def answer_ms(host: str, port: int) -> float | None:
    """How long a STUN server takes to answer; None if it does not. Raises OSError."""
    (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    with socket.socket(family, kind) as asking:
        asking.settimeout(_TRY_S)
        for _ in range(_TRIES):
            request = _COOKIE + os.urandom(12)
            asked_s = time.monotonic()
            asking.sendto(_REQUEST + b"\x00\x00" + request, address)
            with contextlib.suppress(TimeoutError, ConnectionError):
                answer = asking.recv(1024)
                if answer[:2] == _ANSWER and answer[4:20] == request:
                    return (time.monotonic() - asked_s) * 1000
    return None
