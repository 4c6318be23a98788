"""Real journal files, made by systemd-journal-remote out of entries that a test writes down."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

# Debian 12 and 13 have it in one of these; it comes with the package systemd-journal-remote.
_TOOL = next(
    filter(
        Path.is_file,
        (
            Path("/usr/lib/systemd/systemd-journal-remote"),
            Path("/lib/systemd/systemd-journal-remote"),
        ),
    ),
    None,
)
needs_journal_remote = pytest.mark.skipif(
    _TOOL is None, reason="the package systemd-journal-remote is not installed"
)

Entry = Mapping[str, str]
_BOOT = "0123456789abcdef0123456789abcdef"
_began_us = 1_700_000_000_000_000


def append(file: Path, entries: Sequence[Entry], at_s: float = 0.0) -> None:
    """Add entries to a journal file, a second apart, the first `at_s` after a fixed moment."""
    assert _TOOL is not None
    lines = []
    for number, entry in enumerate(entries):
        now_us = int((at_s + number) * 1e6)
        fields = {
            "__REALTIME_TIMESTAMP": str(_began_us + now_us),
            "__MONOTONIC_TIMESTAMP": str(1_000_000 + abs(now_us)),
            "_BOOT_ID": _BOOT,
            "_HOSTNAME": "pi",
            "SYSLOG_IDENTIFIER": "kiosk",
            "PRIORITY": "6",
            "MESSAGE": "an entry",
            **entry,
        }
        lines.append("".join(f"{name}={value}\n" for name, value in fields.items()))
    subprocess.run(
        [_TOOL, "--output", str(file), "-"],
        input="\n".join([*lines, ""]).encode(),
        check=True,
        capture_output=True,
    )
