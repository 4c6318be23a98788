"""The collected journals, one reader a kiosk: entries come in the order in which they arrived.

One reader over all of them would go by the kiosks' clocks, and step over what a kiosk whose network
was down uploads late.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kiosk.causes import fault
from kiosk.watch.entries import MESSAGE_IDS

log = logging.getLogger(__name__)


def _same(value: object) -> object:
    return value


# What the library adds itself; of an entry's own fields the text is enough.
_AS_IT_IS = dict.fromkeys(("__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP"), _same)

# A file that has just been made cannot be read for a moment.
_PATIENCE = 5

_Files = tuple[tuple[str, int], ...]  # name and inode


class Journals:
    """Follows the files of one directory. `cursors`: how far each was read, None: nothing ever was,
    and what there is already is left out."""

    def __init__(self, directory: Path, cursors: Mapping[str, str] | None) -> None:
        self.cursors: dict[str, str] = dict(cursors or {})
        self._directory = directory
        self._from_now = cursors is None
        self._readers: dict[str, tuple[_Files, Any]] = {}
        self._failures: dict[str, int] = {}

    def read(self, most: int) -> Iterator[dict[str, object]]:
        """New entries, at most so many of each host. What was yielded counts as read."""
        hosts = self._hosts()
        for gone in set(self._readers) - set(hosts):
            self._close(gone)
        for host, files in hosts.items():
            try:
                yield from self._read(host, files, most)
            except OSError as error:
                self._failed(host, error)
            else:
                self._failures.pop(host, None)
        self._from_now = False

    def close(self) -> None:
        for host in list(self._readers):
            self._close(host)

    def _read(self, host: str, files: _Files, most: int) -> Iterator[dict[str, object]]:
        known = self._readers.get(host)
        if known is not None and known[0] != files:  # one was begun, put aside or removed
            self._close(host)
            known = None
        reader = self._opened(host, files) if known is None else known[1]
        for _ in range(most):
            entry = reader.get_next()
            if not entry:
                return
            cursor = entry["__CURSOR"]
            if cursor != self.cursors.get(host):
                self.cursors[host] = cursor
                yield entry

    def _opened(self, host: str, files: _Files) -> Any:
        from systemd import journal

        reader = journal.Reader(files=[str(self._directory / name) for name, _ in files])
        reader.converters = _AS_IT_IS
        for message_id in MESSAGE_IDS:
            reader.add_match(MESSAGE_ID=message_id)
        if (cursor := self.cursors.get(host)) is not None:
            reader.seek_cursor(cursor)
        elif self._from_now:
            reader.seek_tail()
            if newest := reader.get_previous():
                self.cursors[host] = newest["__CURSOR"]
            else:
                reader.seek_head()
        self._readers[host] = files, reader
        return reader

    def _hosts(self) -> dict[str, _Files]:
        """The files of each host, those put aside (remote-pi@...journal) with the one in use."""
        found: dict[str, list[tuple[str, int]]] = {}
        try:
            for path in sorted(self._directory.glob("*.journal")):
                host = path.name.removesuffix(".journal").split("@")[0]
                found.setdefault(host, []).append((path.name, path.stat().st_ino))
        except OSError as error:
            self._failed(str(self._directory), error)
        return {host: tuple(files) for host, files in found.items()}

    def _failed(self, host: str, error: OSError) -> None:
        self._close(host)
        self._failures[host] = self._failures.get(host, 0) + 1
        if self._failures[host] == _PATIENCE:
            log.warning(
                "cannot read the journal %s: %s",
                host,
                error.strerror,
                extra=fault("journal_unreadable"),
            )

    def _close(self, host: str) -> None:
        if (known := self._readers.pop(host, None)) is not None:
            known[1].close()
