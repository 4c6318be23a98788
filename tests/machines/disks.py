"""Disks of virtual machines: made of a directory tree, and what is left of one when the power goes.

Killing the emulator alone would be a mild cut: whatever the guest had handed to its disk would be
there, in the order in which it was written. A real disk, and an SD card more so, has a cache of its
own, and keeps only what was flushed. So every write and every flush of the guest is logged (QEMU's
blklogwrites), and the disk after the cut is made from the log: all that was written before the last
flush that came back, and of the rest each write or not, by chance.
"""

import os
import random
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAKING_TIMEOUT_S = 300
# Of what the disk had not been told to flush, so much reaches it all the same.
_SURVIVES = 0.5

# The merged view of a tree and the changes over it is there in a mount namespace only.
_COPY_INTO_DISK = """
set -eu
mount --make-rprivate /
mount -t overlay overlay -o "ro,lowerdir=$UPPER:$TREE" "$MERGED"
exec mke2fs -q -t ext4 -L root -d "$MERGED" "$DISK"
"""


def make_disk(disk: Path, tree: Path, upper: Path, merged: Path, size_gib: int) -> None:
    """A disk with one ext4 file system: the tree with the changes in `upper`."""
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(size_gib << 30)
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", _COPY_INTO_DISK],
        env={**os.environ, "TREE": str(tree), "UPPER": str(upper), "MERGED": str(merged),
             "DISK": str(disk)},
        check=True,
        timeout=_MAKING_TIMEOUT_S,
    )  # fmt: skip


# --- the log of dm-log-writes, as QEMU writes it --------------------------------------------------

_MAGIC, _SECTOR = 0x6A736677736872, 512
_ENTRY = struct.Struct(
    "<QQQQ"
)  # sector, sectors, flags, length; its data follow in the next sector
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True)
class _Write:
    """One write of the guest: where on the disk, and where in the log its bytes are."""

    offset: int
    size: int
    at: int
    lasting: bool  # said to be on the medium when it came back


@dataclass(frozen=True)
class Cut:
    """What became of a guest's writes."""

    flushed: int
    kept: int
    lost: int


def power_cut(disk: Path, log: Path, chance: random.Random, share: float = 1) -> Cut:
    """Make `disk` what a cut leaves of it, when this share of what was written had been written."""
    return _replay(disk, log, lambda: chance.random() < _SURVIVES, share)


def all_written(disk: Path, log: Path) -> Cut:
    """Make `disk` what it is once a machine was switched off in peace."""
    return _replay(disk, log, lambda: True, 1)


def _replay(disk: Path, log: Path, survives: Callable[[], bool], share: float) -> Cut:
    flushed = kept = lost = 0
    with log.open("rb") as source, disk.open("r+b") as target:
        writes, safe = _read_log(source, share)
        for number, write in enumerate(writes):
            if number < safe or write.lasting:
                flushed += 1
            elif survives():
                kept += 1
            else:
                lost += 1
                continue
            data = os.pread(source.fileno(), write.size, write.at)
            os.pwrite(target.fileno(), data, write.offset)
    return Cut(flushed, kept, lost)


def _read_log(log: BinaryIO, share: float) -> tuple[list[_Write], int]:
    """The writes in their order, and how many of them a flush made safe."""
    size = round(os.fstat(log.fileno()).st_size * share)
    magic = os.pread(log.fileno(), 8, 0)
    if int.from_bytes(magic, "little") != _MAGIC:
        raise ValueError(f"{log.name} is no log of writes")
    writes: list[_Write] = []
    safe, at = 0, _SECTOR
    while at + _SECTOR <= size:
        sector, sectors, flags, _ = _ENTRY.unpack(os.pread(log.fileno(), _ENTRY.size, at))
        at += _SECTOR
        if flags & _FLUSH:
            safe = len(writes)
        if flags & _DISCARD or sectors == 0:
            if flags == 0 and sector == 0:
                break  # a hole: this entry was under way when the emulator was killed
            continue
        data = sectors * _SECTOR
        if at + data > size:
            break
        writes.append(_Write(sector * _SECTOR, data, at, bool(flags & _FUA)))
        at += data
    return writes, safe
