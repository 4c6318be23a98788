"""Feedback without words, seen and heard: tables from state and event. Pure data."""

from enum import StrEnum

from kiosk.audio.earcons import Earcon
from kiosk.devices.ports import Pattern
from kiosk.visit.states import Event, State

STEADY: Pattern = ((True, 60.0),)
QUICK: Pattern = ((True, 0.12), (False, 0.12))
BLINK: Pattern = ((True, 0.5), (False, 0.5))
DOUBLE: Pattern = ((True, 0.12), (False, 0.12), (True, 0.12), (False, 0.84))
BEACON: Pattern = ((True, 0.06), (False, 2.94))

# A lit lamp invites: ready to be pressed, or ready to be spoken to.
LAMPS: dict[State, Pattern] = {
    State.IDLE: STEADY,
    State.OPENING: QUICK,
    State.QUEUED: QUICK,
    State.LISTENING: STEADY,
    State.THINKING: DOUBLE,
    State.SPEAKING: BLINK,
    State.CLOSING: QUICK,
}
# In IDLE, while a visit cannot be held.
UNFIT_LAMP: Pattern = BEACON

# By what happened and where it led: the same press begins a visit or ends one.
EARCONS: dict[tuple[Event, State], Earcon] = {
    (Event.PRESS, State.OPENING): Earcon.PRESSED,
    (Event.PRESS_UNFIT, State.IDLE): Earcon.SORRY,
    (Event.CONNECTED, State.LISTENING): Earcon.READY,
    (Event.ADMITTED, State.LISTENING): Earcon.READY,
    (Event.LOST, State.OPENING): Earcon.TICK,
    (Event.PRESS, State.CLOSING): Earcon.HANG_UP,
}
# Left out while the kiosk is saying something: a chime after the sentence would come too late.
POLITE = frozenset({(Event.CONNECTED, State.LISTENING)})


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
