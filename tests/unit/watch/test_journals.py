"""Real journal files, read as they grow, are put aside and are new."""

from pathlib import Path

import pytest

from kiosk.watch.journals import Journals
from tests.journals import append, needs_journal_remote
from tests.unit.watch.desk import entry

pytestmark = needs_journal_remote


def texts(journals: Journals, most: int = 100) -> list[str]:
    return [str(fields["KIOSK_SEQ"]) for fields in journals.read(most)]


def numbered(*numbers: int) -> list[dict[str, str]]:
    return [entry("alive", KIOSK_SEQ=str(number)) for number in numbers]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "remote-lobby.journal"
    append(path, numbered(1, 2))
    return path


def test_the_first_time_only_what_is_new_is_read(file: Path) -> None:
    journals = Journals(file.parent, None)
    assert texts(journals) == []
    append(file, numbered(3), at_s=10)
    assert texts(journals) == ["3"]
    assert texts(journals) == []
    append(file, [{"MESSAGE": "somebody's"}, *numbered(4)], at_s=20)
    assert texts(journals) == ["4"]
    journals.close()


def test_a_kiosk_that_comes_later_is_read_from_its_beginning(file: Path) -> None:
    journals = Journals(file.parent, None)
    texts(journals)
    append(file.with_name("remote-shop.journal"), numbered(7, 8))
    assert texts(journals) == ["7", "8"]
    journals.close()


def test_what_a_kiosk_uploads_late_is_not_stepped_over(file: Path) -> None:
    journals = Journals(file.parent, {})
    append(file.with_name("remote-shop.journal"), numbered(9), at_s=3600)
    assert texts(journals) == ["1", "2", "9"]
    append(file, numbered(3), at_s=60)  # older than what was read of the other
    assert texts(journals) == ["3"]
    journals.close()


def test_a_kiosk_whose_clock_goes_back_is_read_on(file: Path) -> None:
    journals = Journals(file.parent, {})
    assert texts(journals) == ["1", "2"]
    append(file, numbered(3), at_s=-1_000_000)
    assert texts(journals) == ["3"]
    journals.close()


def test_reading_goes_on_where_an_earlier_watcher_stopped(file: Path) -> None:
    first = Journals(file.parent, {})
    assert texts(first, 1) == ["1"]
    first.close()
    again = Journals(file.parent, first.cursors)
    assert texts(again) == ["2"]
    again.close()


def test_a_file_that_is_put_aside_is_read_to_its_end(file: Path) -> None:
    journals = Journals(file.parent, {})
    assert texts(journals) == ["1", "2"]
    append(file, numbered(3), at_s=10)
    file.rename(file.with_name("remote-lobby@0001-0002.journal"))
    append(file, numbered(4), at_s=20)
    assert texts(journals) == ["3", "4"]
    assert texts(journals) == []
    journals.close()


def test_what_was_removed_before_it_was_read_stops_nothing(file: Path) -> None:
    journals = Journals(file.parent, {})
    assert texts(journals, 1) == ["1"]
    file.unlink()
    assert texts(journals) == []
    append(file, numbered(5), at_s=90)
    assert texts(journals) == ["5"]
    journals.close()


def test_a_damaged_file_is_told_of_once_and_stops_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.with_name("remote-bad.journal").write_bytes(b"no journal" * 1000)
    journals = Journals(file.parent, {})
    assert texts(journals) == ["1", "2"]
    for _ in range(10):
        assert texts(journals) == []
    [record] = caplog.records
    assert record.__dict__["journal"]["KIOSK_CAUSE"] == "journal_unreadable"
    journals.close()


def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    journals = Journals(tmp_path / "remote", {})
    assert texts(journals) == []
    (tmp_path / "remote").mkdir()
    append(tmp_path / "remote" / "remote-lobby.journal", numbered(1))
    assert texts(journals) == ["1"]
    journals.close()
