"""What the system tells of a TCP connection."""

import socket
from contextlib import closing

import pytest

from kiosk.link.path import path_of, read_tcp_info


def test_the_kernels_structure_is_read_where_its_fields_are() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with closing(client), closing(far):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(7):
                client.sendall(b"x")
                far.recv(1)
            path = path_of(client)
    assert path is not None
    assert (path.sent_segments, path.resent_segments) == (7, 0)
    assert 0 < path.round_trip_ms < 1000


@pytest.mark.parametrize("length", [0, 8, 104, 159])
def test_a_shorter_structure_tells_nothing(length: int) -> None:
    assert read_tcp_info(bytes(length)) is None


def test_what_is_closed_or_no_tcp_tells_nothing() -> None:
    one, other = socket.socketpair()
    with closing(one), closing(other):
        assert path_of(one) is None
    closed = socket.socket()
    closed.close()
    assert path_of(closed) is None
