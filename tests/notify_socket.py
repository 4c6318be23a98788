"""A service manager's end of the socket that `sd_notify` writes to."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotifySocket:
    """What the service tells its manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)}

    def told(self) -> list[str]:
        """Since it was last asked, a datagram each."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@contextmanager
def notify_socket(directory: Path) -> Iterator[NotifySocket]:
    manager = NotifySocket(directory / "notify")
    try:
        yield manager
    finally:
        manager.close()
