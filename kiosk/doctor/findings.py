"""Findings of the doctor: the checks, whose ids never change, and one finding. Pure data."""

from dataclasses import dataclass
from enum import StrEnum

from kiosk.errors import KioskError

# Id to what is looked at, in the order of the report.
CHECKS: dict[str, str] = {
    "configuration": "the settings can be used",
    "daemon": "the kiosk runs, is ready, and fit for a visit",
    "permissions": "its user has the groups, may read its files, and nobody else its token",
    "capture_card": "the microphone's card is there and opens",
    "capture_level": "the microphone delivers sound",
    "playback_card": "the loudspeaker's card is there and opens; its volume",
    "button": "the button's line can be claimed, and nobody leans on it",
    "lamps": "the lamps' lines can be claimed",
    "voice": "the kiosk's own sentences can be said",
    "clock": "the clock is set and synchronised",
    "power": "the board has enough power and is not throttled",
    "storage": "there is room on the card",
    "memory": "there is memory left",
    "wifi_power_save": "the Wi-Fi does not sleep",
    "updates": "where it fetches its updates itself, the last one went well",
    "dns": "the backend's name (of a public agent: the agent's) has an address",
    "proxy": "no proxy and no captive portal stands between",
    "tls": "its certificate is good, and stays so for a while",
    "backend": "it answers",
    "lease": "a visit could begin now, as far as the backend is concerned",
    "provider": "the agent's host can be reached",
    "webrtc": "where conversations go over WebRTC, UDP gets through",
    "call": "a conversation opens, where one is asked for: `--call`",
}


class Result(StrEnum):
    """How it is. Only FAIL makes the doctor's exit code 1."""

    PASS = "pass"  # noqa: S105  no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"  # makes no sense here, or could not be looked at: the value says why


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome: what was measured, and what to do, in one sentence."""

    id: str
    result: Result
    value: str
    next_step: str | None = None


def passed(check: str, value: str) -> Finding:
    return Finding(check, Result.PASS, value)


def warned(check: str, value: str, next_step: str) -> Finding:
    return Finding(check, Result.WARN, value, next_step)


def failed(check: str, value: str, next_step: str) -> Finding:
    return Finding(check, Result.FAIL, value, next_step)


def refused(check: str, error: KioskError, otherwise: str) -> Finding:
    """By an error's own words: what is wrong, and after a semicolon what to do."""
    what, _, advice = str(error).partition("; ")
    return failed(check, what, advice or otherwise)


def skipped(check: str, value: str, next_step: str | None = None) -> Finding:
    return Finding(check, Result.SKIP, value, next_step)
