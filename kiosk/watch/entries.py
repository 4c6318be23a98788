"""A journal entry as the watcher sees it: checked names and numbers. Pure: no I/O, no clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kiosk.base.names import NAME
from kiosk.causes import ERROR, NOTICE, WARNING, Meaning
from kiosk.ops.messages import JournalMessage, entries

# systemd's own message that a unit has failed (SD_MESSAGE_UNIT_FAILURE_RESULT): all there is of a
# kiosk that was killed.
_UNIT_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_UNIT = "kiosk.service"
_VISIT_ENDED = "visit_ended"
SERVICE_FAILED = "service_failed"
SILENT = "silent"  # the watcher's own cause
TEST = "test"
SAFETY = "safety"
VISITS_LOST, VISITS_SPOILT, ANSWERS_SLOW = "visits_lost", "visits_spoilt", "answers_slow"
OF_VISITS = (VISITS_LOST, VISITS_SPOILT, ANSWERS_SLOW)

_BY_WHAT = "`kiosk logs visits` has a column for what spoilt them, `kiosk why PRESS_ID` its remedy."

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
    SAFETY: Meaning(
        NOTICE,
        "The provider's dashboard shows the conversation under CONVERSATION_ID.",
        subject="A visit was stopped for safety",
    ),
    VISITS_LOST: Meaning(
        ERROR,
        _BY_WHAT,
        subject="Too many of the last visitors had no answer",
        lasts=True,
    ),
    VISITS_SPOILT: Meaning(
        WARNING,
        _BY_WHAT,
        subject="Too many of the last visits were spoilt",
        lasts=True,
    ),
    ANSWERS_SLOW: Meaning(
        WARNING,
        "Give the agent a quicker model or voice, or a shorter prompt; `kiosk why` tells if it is "
        "the network.",
        subject="Answers begin too late",
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
CAUSES = frozenset(cause for causes in _CAUSE_OF.values() for cause in causes) - {
    SILENT,
    TEST,
    *OF_VISITS,
}

_SNAKE = re.compile(r"[a-z_]{1,64}")
# What an alert may say beside its cause.
_TOLD = ("PRESS_ID", "CONVERSATION_ID", "KIOSK_DEVICE", "KIOSK_CODE", "KIOSK_VERSION")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """`kiosk` is None in what systemd or a kiosk without settings says; `over`: the causes that are
    over with it; `at_s`: by the kiosk's clock. Of a visit that ended: its verdict, what it was
    spoilt by, and how long half of its answers let wait at least."""

    name: str
    host: str
    kiosk: str | None
    site: str
    cause: str | None
    over: tuple[str, ...]
    priority: int
    at_s: float
    told: Mapping[str, str]
    verdict: str | None = None
    spoilt_by: str | None = None
    answer_ms: float | None = None


def entry_of(fields: Mapping[str, object]) -> JournalEntry | None:
    """None for what is not a kiosk's."""
    name = _BY_ID.get(str(fields.get("MESSAGE_ID", "")))
    if name is None or (name == SERVICE_FAILED and fields.get("UNIT") != _UNIT):
        return None
    cause = SERVICE_FAILED if name == SERVICE_FAILED else _checked(fields.get("KIOSK_CAUSE"))
    if fields.get("KIOSK_ENDING") == SAFETY and name == _VISIT_ENDED:
        name = cause = SAFETY  # no fault of the kiosk's, and yet somebody should know
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
        _checked(fields.get("KIOSK_VERDICT")),
        _checked(fields.get("KIOSK_SPOILT_BY")),
        _milliseconds(fields.get("KIOSK_ANSWER_P50_MS")),
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
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def _priority(value: object) -> int:
    return int(value) if isinstance(value, str) and value in "01234567" and value else 6


def _milliseconds(value: object) -> float | None:
    number = isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,3})?", value)
    return float(str(value)) if number else None


def _seconds(value: object) -> float:
    return value / 1e6 if isinstance(value, int) else 0.0
