"""Settings and running kiosks for the doctor to look at."""

from pathlib import Path
from typing import Any

from kiosk.config import Settings
from kiosk.doctor.findings import CHECKS, Finding, Result
from kiosk.doctor.sound_findings import SOUND_CHECKS
from kiosk.doctor.subject import Service, Subject

VIRTUAL: dict[str, dict[str, Any]] = {
    "agent": {"id": "agent_local", "url": "ws://127.0.0.1:1"},
    "credentials": {"mode": "public"},
    "button": {"driver": "none"},
    "indicator": {"driver": "none"},
    "capture": {"driver": "virtual"},
    "playback": {"driver": "virtual"},
}


def settings(languages: dict[str, int] | None = None, **tables: dict[str, Any]) -> Settings:
    """Virtual devices, a public agent that nobody answers for, and what the test changes.
    `languages`: those of keys, and where they are."""
    changed = {name: {**VIRTUAL.get(name, {}), **table} for name, table in tables.items()}
    keys = [{"pin": pin, "language": language} for language, pin in (languages or {}).items()]
    return Settings.model_validate({**VIRTUAL, **changed, "keys": keys})


def subject(
    status: dict[str, object] | None = None,
    languages: dict[str, int] | None = None,
    **tables: dict[str, Any],
) -> Subject:
    """Nobody runs, or a kiosk that says this of itself."""
    return Subject(settings(languages, **tables), Path("/etc/kiosk/config.toml"), Service(status))


def barred(**tables: dict[str, Any]) -> Subject:
    """One may run, and may not be asked."""
    return Subject(settings(**tables), None, Service(trouble="this user may not ask on /run/x"))


def is_good_form(finding: Finding) -> bool:
    """A known check, a value, and a next step wherever it did not pass."""
    needs_step = finding.result in (Result.WARN, Result.FAIL)
    known = finding.id in CHECKS or finding.id in SOUND_CHECKS
    return known and bool(finding.value) and (not needs_step or bool(finding.next_step))
