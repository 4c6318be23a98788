"""Small files that no crash leaves half written, and a queue for work that waits for a disk."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kiosk.causes import fault

log = logging.getLogger(__name__)

T = TypeVar("T")


class OneAtATime:
    """Work in a thread, one piece after the other. What has begun goes on though nobody waits for
    it any more, and the next piece waits for its end."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._begun: set[asyncio.Task[Any]] = set()

    async def do(self, work: Callable[[], T]) -> T:
        """What the work returns or raises."""
        task = asyncio.create_task(self._locked(work), name="files")
        self._begun.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,))
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # seen, though perhaps nobody waits for it any more

    async def _locked(self, work: Callable[[], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(work)


def write_whole(
    path: Path, text: str, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Whole or not at all, with this mode, and on the disk when this returns; raises OSError.
    `owner`: user and group; None: whoever runs this."""
    temporary = temporary_path(path)
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as new:
            if owner is not None:
                os.fchown(new.fileno(), *owner)
            os.fchmod(new.fileno(), mode)  # whatever the umask says
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path)


def temporary_path(path: Path) -> Path:
    """Where it is written first. Always the same name: what a crash left is written over, and piles
    up nowhere."""
    return path.with_name(f".{path.name}.new")


def remove(path: Path) -> None:
    """Gone for good when this returns; raises OSError."""
    path.unlink(missing_ok=True)
    sync_directory(path)


def put_aside(path: Path) -> None:
    """Out of the way, beside where it was, for somebody to look at; journald is told."""
    aside = path.with_name(f"{path.name}.bad")
    log.warning(
        "%s makes no sense; it is now %s", path, aside.name, extra=fault("state_unreadable")
    )
    try:
        path.replace(aside)
    except OSError as error:
        log.warning("cannot move it: %s", error.strerror, extra=fault("state_unwritable"))


def sync_directory(path: Path) -> None:
    """A name is on the disk only when its directory is."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
