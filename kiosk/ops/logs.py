"""`kiosk logs`: what the journal holds of a kiosk, or of those whose journals are collected here.

Shortcuts over journalctl(1), which does the reading; visits become a table.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from kiosk.base.names import NAME
from kiosk.errors import KioskError, UnavailableError
from kiosk.ops.messages import MESSAGES

COLLECTED = Path("/var/log/journal/remote")
_LOCAL = (Path("/var/log/journal"), Path("/run/log/journal"))
_LATELY = "-1d"


# A column's heading, its width, and where it comes from.
_COLUMNS: tuple[tuple[str, int, Callable[[Mapping[str, str]], str]], ...] = (
    ("when", 19, lambda entry: _when(entry.get("__REALTIME_TIMESTAMP", ""))),
    ("kiosk", 12, lambda entry: entry.get("KIOSK_ID", "-")),
    ("lasted", 7, lambda entry: _lasted(entry.get("KIOSK_DURATION_S", ""))),
    ("ending", 20, lambda entry: entry.get("KIOSK_ENDING", "-")),
    ("verdict", 7, lambda entry: entry.get("KIOSK_VERDICT", "-")),
    ("spoilt by", 16, lambda entry: entry.get("KIOSK_SPOILT_BY", "-")),
    ("turns", 5, lambda entry: entry.get("KIOSK_TURNS", "-")),
    ("connect ms", 10, lambda entry: entry.get("KIOSK_CONNECT_MS", "-").partition(".")[0]),
    ("press id", 0, lambda entry: entry.get("PRESS_ID", "-")),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `kiosk logs`."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", "visits", "faults", "visit"),
        default="all",
        help="visits: a table; faults: warnings and errors; visit: everything of one",
    )
    parser.add_argument("id", nargs="?", help="of that visit: PRESS_ID or CONVERSATION_ID")
    parser.add_argument("--since", metavar="TIME", help=f"as journalctl takes it ({_LATELY})")
    parser.add_argument("--follow", "-f", action="store_true", help="go on as entries come")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--kiosk", metavar="NAME", help="only this one's")
    parser.add_argument(
        "--remote",
        type=Path,
        nargs="?",
        const=COLLECTED,
        metavar="DIR",
        help=f"the collected journals of the fleet ({COLLECTED})",
    )


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Show them; raises KioskError. All but the table of visits is left to journalctl itself."""
    command = journalctl(args)
    if shutil.which(command[0]) is None:
        raise UnavailableError("journalctl is not installed: the journal is systemd's")
    require_readable(args.remote)
    if args.what != "visits":
        os.execvp(command[0], command)  # noqa: S606  its pager and its Ctrl-C are the operator's
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:  # noqa: S603
        assert reading.stdout is not None
        entries = (json.loads(line) for line in reading.stdout)
        for line in as_json(entries) if args.json else table(entries):
            say(line)
    return reading.returncode


def journalctl(args: argparse.Namespace) -> list[str]:
    """The command that shows what is asked for; raises KioskError."""
    if (args.what == "visit") != (args.id is not None):
        raise KioskError("`kiosk logs visit ID` takes an id, and nothing else does")
    for name in (args.id, args.kiosk):
        if name is not None and not NAME.fullmatch(name):
            raise KioskError(f"{name!r} is neither the id of a visit nor the name of a kiosk")
    command = ["journalctl"]
    if args.remote is not None:
        command.append(f"--directory={args.remote}")
    if args.what == "faults":
        command.append("--priority=warning")
    if args.follow:
        command.append("--follow")
    if args.json or args.what == "visits":
        command.append("--output=json")
    if args.since is not None or args.what != "visit":
        command.append(f"--since={args.since or _LATELY}")
    return command + _matches(args)


def _matches(args: argparse.Namespace) -> list[str]:
    of_kiosk = [] if args.kiosk is None else [f"KIOSK_ID={args.kiosk}"]
    match args.what:
        case "visit":
            ids = (f"PRESS_ID={args.id}", f"CONVERSATION_ID={args.id}")
            return [*of_kiosk, ids[0], "+", *of_kiosk, ids[1]]
        case "visits":
            return [*of_kiosk, f"MESSAGE_ID={MESSAGES['visit_ended'].id}"]
    if args.kiosk is not None:
        return of_kiosk
    # What systemd says of the unit names it, and is not the kiosk's own.
    return ["SYSLOG_IDENTIFIER=kiosk", "+", "UNIT=kiosk.service"]


def table(entries: Iterator[Mapping[str, str]]) -> Iterator[str]:
    """The records of visits, one a line."""
    yield "  ".join(heading.ljust(width) for heading, width, _ in _COLUMNS)
    for entry in entries:
        yield "  ".join(shown(entry).ljust(width) for _, width, shown in _COLUMNS)


def as_json(entries: Iterator[Mapping[str, str]]) -> Iterator[str]:
    """The typed fields of each record, numbers as numbers, and when it was."""
    for entry in entries:
        fields: dict[str, object] = {"when": _when(entry.get("__REALTIME_TIMESTAMP", ""))}
        for name, value in entry.items():
            if name.startswith("KIOSK_") or name in ("PRESS_ID", "CONVERSATION_ID"):
                fields[name.removeprefix("KIOSK_").lower()] = _number(value)
        yield json.dumps(fields)


def _when(realtime_us: str) -> str:
    if not realtime_us.isdigit():
        return "-"
    when = datetime.fromtimestamp(int(realtime_us) / 1e6).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}"


def _lasted(seconds: str) -> str:
    number = _number(seconds)
    if isinstance(number, str):
        return "-"
    return f"{int(number // 60)}:{int(number % 60):02}"


def _number(text: str) -> str | float | int:
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,6})?", text):
        return text
    return float(text) if "." in text else int(text)


def require_readable(directory: Path | None) -> None:
    """journalctl shows nothing where it may not read, and says so in many words."""
    if directory is not None and not directory.is_dir():
        raise UnavailableError(
            f"no journals are collected in {directory}: is this the machine that "
            "systemd-journal-remote runs on?"
        )
    places = _LOCAL if directory is None else (directory,)
    try:
        files = [file for place in places for file in place.glob("**/*.journal")]
        readable = any(os.access(file, os.R_OK) for file in files) or not files
    except PermissionError:
        readable = False
    if not readable:
        group = "systemd-journal" if directory is None else "systemd-journal-remote"
        raise UnavailableError(
            f"you may not read the journal: `sudo usermod -aG {group} $USER` and a new login, or "
            "sudo"
        )
