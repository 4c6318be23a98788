"""Feedback without words, seen and heard: tables from state and event. Pure data."""

from enum import StrEnum

from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import Pattern
from kiosk.visit.states import Event, State

STEADY: Pattern = ((True, 60.0),)
QUICK: Pattern = ((True, 0.12), (False, 0.12))
BLINK: Pattern = ((True, 0.5), (False, 0.5))
WINK: Pattern = ((True, 1.4), (False, 0.2))
SLOW: Pattern = ((True, 1.5), (False, 1.5))
FLASH: Pattern = ((True, 0.1), (False, 0.4))
DOUBLE: Pattern = ((True, 0.12), (False, 0.12), (True, 0.12), (False, 0.84))
BEACON: Pattern = ((True, 0.1), (False, 1.9))

# Each has a rhythm of its own. A lamp that is mostly lit invites: steady to be pressed, with a wink
# now and then to be spoken to.
LAMPS: dict[State, Pattern] = {
    State.IDLE: STEADY,
    State.OPENING: QUICK,
    State.QUEUED: SLOW,
    State.LISTENING: WINK,
    State.THINKING: DOUBLE,
    State.SPEAKING: BLINK,
    State.CLOSING: FLASH,
}
# In IDLE, while a visit cannot be held.
UNFIT_LAMP: Pattern = BEACON

# By what happened and where it led: the same press begins a visit or ends one.
EARCONS: dict[tuple[Event, State], Earcon] = {
    (Event.PRESS, State.OPENING): Earcon.PRESSED,
    (Event.PRESS_UNFIT, State.IDLE): Earcon.SORRY,
    (Event.PRESS_MASHED, State.IDLE): Earcon.SORRY,
    **{
        (Event.PRESS_WARNED, state): Earcon.PRESSED
        for state in (
            State.OPENING,
            State.QUEUED,
            State.LISTENING,
            State.THINKING,
            State.SPEAKING,
        )
    },
    (Event.PRESS_LANGUAGE, State.OPENING): Earcon.PRESSED,
    (Event.ADMITTED, State.LISTENING): Earcon.READY,
    (Event.LOST, State.OPENING): Earcon.TICK,
    (Event.PRESS, State.CLOSING): Earcon.HANG_UP,
    (Event.HANG_UP, State.CLOSING): Earcon.HANG_UP,
}
# Heard though the state stays: they answer a press.
ANSWERS = frozenset({
    Event.PRESS_UNFIT, Event.PRESS_MASHED, Event.PRESS_WARNED, Event.PRESS_LANGUAGE,
})  # fmt: skip
# The kiosk's own sounds stop where these lead: whoever wants something else is answered at once.
SILENCES = frozenset({
    (Event.PRESS, State.CLOSING), (Event.PRESS_LEFT, State.CLOSING),
    (Event.HANG_UP, State.CLOSING), (Event.PRESS_LANGUAGE, State.OPENING),
})  # fmt: skip


class Deadline(StrEnum):
    """A limit on how long a state may last, in the words of the settings."""

    CONNECT = "connect_s"
    QUEUE = "queue_s"
    IDLE = "idle_s"
    ANSWER = "answer_s"


DEADLINES: dict[State, Deadline] = {
    State.OPENING: Deadline.CONNECT,
    State.QUEUED: Deadline.QUEUE,
    State.LISTENING: Deadline.IDLE,
    State.THINKING: Deadline.ANSWER,
}
