"""Addresses that swallow what is sent to them, on the loopback interface."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

BLACK_HOLE = "127.0.0.2"
# The kernel takes one more connection than a backlog of 0 says; what comes after is not answered.
_FILLS = 3


@contextlib.contextmanager
def black_hole(port: int = 0) -> Iterator[int]:
    """A port on `BLACK_HOLE` where a SYN is never answered: nobody accepts, and the queue of those
    who wait is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((BLACK_HOLE, port))
        listening.listen(0)
        there = listening.getsockname()
        for _ in range(_FILLS):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(there)
        yield int(there[1])


def resolve(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Have the resolver give these addresses for this name, in this order."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **options):  # type: ignore[no-untyped-def]
        if host not in (name, name.encode()):
            return real(host, *arguments, **options)
        return [each for one in addresses for each in real(one, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
