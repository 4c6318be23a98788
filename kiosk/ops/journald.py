"""The way to journald: entries in its native protocol, written by a thread of their own.

python-systemd's `sendv` waits with the interpreter's lock held: a journal that stalls, which its
eleventh unread entry shows (net.unix.max_dgram_qlen), would stop the sound, the lamps and the
watchdog with it; and one that is away would be an exception in whoever logs.
"""

import contextlib
import errno
import queue
import socket
import threading
import time
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
_LIMIT = 1000
_AGAIN_S = 0.1
# A journal that reads takes what waits in milliseconds; a stop does not wait for one that does not.
_FLUSH_S = 1.0
# In characters. Some hundred thousand bytes fit into a datagram; who writes more wants a file.
_LONGEST_VALUE = 16_000


class Journald:
    """A bounded queue of entries and its writer. While the journal takes none they wait; those that
    do not fit are `dropped`, and how many is written behind the ones that waited."""

    def __init__(self, path: str | None = None, limit: int = _LIMIT) -> None:
        self._path = path or SOCKET
        self._entries: queue.Queue[bytes] = queue.Queue(limit)
        self.dropped = self._dropped_said = 0
        self._socket: socket.socket | None = None
        # Daemonic: a write that hangs for ever does not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, fields: Mapping[str, str]) -> None:
        """Write an entry, sooner or later; returns at once, in any thread."""
        try:
            self._entries.put_nowait(_serialized(fields))
        except queue.Full:
            self._drop()

    def flush(self) -> None:
        """Wait until everything is written, but not for long."""
        done = self._entries.all_tasks_done
        with done:
            done.wait_for(lambda: not self._entries.unfinished_tasks, _FLUSH_S)

    def _run(self) -> None:
        while True:
            self._write(self._entries.get())
            self._entries.task_done()
            dropped = self.dropped - self._dropped_said
            if dropped and self._entries.empty():
                self._dropped_said += dropped
                text = f"{dropped} entries were dropped while the journal took none"
                fields = {"MESSAGE": text, "PRIORITY": "4", "SYSLOG_IDENTIFIER": "kiosk"}
                self._write(_serialized(fields))

    def _write(self, entry: bytes) -> None:
        while True:
            try:
                self._connected().send(entry)
            except OSError as error:
                self._close()
                if error.errno == errno.EMSGSIZE:  # it never will be taken
                    self._drop()
                    return
                time.sleep(_AGAIN_S)
            else:
                return

    def _drop(self) -> None:
        with self._entries.mutex:
            self.dropped += 1

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.connect(self._path)
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _serialized(fields: Mapping[str, str]) -> bytes:
    """An entry by systemd's "Native Journal Protocol": a value of several lines goes with its
    length before it."""
    parts = []
    for name, value in fields.items():
        if len(value) > _LONGEST_VALUE:  # of a traceback the end counts most
            value = f"{value[: _LONGEST_VALUE // 2]}\n[...]\n{value[-_LONGEST_VALUE // 2 :]}"
        # Whatever text comes by, the log takes it: half a surrogate pair would not be UTF-8.
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            parts.append(b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), data))
    return b"".join(parts)
