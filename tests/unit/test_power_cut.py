"""What a power cut leaves of a virtual machine's disk: `tests/machines/disks.py`."""

import random
import struct
from pathlib import Path

import pytest

from tests.machines.disks import Cut, all_written, power_cut

SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4


def log_of(*entries: tuple[int, int, bytes]) -> bytes:
    """A log of (sector, flags, data)."""
    text = struct.pack("<QQQI", 0x6A736677736872, 1, len(entries), SECTOR).ljust(SECTOR, b"\0")
    for sector, flags, data in entries:
        header = struct.pack("<QQQQ", sector, len(data) // SECTOR, flags, 0)
        text += header.ljust(SECTOR, b"\0") + data
    return text


class Never(random.Random):
    """Nothing survives that need not."""

    def random(self) -> float:
        return 1.0


def sector(letter: str) -> bytes:
    return letter.encode() * SECTOR


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(sector("0") * 4)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(
        log_of(
            (0, 0, sector("a")),
            (0, FLUSH, b""),
            (1, 0, sector("b")),
            (2, FUA, sector("c")),
            (3, DISCARD, b""),
        )
    )
    return path


def test_what_was_flushed_is_there_and_the_rest_is_not(disk: Path, log: Path) -> None:
    assert power_cut(disk, log, Never()) == Cut(flushed=2, kept=0, lost=1)
    assert disk.read_bytes() == sector("a") + sector("0") + sector("c") + sector("0")


def test_after_a_switching_off_everything_is_there(disk: Path, log: Path) -> None:
    assert all_written(disk, log) == Cut(flushed=2, kept=1, lost=0)
    assert disk.read_bytes() == sector("a") + sector("b") + sector("c") + sector("0")


def test_a_cut_earlier_on_knows_nothing_of_what_came_later(disk: Path, log: Path) -> None:
    assert power_cut(disk, log, Never(), share=0.4) == Cut(flushed=0, kept=0, lost=1)
    assert disk.read_bytes() == sector("0") * 4


@pytest.mark.parametrize("after", [sector("\0"), b"", log_of((0, 0, sector("x")))[SECTOR:-1]])
def test_an_entry_that_was_under_way_counts_for_nothing(
    disk: Path, log: Path, after: bytes
) -> None:
    with log.open("ab") as file:
        file.write(after)
    power_cut(disk, log, Never())
    assert disk.read_bytes()[:SECTOR] == sector("a")


def test_a_file_that_is_no_log_is_refused(disk: Path) -> None:
    with pytest.raises(ValueError, match="no log of writes"):
        power_cut(disk, disk, Never())
