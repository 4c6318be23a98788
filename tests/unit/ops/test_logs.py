"""`kiosk logs`: the right matches, read by the real journalctl from a real journal file."""

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from kiosk.cli import main
from kiosk.errors import KioskError, UnavailableError
from kiosk.ops import logs
from kiosk.ops.messages import MESSAGES
from tests.journals import append, needs_journal_remote

VISIT = {
    "MESSAGE_ID": MESSAGES["visit_ended"].id,
    "KIOSK_EVENT": "visit_ended",
    "KIOSK_ID": "lobby",
    "KIOSK_ENDING": "hung_up",
    "KIOSK_DURATION_S": "83.4",
    "KIOSK_TURNS": "3",
    "KIOSK_CONNECT_MS": "412.3",
    "PRESS_ID": "p1",
    "CONVERSATION_ID": "c1",
}
ENTRIES = [
    {"MESSAGE": "ready", "KIOSK_ID": "lobby"},
    {"MESSAGE": "pressed", "KIOSK_ID": "lobby", "PRESS_ID": "p1"},
    {"MESSAGE": "a visit", **VISIT},
    {"MESSAGE": "no microphone", "KIOSK_ID": "lobby", "PRIORITY": "3"},
    {"MESSAGE": "another visit", **VISIT, "KIOSK_ID": "shop", "PRESS_ID": "p2"},
    {
        "MESSAGE": "it failed",
        "SYSLOG_IDENTIFIER": "systemd",
        "UNIT": "kiosk.service",
        "PRIORITY": "4",
    },
    {"MESSAGE": "somebody's", "SYSLOG_IDENTIFIER": "sshd", "PRIORITY": "3"},
]


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    logs.add_arguments(parser)
    return parser.parse_args(given)


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    append(tmp_path / "remote-pi.journal", ENTRIES)
    return tmp_path


def shown(collected: Path, *given: str) -> list[str]:
    """The texts that journalctl shows for these arguments."""
    command = logs.journalctl(
        arguments(*given, "--remote", str(collected), "--since", "2020-01-01", "--json")
    )
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line)["MESSAGE"] for line in out.splitlines()]


@needs_journal_remote
@pytest.mark.parametrize(
    ("given", "texts"),
    [
        (
            (),
            ["ready", "pressed", "a visit", "no microphone", "another visit", "it failed"],
        ),
        (("faults",), ["no microphone", "it failed"]),
        (("faults", "--kiosk", "lobby"), ["no microphone"]),
        (("visit", "p1"), ["pressed", "a visit"]),
        (("visit", "c1"), ["a visit", "another visit"]),
        (("visit", "c1", "--kiosk", "shop"), ["another visit"]),
        (("visits",), ["a visit", "another visit"]),
        (("visits", "--kiosk", "shop"), ["another visit"]),
        (("--kiosk", "shop"), ["another visit"]),
    ],
)
def test_what_is_asked_for_is_shown(
    collected: Path, given: tuple[str, ...], texts: list[str]
) -> None:
    assert shown(collected, *given) == texts


@needs_journal_remote
def test_visits_are_a_table(collected: Path) -> None:
    said: list[str] = []
    args = arguments("visits", "--remote", str(collected), "--since", "2020-01-01")
    assert logs.run(args, said.append) == 0
    heading, first, second = said
    assert heading.split("  ")[0] == "when"
    assert first.split()[2:] == ["lobby", "1:23", "hung_up", "-", "-", "3", "412", "p1"]
    assert second.split()[2] == "shop"


@needs_journal_remote
def test_visits_are_objects_with_numbers(collected: Path) -> None:
    said: list[str] = []
    args = arguments("visits", "--json", "--remote", str(collected), "--since", "2020-01-01")
    logs.run(args, said.append)
    visit = json.loads(said[0])
    assert (visit["connect_ms"], visit["turns"], visit["press_id"]) == (412.3, 3, "p1")


def test_a_visit_that_never_connected_has_its_line() -> None:
    _, line = logs.table(iter([{"KIOSK_ENDING": "unreachable"}]))
    assert line.split() == ["-", "-", "-", "unreachable", "-", "-", "-", "-", "-"]


def test_the_last_day_is_shown_unless_asked_otherwise() -> None:
    assert "--since=-1d" in logs.journalctl(arguments())
    assert "--since=-2h" in logs.journalctl(arguments("--since=-2h"))
    assert not any("since" in each for each in logs.journalctl(arguments("visit", "p1")))


@pytest.mark.parametrize("typed", [["--since", "-2h"], ["--since=-2h"], ["--since", "-1d"]])
def test_the_readmes_commands_work_as_they_are_typed(
    typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    fake = tmp_path / "journalctl"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{asked}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert main(["logs", "visits", *typed]) == 0
    assert f"--since={typed[-1].removeprefix('--since=')}" in asked.read_text().splitlines()


def test_a_time_before_now_is_no_option_and_an_option_is_no_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["logs", "visits", "--since", "--follow"])
    assert "expected one argument" in capsys.readouterr().err


def test_following_is_left_to_journalctl() -> None:
    assert "--follow" in logs.journalctl(arguments("faults", "-f"))


@pytest.mark.parametrize(
    "given", [("visit",), ("visits", "p1"), ("visit", "--x"), ("visit", "a b")]
)
def test_a_visit_is_named_by_its_id(given: tuple[str, ...]) -> None:
    with pytest.raises((KioskError, SystemExit)):
        logs.journalctl(arguments(*given))


def test_without_journalctl_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="journalctl is not installed"):
        logs.run(arguments(), print)


def test_a_machine_that_collects_nothing_is_told_from_the_collector(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="systemd-journal-remote"):
        logs.run(arguments("--remote", str(tmp_path / "none")), print)


def test_a_journal_that_may_not_be_read_names_the_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "remote-pi.journal").touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    with pytest.raises(UnavailableError, match="systemd-journal"):
        logs.require_readable(tmp_path)
