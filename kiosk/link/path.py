"""Path of a connection: as the system measures that of a socket, by TCP_INFO of the Linux kernel
(linux/tcp.h), or as WebRTC's library measures that of a room."""

import socket
import struct
from dataclasses import dataclass
from typing import Protocol

# The fields up to `tcpi_data_segs_out`; what a newer kernel adds comes behind them.
_BYTES = 160
_ROUND_TRIP_US, _RESENT, _SENT = 68, 100, 156


class _Asked(Protocol):
    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Path:
    """What is known of a connection: its smoothed round trip, and how many segments with data were
    sent, and sent again."""

    round_trip_ms: float
    sent_segments: int
    resent_segments: int


@dataclass(frozen=True, slots=True)
class RoomPath:
    """What is known of a room, since it was joined: its newest round trip and the jitter of what
    comes; packets of the visitor's sound, and how many of them the far side missed; packets of the
    agent's, and how many were missed here; how much of the agent's sound was made up in their
    place; bytes both ways; `way`: "host" straight, "srflx" or "prflx" through a NAT, "relay"."""

    round_trip_ms: float
    jitter_ms: float
    sent_packets: int
    lost_packets: int
    received_packets: int
    missed_packets: int
    concealed_ms: int
    sent_bytes: int
    received_bytes: int
    way: str


def path_of(connection: _Asked) -> Path | None:
    """The path of a TCP connection; None where the system does not tell."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)
    except (OSError, AttributeError):  # closed, no TCP, or not Linux
        return None
    return read_tcp_info(info)


def read_tcp_info(info: bytes) -> Path | None:
    """The path that the kernel's structure tells of; None for that of a kernel before 4.9, which
    is shorter."""
    if len(info) < _BYTES:
        return None
    round_trip_us, resent, sent = (
        struct.unpack_from("=I", info, at)[0] for at in (_ROUND_TRIP_US, _RESENT, _SENT)
    )
    return Path(round_trip_us / 1000, sent, resent)
