"""The nightly update of a kiosk that fetches its own: how did the last one go?"""

from collections.abc import Iterator, Mapping

from kiosk.doctor.findings import Finding, passed, warned
from kiosk.doctor.subject import Subject, systemd_shows

_CHECK = "updates"
_UNIT = "kiosk-pull.service"
_TELLS = ("ActiveState", "Result", "ExecMainExitTimestamp")


def look(_: Subject) -> Iterator[Finding]:
    yield told(systemd_shows(_UNIT, *_TELLS))


def told(unit: Mapping[str, str]) -> Finding:
    """By systemd's account of the unit; empty where there is none."""
    if not unit:
        return passed(_CHECK, "it fetches none: they are brought to it")
    ended = unit.get("ExecMainExitTimestamp")
    if unit.get("ActiveState") == "failed":
        value = f"the last one failed ({unit.get('Result')}), {ended or 'before it began'}"
        return warned(_CHECK, value, f"`journalctl -u {_UNIT} -n 50` tells why")
    if unit.get("ActiveState") == "activating":
        return passed(_CHECK, "one is under way")
    return passed(_CHECK, f"the last one went well, {ended}" if ended else "none since the boot")
