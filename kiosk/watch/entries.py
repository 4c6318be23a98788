"""A journal entry as the watcher sees it: checked names and numbers. Pure: no I/O, no clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kiosk.causes import ERROR, NOTICE, Meaning
from kiosk.ops.messages import JournalMessage, entries

# systemd's own message that a unit has failed (SD_MESSAGE_UNIT_FAILURE_RESULT): all there is of a
# kiosk that was killed.
_UNIT_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_UNIT = "kiosk.service"
SERVICE_FAILED = "service_failed"
SILENT = "silent"  # the watcher's own cause
TEST = "test"

# What no kiosk tells of itself.
_OTHERS: dict[str, Meaning] = {
    SERVICE_FAILED: Meaning(
        ERROR,
        "`kiosk logs faults` on the kiosk shows what came before.",
        id=_UNIT_FAILED,
        subject="The kiosk's service has failed",
        explanation="Its process has ended, or was killed: by its watchdog, or for want of memory.",
        lasts=True,
    ),
    SILENT: Meaning(
        ERROR,
        "Look at its lamp. Then at the network, and `systemctl status systemd-journal-upload` on "
        "the kiosk.",
        subject="Nothing was heard of the kiosk",
        explanation="It is switched off, has no network, or its journal is not uploaded.",
        lasts=True,
    ),
    TEST: Meaning(NOTICE, subject="A test of the watcher's", explanation="Somebody asked for it."),
}
_KNOWN: dict[str, JournalMessage | Meaning] = {**dict(entries()), **_OTHERS}
_BY_ID = {known.id: name for name, known in _KNOWN.items() if known.id}
MESSAGE_IDS = tuple(_BY_ID)
NAMES = frozenset(_BY_ID.values())
_CAUSE_OF = {
    **{name: (name,) for name, known in _KNOWN.items() if isinstance(known, Meaning)},
    **{name: known.causes for name, known in _KNOWN.items() if isinstance(known, JournalMessage)},
}
CAUSES = frozenset(cause for causes in _CAUSE_OF.values() for cause in causes) - {SILENT, TEST}

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SNAKE = re.compile(r"[a-z_]{1,64}")
# What an alert may say beside its cause.
_TOLD = ("PRESS_ID", "CONVERSATION_ID", "KIOSK_DEVICE", "KIOSK_CODE", "KIOSK_VERSION")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """`kiosk` is None in what systemd or a kiosk without settings says; `over`: the causes that are
    over with it; `at_s`: by the kiosk's clock."""

    name: str
    host: str
    kiosk: str | None
    site: str
    cause: str | None
    over: tuple[str, ...]
    priority: int
    at_s: float
    told: Mapping[str, str]


def entry_of(fields: Mapping[str, object]) -> JournalEntry | None:
    """None for what is not a kiosk's."""
    name = _BY_ID.get(str(fields.get("MESSAGE_ID", "")))
    if name is None or (name == SERVICE_FAILED and fields.get("UNIT") != _UNIT):
        return None
    cause = SERVICE_FAILED if name == SERVICE_FAILED else _checked(fields.get("KIOSK_CAUSE"))
    over = fields.get("KIOSK_OVER", "")
    told = {field: _checked(fields.get(field)) for field in _TOLD}
    return JournalEntry(
        name,
        _checked(fields.get("_HOSTNAME")) or "unknown",
        _checked(fields.get("KIOSK_ID")),
        _checked(fields.get("KIOSK_SITE")) or "",
        cause,
        tuple(filter(_SNAKE.fullmatch, over.split())) if isinstance(over, str) else (),
        _priority(fields.get("PRIORITY")),
        _seconds(fields.get("__REALTIME_TIMESTAMP")),
        {field: value for field, value in told.items() if value is not None},
    )


def lasts(name: str) -> bool:
    """Whether what this kind of entry tells of goes on until another says that it is over."""
    return _KNOWN[name].lasts


def explained(cause: str, name: str) -> tuple[str, str]:
    """What it means and what to do; the texts are fixed."""
    known = _KNOWN.get(name) or _KNOWN.get(cause)
    return ("", "") if known is None else (known.subject, known.remedy)


def _checked(value: object) -> str | None:
    """A name that may go into a mail's subject; an entry may hold anything."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _priority(value: object) -> int:
    return int(value) if isinstance(value, str) and value in "01234567" and value else 6


def _seconds(value: object) -> float:
    return value / 1e6 if isinstance(value, int) else 0.0
