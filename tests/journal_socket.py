"""journald's end of the native protocol: a socket that reads entries, or does not."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class JournalSocket:
    """Listens from entering to leaving; its file stays behind, as that of a journald that died."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def read(self, count: int | None = None) -> list[dict[str, str]]:
        """So many entries, waiting for each up to 10 s; None: all that are there now."""
        entries: list[dict[str, str]] = []
        self._socket.settimeout(0 if count is None else 10)
        while count is None or len(entries) < count:
            try:
                entries.append(_parsed(self._socket.recv(1_000_000)))
            except BlockingIOError:
                break
        return entries


def _parsed(datagram: bytes) -> dict[str, str]:
    fields = {}
    while datagram:
        line, datagram = datagram.split(b"\n", 1)
        name, equals, value = line.partition(b"=")
        if not equals:
            size, datagram = int.from_bytes(datagram[:8], "little"), datagram[8:]
            value, datagram = datagram[:size], datagram[size + 1 :]
        fields[name.decode()] = value.decode()
    return fields
