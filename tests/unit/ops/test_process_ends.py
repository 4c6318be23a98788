"""A process that ends with a failure leaves one journal entry with its id and its cause."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

import kiosk.ops.journald
from kiosk.causes import CAUSES
from kiosk.cli import main
from kiosk.ops import journal
from kiosk.ops.journal import Journal
from tests.journal_socket import JournalSocket
from tests.unit.configs import WITHOUT_HARDWARE


class Journald:
    """What the journal's daemon gets of a process whose stderr it holds."""

    def __init__(self, socket: JournalSocket, monkeypatch: pytest.MonkeyPatch) -> None:
        self._socket = socket
        self._monkeypatch = monkeypatch

    @property
    def entries(self) -> list[dict[str, str]]:
        """All that were written, which the end of the process waits for."""
        for handler in logging.getLogger().handlers:
            handler.flush()
        return self._socket.read()

    def hold_stderr(self) -> None:
        status = os.fstat(sys.stderr.fileno())
        self._monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")


@pytest.fixture
def journald(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Journald]:
    monkeypatch.setattr(journal, "_process", {})
    monkeypatch.setattr(kiosk.ops.journald, "SOCKET", str(tmp_path / "journal"))
    for name in list(os.environ):
        if name.startswith("KIOSK_") or name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"):
            monkeypatch.delenv(name)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with JournalSocket(tmp_path / "journal") as socket:
        yield Journald(socket, monkeypatch)
    root.handlers, root.level = handlers, level


def run(journald: Journald, tmp_path: Path, toml: str) -> int:
    """`kiosk run` under journald, in this process; its exit code."""
    journald.hold_stderr()
    config = tmp_path / "config.toml"
    config.write_text(toml, encoding="utf-8")
    return main(["run", "--config", str(config)])


def test_a_bad_configuration_is_told_with_key_and_line(
    journald: Journald, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(journald, tmp_path, "[visit]\nmax_s = 0\n") == 78
    [entry] = journald.entries
    assert entry["MESSAGE_ID"] == CAUSES["config_invalid"].id
    assert (entry["KIOSK_CAUSE"], entry["PRIORITY"]) == ("config_invalid", "3")
    assert "line 2: visit.max_s" in entry["MESSAGE"]
    assert capfd.readouterr().err == ""


def test_a_missing_device_token_is_told_with_the_way_to_one(
    journald: Journald, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()  # the service has others
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    toml = f'{WITHOUT_HARDWARE}[control]\nsocket = "{tmp_path}/s"\n[kiosk]\nname = "lobby"\n'
    assert run(journald, tmp_path, toml) == 78
    entry = journald.entries[-1]
    assert entry["MESSAGE_ID"] == CAUSES["device_token_missing"].id
    assert (entry["KIOSK_CAUSE"], entry["KIOSK_ID"]) == ("device_token_missing", "lobby")
    assert "/etc/credstore.encrypted/kiosk.device-token" in entry["MESSAGE"]
    assert "kiosk backend enroll" in entry["MESSAGE"]


def test_a_bug_is_told_with_its_place(
    journald: Journald, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_run(_: asyncio.Runner, main: Coroutine[object, object, None]) -> None:
        main.close()
        1 / 0  # noqa: B018

    monkeypatch.setattr(asyncio.Runner, "run", failing_run)
    assert run(journald, tmp_path, WITHOUT_HARDWARE) == 1
    entry = journald.entries[-1]
    assert entry["MESSAGE_ID"] == CAUSES["unexpected_error"].id
    assert "ZeroDivisionError" in entry["MESSAGE"]


def test_every_entry_of_a_kiosk_names_it(journald: Journald) -> None:
    journald.hold_stderr()
    journal.setup("info")
    book = Journal("lobby", "north", "1.2.3")
    book.remember("PRESS_ID", "p1")
    logging.getLogger("kiosk.link").warning("the backend does not answer")
    book.remember("PRESS_ID", None)
    book.rename("shop", "south")
    logging.getLogger("kiosk.link").warning("still not")
    assert [
        (entry["KIOSK_ID"], entry["KIOSK_SITE"], entry.get("PRESS_ID"))
        for entry in journald.entries
    ] == [("lobby", "north", "p1"), ("shop", "south", None)]
