"""The way to journald: whatever the journal does, whoever logs goes on."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import kiosk.ops.journald
from kiosk.ops.journal import JournalHandler
from kiosk.ops.journald import Journald
from tests.journal_socket import JournalSocket


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kiosk.ops.journald, "SOCKET", str(tmp_path / "journal"))
    monkeypatch.setattr(kiosk.ops.journald, "_AGAIN_S", 0.01)
    return tmp_path / "journal"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("kiosk.somewhere")
    log.propagate = False
    yield log
    log.propagate = True
    log.handlers.clear()


def messages(entries: list[dict[str, str]]) -> list[str]:
    return [entry["MESSAGE"] for entry in entries]


def test_an_entry_arrives_as_it_was_written(path: Path) -> None:
    fields = {"MESSAGE": "two\nlines = one entry", "KIOSK_EVENT": "ready", "EMPTY": ""}
    with JournalSocket(path) as journal:
        Journald().put(fields)
        assert journal.read(1) == [fields]


def test_half_a_surrogate_pair_and_a_very_long_text_are_written_too(path: Path) -> None:
    with JournalSocket(path) as journal:
        Journald().put({"MESSAGE": "\ud800" + "ä" * 1_000_000 + "the end"})
        [entry] = journal.read(1)
    assert entry["MESSAGE"].startswith("\\ud800äää")
    assert entry["MESSAGE"].endswith("äääthe end")
    assert len(entry["MESSAGE"]) < 17_000


def test_a_journal_that_reads_nothing_holds_nobody_up_and_what_is_lost_is_counted(
    path: Path, log: logging.Logger
) -> None:
    with JournalSocket(path) as journal:
        log.addHandler(JournalHandler())
        for number in range(3000):
            log.warning("entry %d", number)
        read = messages(journal.read(1000))
        assert read == [f"entry {number}" for number in range(1000)]
        rest: list[str] = []
        while not (rest and "dropped" in rest[-1]):
            rest += messages(journal.read(1))
    lost = int(rest[-1].split()[0])
    assert len(read) + len(rest) - 1 + lost == 3000
    assert lost > 1000


def test_a_journal_that_died_ends_nobody_and_gets_what_waits_when_it_is_back(
    path: Path, log: logging.Logger
) -> None:
    with JournalSocket(path) as journal:
        log.addHandler(JournalHandler())
        log.warning("before")
        assert messages(journal.read(1)) == ["before"]
    for number in range(3):
        log.warning("meanwhile %d", number)  # the socket's file is there and refuses
    with JournalSocket(path) as journal:
        assert messages(journal.read(3)) == [f"meanwhile {number}" for number in range(3)]


def test_a_journal_that_is_not_there_yet_is_waited_for(path: Path, log: logging.Logger) -> None:
    log.addHandler(JournalHandler())
    log.warning("early")
    with JournalSocket(path) as journal:
        assert messages(journal.read(1)) == ["early"]


def test_the_end_of_a_process_waits_for_what_is_still_to_be_written_but_not_for_ever(
    path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiosk.ops.journald, "_FLUSH_S", 0.05)
    handler = JournalHandler()
    log.addHandler(handler)
    log.warning("the last word")
    handler.flush()  # nobody reads
    monkeypatch.setattr(kiosk.ops.journald, "_FLUSH_S", 10.0)
    with JournalSocket(path) as journal:
        handler.flush()
        assert messages(journal.read()) == ["the last word"]
