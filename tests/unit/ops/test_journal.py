import logging
import os
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.causes import NOTHING, Meaning
from kiosk.moments import What
from kiosk.ops import journal
from kiosk.ops.journal import NOTICE, Journal
from kiosk.ops.messages import MESSAGES, catalog, entries
from kiosk.visit.fitness import Cause

# The service's own moments, beside those of visits.
OF_THE_SERVICE = {
    "starting", "ready", "stopping", "alive", "reloaded", "button_fault", "button_mended"
}  # fmt: skip


@pytest.fixture(autouse=True)
def _everything_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def book() -> Journal:
    return Journal("lobby", "north", "1.2.3")


def typed(record: logging.LogRecord) -> dict[str, str]:
    fields = record.__dict__["journal"]
    assert isinstance(fields, dict)
    return fields


# --- the table ----------------------------------------------------------------------------------


def test_every_message_id_is_of_its_own() -> None:
    ids = [entry.id for _, entry in entries()]
    assert all(re.fullmatch(r"[0-9a-f]{32}", id_) for id_ in ids)
    assert len(set(ids)) == len(ids)


def test_every_message_is_something_that_happens() -> None:
    assert set(MESSAGES) - OF_THE_SERVICE <= {what.value for what in What}
    assert set(MESSAGES) >= OF_THE_SERVICE


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_has_a_priority_and_explains_itself(name: str) -> None:
    message = MESSAGES[name]
    assert message.priority in range(3, 8)
    assert all((message.text, message.subject, message.explanation))


def test_nothing_that_was_said_is_a_message() -> None:
    said = {What.TRANSCRIPT, What.RESPONSE, What.CORRECTION}
    assert not {what.value for what in said} & set(MESSAGES)


def test_the_catalog_explains_every_message() -> None:
    explained = [text for text in catalog().split("-- ") if text]
    for text, (_, entry) in zip(explained, entries(), strict=True):
        head, meaning, remedy = text.strip().split("\n\n")
        assert head.splitlines() == [
            entry.id,
            f"Subject: {entry.subject}",
            "Defined-By: voice-kiosk",
        ]
        assert (meaning, remedy) == (entry.explanation, entry.remedy)


def test_every_fault_has_its_next_step() -> None:
    told = [
        (name, entry) for name, entry in entries() if isinstance(entry, Meaning) or entry.causes
    ]
    assert len(told) > 30
    assert [name for name, entry in told if entry.remedy in ("", NOTHING)] == []


def test_the_causes_of_an_unfit_kiosk_are_those_of_its_fitness() -> None:
    assert set(MESSAGES["fitness"].causes) == {*Cause} - {
        Cause.PAUSED,
        Cause.CLOSED,
        Cause.NO_MINUTES_LEFT,
    }


def test_the_installed_catalog_is_the_one_made_from_the_table() -> None:
    installed = Path(__file__).parents[3] / "systemd" / "kiosk.catalog"
    assert installed.read_text("utf-8").strip() == catalog().strip()


# --- entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_an_entry_has_its_fields(
    book: Journal, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    parsed = string.Formatter().parse(MESSAGES[name].text)
    values = {field: f"<{field}>" for _, field, _, _ in parsed if field}
    book.record(name, values)
    [record] = caplog.records
    assert all(value in record.getMessage() for value in values.values())
    assert typed(record) == {
        "KIOSK_ID": "lobby",
        "KIOSK_SITE": "north",
        "KIOSK_VERSION": "1.2.3",
        "MESSAGE_ID": MESSAGES[name].id,
        "KIOSK_EVENT": name,
        "KIOSK_SEQ": "1",
        **{f"KIOSK_{field.upper()}": value for field, value in values.items()},
    }


def test_what_is_not_in_the_table_is_not_logged(
    book: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    book.record("transcript", {"words": "my secret"})
    book.record("no such event", {})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("priority", "level"),
    [
        (3, logging.ERROR),
        (4, logging.WARNING),
        (5, NOTICE),
        (6, logging.INFO),
        (7, logging.DEBUG),
    ],
)
def test_a_priority_is_the_level_of_the_entry(
    book: Journal, caplog: pytest.LogCaptureFixture, priority: int, level: int
) -> None:
    book.record("ready", {}, priority)
    assert caplog.records[0].levelno == level


def test_without_one_the_priority_is_the_tables(
    book: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    book.record("device_lost", {"device": "speaker", "detail": "gone"})
    assert caplog.records[0].levelno == logging.ERROR


def test_what_is_remembered_is_in_every_entry_until_it_ends(
    book: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    book.remember("PRESS_ID", "p1")
    book.record("ready", {})
    book.remember("PRESS_ID", "p2")
    book.record("ready", {})
    book.remember("PRESS_ID", None)
    book.remember("never", None)
    book.record("ready", {})
    assert [typed(record).get("PRESS_ID") for record in caplog.records] == ["p1", "p2", None]
    assert [typed(record)["KIOSK_SEQ"] for record in caplog.records] == ["1", "2", "3"]


# --- where it goes ------------------------------------------------------------------------------


@pytest.fixture
def _own_root() -> Iterator[None]:
    """`setup` replaces the root logger's handlers: put them back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("_own_root")
def test_outside_systemd_it_is_readable_lines_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], book: Journal
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    journal.setup("notice")
    book.record("visit_started", {"press_id": "p1"})
    book.record("ready", {})  # info: below the level
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d NOTICE  visit started", line)


@pytest.mark.usefixtures("_own_root")
@pytest.mark.parametrize("stream", ["", "8:1", "nonsense"])
def test_another_stream_is_not_the_journal(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    journal.setup("info")
    assert not isinstance(logging.getLogger().handlers[0], journal.JournalHandler)


@pytest.mark.usefixtures("_own_root")
def test_a_stderr_that_is_the_journal_gets_typed_entries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        status = os.fstat(stderr.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        journal.setup("info")
    assert isinstance(logging.getLogger().handlers[0], journal.JournalHandler)


@pytest.mark.usefixtures("_own_root")
def test_libraries_that_quote_urls_are_kept_quiet() -> None:
    journal.setup("debug")
    for name in ("websockets", "websockets.client", "httpx2", "httpcore2.connection"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
