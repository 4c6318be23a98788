"""Events of a visit, for the backend: names and numbers, no words of anybody's.

Pure: no I/O, no clock.
"""

import math
import re

from kiosk.contract import MAX_EVENTS, MAX_LIFE_S, VisitEvent
from kiosk.moments import FieldValue, Moment, What

# What is told, and with which of its fields.
_TOLD: dict[What, tuple[str, ...]] = {
    What.CONNECTED: ("input_format", "output_format"),
    What.LANGUAGE: ("language", "by"),
    What.QUEUED: (),
    What.ADMITTED: (),
    What.LOST: ("kind", "code", "attempt", "delay_ms"),
    What.TRANSCRIPT: (),
    What.RESPONSE: (),
    What.AGENT_HEARD: (),
    What.INTERRUPTED: (),
    What.AGENT_HANGS_UP: (),
    What.AGENT_TOOL: ("tool", "failed"),
    What.TOOL_CALLED: ("tool", "error_type"),
    What.GUARDRAIL: ("rule",),
    What.MALFORMED: (),
    What.OVERLOADED: ("percent",),
    What.DEVICE_LOST: ("device",),
}
# A long talk has many turns; they must not keep out what happens once.
_TURNS = frozenset({What.TRANSCRIPT, What.RESPONSE, What.AGENT_HEARD, What.INTERRUPTED})
_MOST_TURNS = 40
# The last place says what found none.
DROPPED = "dropped"

# What the contract takes for a name; whatever else a tool is called is not passed on.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class BackendEvents:
    """Keeps the moments of the visit under way that a backend wants to know."""

    def __init__(self) -> None:
        self._last_press_s = 0.0
        self._pressed_s = 0.0
        self._events: list[VisitEvent] = []
        self._turns = 0
        self._dropped = 0
        self._dropped_s = 0.0

    def observe(self, moment: Moment) -> None:
        if moment.what is What.PRESSED:
            self._last_press_s = moment.at_s
        elif moment.what is What.VISIT_STARTED:
            self._pressed_s = self._last_press_s
            self._clear()
        elif moment.what in _TOLD:
            self._keep(moment)

    def take(self) -> tuple[VisitEvent, ...]:
        """What happened since the press, or since the take before this."""
        if self._dropped:
            self._add(DROPPED, self._dropped_s, {"count": self._dropped})
        events = tuple(self._events)
        self._clear()
        return events

    def _clear(self) -> None:
        self._events, self._turns, self._dropped = [], 0, 0

    def _keep(self, moment: Moment) -> None:
        turn = moment.what in _TURNS
        if len(self._events) == MAX_EVENTS - 1 or (turn and self._turns == _MOST_TURNS):
            self._dropped += 1
            self._dropped_s = moment.at_s
            return
        self._turns += turn
        fields = {name: _told(moment.fields.get(name)) for name in _TOLD[moment.what]}
        told = {name: value for name, value in fields.items() if value is not None}
        self._add(moment.what.value, moment.at_s, told)

    def _add(self, what: str, at_s: float, fields: dict[str, int | float | bool | str]) -> None:
        since_s = min(max(0.0, round(at_s - self._pressed_s, 3)), MAX_LIFE_S)
        sequence = len(self._events) + 1
        self._events.append(VisitEvent(sequence=sequence, at_s=since_s, what=what, fields=fields))


def _told(value: FieldValue) -> int | float | str | None:
    if isinstance(value, str):
        return str(value) if _NAME.fullmatch(value) else None
    return value if value is not None and math.isfinite(value) else None
